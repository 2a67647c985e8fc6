import { describe, expect, test } from "@jest/globals";
import { Codec } from "./codec.ts";
import { fingerprintOf } from "./fingerprint.ts";
import * as generated from "./generated/index.ts";
import { type AvroSchema, ContractError, jsonSafe } from "./index.ts";
import { randomOf, randomValue } from "./random-record.test-kit.ts";

const codecs = Object.values(generated).filter((value): value is Codec<never> => value instanceof Codec);

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ContractError) return error.code;
    throw error;
  }
  return "none";
};

describe.each(codecs.map((codec) => ({ name: codec.name, codec })))("$name", ({ codec }) => {
  test("round trips in every framing, over seeds", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const value = randomValue(codec.current.schema, randomOf(seed)) as never;
      const found = [
        codec.decode(codec.encode(value)),
        codec.decodeConfluent(codec.encodeConfluent(value)),
        codec.decodeSingleObject(codec.encodeSingleObject(value)),
      ];
      // Records of avsc have a prototype of their own: compared is what they hold.
      for (const decoded of found) expect({ seed, is: plain(decoded) }).toEqual({ seed, is: plain(value) });
      expect(() => JSON.stringify(codec.toJson(value))).not.toThrow();
    }
  });

  test("a value that does not fit is refused by the name of its field", () => {
    const value = randomValue(codec.current.schema, randomOf(1)) as Record<string, unknown>;
    for (const field of codec.current.schema.fields as AvroSchema[]) {
      const wrong = { ...value, [field.name]: () => "a function fits nowhere" } as never;
      expect(() => codec.encode(wrong)).toThrow(new RegExp(`${codec.name}: ${field.name}`));
    }
  });
});

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, jsonSafe));

const version = (number: number, schema: AvroSchema) => ({
  version: number,
  id: 100 + number,
  fingerprint: fingerprintOf(schema),
  schema,
});
const record = (fields: AvroSchema[]): AvroSchema => ({ type: "record", name: "Thing", namespace: "t", fields });
const kind = (...symbols: string[]) => ({
  name: "kind",
  type: { type: "enum", name: "Kind", symbols: ["UNKNOWN", ...symbols], default: "UNKNOWN" },
});

describe("evolution", () => {
  const first = version(1, record([{ name: "id", type: "string" }, kind("A")]));
  const second = version(
    2,
    record([
      { name: "id", type: "string" },
      kind("A", "B"),
      { name: "at", type: ["null", { type: "long", logicalType: "timestamp-millis" }], default: null },
      { name: "count", type: "long", default: 7 },
    ]),
  );
  const old = new Codec<{ id: string; kind: string }>("Thing", [first]);
  const today = new Codec<{ id: string; kind: string; at: number | null; count: bigint }>("Thing", [first, second]);

  test("what the first version wrote is read as today's shape (codec.ts C2, C3)", () => {
    const written = old.encodeSingleObject({ id: "x", kind: "A" });
    expect({ ...today.decodeSingleObject(written) }).toEqual({ id: "x", kind: "A", at: null, count: 7n });
    expect({ ...today.decodeConfluent(old.encodeConfluent({ id: "x", kind: "A" })) }).toMatchObject({ count: 7n });
  });

  test("today's writer writes the first version for a reader that knows no other", () => {
    const value = { id: "x", kind: "A", at: 1_700_000_000_000, count: 2n ** 60n };
    expect({ ...old.decodeSingleObject(today.encodeSingleObject(value, first)) }).toEqual({ id: "x", kind: "A" });
    expect({ ...today.decodeSingleObject(today.encodeSingleObject(value)) }).toEqual(value);
  });

  test("a symbol from the future becomes UNKNOWN", () => {
    const value = { id: "x", kind: "B", at: null, count: 0n };
    const reader = new Codec<{ id: string; kind: string }>("Thing", [second, first]);
    expect({ ...reader.decodeSingleObject(today.encodeSingleObject(value)) }).toEqual({ id: "x", kind: "UNKNOWN" });
  });

  test("a newer build's schema is learned and read as today's shape; one that cannot be read so is not (codec.ts C4)", () => {
    const build = new Codec<{ id: string; kind: string }>("Thing", [first]);
    const written = today.encodeConfluent({ id: "x", kind: "B", at: null, count: 0n });
    expect(codeOf(() => build.decodeConfluent(written))).toBe("schema-unknown-id");
    expect(build.learn(second.id, second.schema)).toBe(true);
    expect({ ...build.decodeConfluent(written) }).toEqual({ id: "x", kind: "UNKNOWN" });
    const single = today.encodeSingleObject({ id: "y", kind: "A", at: null, count: 0n });
    expect({ ...build.decodeSingleObject(single) }).toEqual({ id: "y", kind: "A" });
    expect(build.learn(9, record([{ name: "id", type: "long" }]))).toBe(false);
    expect(build.learn(9, { type: "no such type" })).toBe(false);
    expect(codeOf(() => build.decodeConfluent(Buffer.from([0, 0, 0, 0, 9, 0])))).toBe("schema-unknown-id");
  });

  test("framing and versions that nobody knows are refused by code", () => {
    const framed = old.encodeSingleObject({ id: "x", kind: "A" });
    expect(
      codeOf(() => old.decodeSingleObject(today.encodeSingleObject({ id: "", kind: "A", at: 1, count: 0n }))),
    ).toBe("schema-unknown-fingerprint");
    expect(codeOf(() => old.decodeConfluent(framed))).toBe("framing-unknown");
    expect(codeOf(() => old.decodeSingleObject(framed.subarray(1)))).toBe("framing-unknown");
    expect(codeOf(() => old.decodeConfluent(Buffer.from([0, 0, 0, 0, 9, 0])))).toBe("schema-unknown-id");
  });
});
