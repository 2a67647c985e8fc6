import { describe, expect, test } from "@jest/globals";
import { assertReadable, topics } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { fullTransitive, type Json, obstacles } from "./compatibility.ts";
import { differences } from "./difference.ts";

const record = (...fields: object[]) => ({ type: "record", name: "R", namespace: "n", fields }) as unknown as Json;
const field = (name: string, type: unknown, more: object = {}) => ({ name, type, ...more });
const enumOf = (symbols: string[], more: object = {}) => ({ type: "enum", name: "E", symbols, ...more });

/** avsc, which the codecs use. */
const readable = (reader: Json, writer: Json): boolean => {
  try {
    assertReadable(reader as never, writer as never);
    return true;
  } catch {
    return false;
  }
};

describe("obstacles", () => {
  test.each([
    [record(field("a", "long")), record(field("a", "int")), ""],
    [record(field("a", "int")), record(field("a", "long")), "a: int cannot be read from long"],
    [record(field("a", "int"), field("b", "string")), record(field("a", "int")), "b: it has no default"],
    [record(field("a", ["null", "string"], { default: null })), record(), ""],
    [record(field("a", ["null", "int"])), record(field("a", "string")), "a: [null, int] has no branch for string"],
    [record(field("a", "int")), record(field("a", ["null", "int"])), "a: int cannot be read from null"],
    [record(field("e", enumOf(["X"]))), record(field("e", enumOf(["X", "Y"]))), "e: the enum has no default"],
    [record(field("e", enumOf(["X"], { default: "X" }))), record(field("e", enumOf(["X", "Y"]))), ""],
    [
      record(field("l", { type: "array", items: { type: "record", name: "I", fields: [field("x", "int")] } })),
      record(field("l", { type: "array", items: { type: "record", name: "I", fields: [] } })),
      "l[].x: it has no default",
    ],
  ])("%j of %j: %s", (reader, writer, expected) => {
    const found = obstacles(reader, writer).map(({ path, why }) => `${path}: ${why}`);
    expect(found.join("\n")).toContain(expected);
    expect(found.length === 0).toBe(expected === "");
    expect(readable(reader, writer)).toBe(expected === "");
  });

  test("every incompatible field is named, for both directions and every version (K1, K2)", () => {
    const [v1, v2] = [record(field("a", "int")), record(field("a", "int"), field("b", "int", { default: 1 }))];
    const today = record(field("b", "string"), field("c", "int"));
    const verdicts = fullTransitive(today, [
      { version: 1, schema: v1 },
      { version: 2, schema: v2 },
    ]);
    expect(verdicts[0]?.backward.map(({ path }) => path)).toEqual(["b", "c"]);
    expect(verdicts[0]?.forward.map(({ path }) => path)).toEqual(["a"]);
    expect(verdicts[1]?.forward.map(({ path }) => path)).toEqual(["a", "b"]);
  });

  test.each([1, 2, 3, 4])("seed %i: they agree with the codecs on schemas of ours with something changed", (seed) => {
    const random = seededRandom(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    let differs = 0;
    for (let i = 0; i < 150; i++) {
      const topic = pick(Object.values(topics));
      const schema = topic.codec.current.schema as unknown as Json;
      const [a, b] = [mutated(schema, random), mutated(schema, random)];
      for (const [reader, writer] of [
        [a, b],
        [b, a],
        [schema, a],
        [a, schema],
      ] as const) {
        const found = obstacles(reader, writer);
        expect([found.length === 0, seed, i, topic.name, found]).toEqual([
          readable(reader, writer),
          seed,
          i,
          topic.name,
          found,
        ]);
        if (found.length > 0) differs++;
      }
    }
    expect(differs).toBeGreaterThan(50);
  });
});

/** A copy with one field, symbol or type somewhere changed, so that it still is a schema. */
function mutated(schema: Json, random: () => number): Json {
  type Node = { type: unknown; fields?: Node[]; symbols?: string[]; default?: unknown; name?: string; items?: unknown };
  const copy = JSON.parse(JSON.stringify(schema)) as Node;
  const records: Node[] = [];
  const enums: Node[] = [];
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) for (const inner of node) walk(inner);
    else if (typeof node === "object" && node !== null) {
      const one = node as Node;
      if (one.type === "record" && (one.fields?.length ?? 0) > 1) records.push(one);
      if (one.type === "enum") enums.push(one);
      for (const inner of Object.values(one)) walk(inner);
    }
  };
  walk(copy);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const kind = Math.floor(random() * 5);
  if (kind === 0 && enums.length > 0) pick(enums).symbols?.push("NEW");
  else if (kind === 1 && enums.length > 0) {
    const one = pick(enums);
    delete one.default;
    one.symbols?.push("OTHER");
  } else if (kind === 2) pick(records).fields?.push({ name: "added", type: "int" } as Node);
  else if (kind === 3) pick(records).fields?.push({ name: "added", type: ["null", "int"], default: null } as Node);
  else {
    const { fields = [] } = pick(records);
    const primitives = fields.filter(({ type }) =>
      ["int", "long", "double", "string", "bytes"].includes(type as string),
    );
    if (primitives.length > 0) pick(primitives).type = pick(["int", "long", "double", "string", "bytes", "boolean"]);
  }
  return copy as unknown as Json;
}

test("differences list what was added, removed and changed, also of symbols and docs", () => {
  const before = record(field("a", "int", { doc: "One." }), field("e", enumOf(["X"])), field("gone", "string"));
  const after = record(
    field("a", "long", { doc: "Two." }),
    field("e", enumOf(["X", "Y"])),
    field("l", ["null", { type: "array", items: { type: "record", name: "I", fields: [field("x", "int")] } }], {
      default: null,
    }),
  );
  expect(differences(before, after)).toEqual([
    { path: "a", kind: "changed", what: "type: int -> long" },
    { path: "a", kind: "changed", what: "doc: One. -> Two." },
    { path: "e<Y>", kind: "added", what: "symbol" },
    { path: "gone", kind: "removed", what: "string" },
    { path: "l", kind: "added", what: "[null, array of record I], default null" },
    { path: "l[].x", kind: "added", what: "int" },
  ]);
  expect(differences(after, after)).toEqual([]);
});
