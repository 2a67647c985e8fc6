/** Hostile bytes: whatever arrives, a codec answers with a record or a ContractError, soon and in little memory. */
import { describe, expect, test } from "@jest/globals";
import { compileBoundsCheck } from "./bounded.ts";
import { Codec } from "./codec.ts";
import { ContractError } from "./errors.ts";
import * as generated from "./generated/index.ts";
import { randomOf, randomValue } from "./random-record.test-kit.ts";

const codecs = Object.values(generated).filter((value): value is Codec<never> => value instanceof Codec);

/** Zigzag, little-endian base 128. */
function long(value: bigint): number[] {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

function outcomeOf(codec: Codec<never>, bytes: Uint8Array): string {
  try {
    codec.decode(bytes);
    return "decoded";
  } catch (error) {
    if (error instanceof ContractError) return error.code;
    throw error;
  }
}

describe.each(codecs.map((codec) => ({ name: codec.name, codec })))("$name", ({ codec }) => {
  test("cut at every byte, it is truncated; with a byte more, it is refused", () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 10; seed++) {
      const bytes = codec.encode(randomValue(codec.current.schema, randomOf(seed)) as never);
      for (let length = 0; length < Math.min(bytes.length, 600); length++) {
        outcomes.add(outcomeOf(codec, bytes.subarray(0, length)));
      }
      expect(outcomeOf(codec, Buffer.concat([bytes, Buffer.from([0])]))).toBe("record-trailing-bytes");
    }
    for (const outcome of outcomes) expect(outcome).toMatch(/^record-(truncated|block-count)$/);
  });

  test("random damage never throws anything else and never allocates wildly", () => {
    const before = process.memoryUsage();
    for (let seed = 1; seed <= 1_000; seed++) {
      const random = randomOf(seed);
      const below = (limit: number) => Math.floor(random() * limit);
      const bytes = [...codec.encode(randomValue(codec.current.schema, random) as never)];
      const huge = long(BigInt(below(2)) * -(2n ** 40n) + 2n ** BigInt(20 + below(42)));
      const at = below(bytes.length);
      if (seed % 3 === 0) bytes.splice(at, 1 + below(3), ...huge);
      else for (let n = 1 + below(4); n > 0; n--) bytes[below(bytes.length)] = below(256);
      outcomeOf(codec, Buffer.from(bytes));
    }
    const after = process.memoryUsage();
    expect(after.rss - before.rss).toBeLessThan(256 * 1024 * 1024);
  });
});

describe("single traps", () => {
  const field = (type: unknown) => ({ type: "record", name: "R", fields: [{ name: "f", type }] });
  const refused = (type: unknown, bytes: number[]): string => {
    try {
      compileBoundsCheck(field(type))(Uint8Array.from(bytes));
      return "accepted";
    } catch (error) {
      return (error as ContractError).code;
    }
  };
  const strings = { type: "array", items: "string" };

  test.each([
    ["six bytes that announce an array of 2^34", strings, long(2n ** 34n), "record-block-count"],
    ["the same as a negative count with a block size", strings, [...long(-(2n ** 34n)), 2], "record-block-count"],
    ["the smallest count there is", strings, [...long(-(2n ** 63n)), 2], "record-block-count"],
    ["a map of 2^40", { type: "map", values: "int" }, long(2n ** 40n), "record-block-count"],
    ["a string of 2^31", "string", long(2n ** 31n), "record-oversized"],
    ["a negative length", "bytes", long(-1n), "record-oversized"],
    ["bytes longer than what is left", "bytes", long(100n), "record-truncated"],
    ["a union branch that is not there", ["null", "int"], long(2n), "record-union-branch"],
    ["a negative union branch", ["null", "int"], long(-1n), "record-union-branch"],
    ["a symbol that is not there", { type: "enum", name: "E", symbols: ["A"] }, long(1n), "record-enum-symbol"],
    ["a number that never ends", "long", Array(11).fill(0x80), "record-number"],
    ["a number of 70 bits", "long", [...Array(9).fill(0xff), 0x7f], "record-number"],
    ["an int of 33 bits", "int", long(2n ** 31n), "record-number"],
    ["a negative int of 33 bits", "int", long(-(2n ** 31n) - 1n), "record-number"],
    ["many blocks that add up", strings, Array(70_000).fill([2, 0]).flat(), "record-block-count"],
  ])("%s", (_what, type, bytes, code) => {
    expect(refused(type, bytes)).toBe(code);
  });

  test("the extremes of a long and of an int are read", () => {
    for (const value of [2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(refused("long", long(value))).toBe("accepted");
    }
    for (const value of [2n ** 31n - 1n, -(2n ** 31n)]) {
      expect(refused("int", long(value))).toBe("accepted");
    }
  });
});

test("a string is as long as its schema allows, but never longer than bytes may be (bounded.ts B2)", () => {
  const of = (bytesMax: unknown) => (length: number) => {
    const check = compileBoundsCheck({ type: "string", bytesMax });
    const bytes = Uint8Array.from([...long(BigInt(length)), ...new Uint8Array(length)]);
    try {
      check(bytes);
      return "fits";
    } catch (error) {
      return (error as ContractError).code;
    }
  };
  expect([of(undefined)(4_096), of(undefined)(4_097), of("9999999")(4_097)]).toEqual([
    "fits",
    "record-oversized",
    "record-oversized",
  ]);
  expect([of(10_000)(10_000), of(10_000)(10_001)]).toEqual(["fits", "record-oversized"]);
  expect(of(2 ** 40)(8 * 1024 * 1024 + 1)).toBe("record-oversized");
});

test("a rollout of 100,000 devices, and an analysis of hours, can be read again", () => {
  const { RolloutEvent } = generated;
  const order = Array.from({ length: 100_000 }, (_, i) => `device-${String(i).padStart(6, "0")}`);
  const event = {
    uid: "u",
    version: 1n,
    at: 1,
    by: "test",
    kind: "CREATED" as const,
    step: null,
    verdict: null,
    details: JSON.stringify({ order }),
  };
  expect(RolloutEvent.decodeConfluent(RolloutEvent.encodeConfluent(event)).details).toBe(event.details);
});
