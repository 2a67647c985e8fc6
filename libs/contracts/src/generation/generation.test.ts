import { describe, expect, test } from "@jest/globals";
import type { AvroSchema } from "../bounded.ts";
import { EMPTY_LOCK, historyOf, type LandedVersion } from "./history.ts";
import { lintSchemas } from "./lint.ts";
import { moduleTexts } from "./module-text.ts";

const id = { name: "id", type: "string", doc: "Who." };
const kind = (...symbols: string[]) => ({
  name: "kind",
  doc: "What.",
  type: { type: "enum", name: "Kind", doc: "What.", symbols: ["UNKNOWN", ...symbols], default: "UNKNOWN" },
});
const record = (...fields: AvroSchema[]): AvroSchema => ({ type: "record", name: "Thing", doc: "A thing.", fields });
const landed = (...schemas: AvroSchema[]): LandedVersion[] => schemas.map((schema, i) => ({ version: i + 1, schema }));
const problemsOf = (current: AvroSchema, ...before: AvroSchema[]) =>
  historyOf("thing", current, landed(...before), EMPTY_LOCK).problems;

describe("compatibility with everything that landed", () => {
  const first = record(id, kind("A"));

  test("what keeps both directions passes", () => {
    const count = { name: "count", type: "long", doc: "How many.", default: 0 };
    for (const current of [first, record(id, kind("A", "B")), record(id, kind("A"), count), record(kind("A"), id)]) {
      expect(problemsOf(current, first)).toEqual([]);
    }
  });

  test.each([
    [
      "a field without a default",
      record(id, kind("A"), { name: "count", type: "long", doc: "How many." }),
      "cannot read",
    ],
    ["a required field taken away", record(kind("A")), "cannot be read by"],
    ["a field renamed", record({ ...id, name: "who" }, kind("A")), "cannot read"],
    ["a type changed", record({ ...id, type: "long" }, kind("A")), "cannot read"],
    ["a type widened one way", record({ ...id, type: ["null", "string"] }, kind("A")), "cannot be read by"],
    [
      "a symbol without the default",
      record(id, { ...kind("A"), type: { type: "enum", name: "Kind", symbols: ["B"] } }),
      "",
    ],
  ])("%s fails", (_what, current, reason) => {
    const problems = problemsOf(current, first);
    expect(problems.join("\n")).toContain(`schemas/thing.avsc ${reason}`);
  });

  test("it is transitive: agreeing with the last version alone is not enough", () => {
    const count = { name: "count", type: "long", doc: "How many.", default: 0 };
    const text = { name: "count", type: "string", doc: "How many.", default: "" };
    expect(problemsOf(record(id, text), record(id), record(id))).toEqual([]);
    expect(problemsOf(record(id, text), record(id, count), record(id))).toHaveLength(2);
  });
});

describe("history", () => {
  const first = record(id);
  const second = record(id, { name: "n", type: "long", doc: "N.", default: 0 });

  test("ids are given once and stay; a schema that is not landed may change (history.ts H2, H3)", () => {
    const one = historyOf("a", first, [], EMPTY_LOCK);
    const other = historyOf("b", first, [], one.lock);
    expect([one.versions[0]?.id, other.versions[0]?.id, other.lock.nextId]).toEqual([1, 2, 3]);
    const changed = historyOf("a", second, [], other.lock);
    expect(changed.versions).toMatchObject([{ version: 1, id: 1 }]);
    expect(changed.problems).toEqual([]);
    const next = historyOf("a", second, landed(first), other.lock);
    expect(next.versions).toMatchObject([
      { version: 1, id: 1 },
      { version: 2, id: 3 },
    ]);
    expect(next.unlanded).toMatchObject({ version: 2 });
    const settled = historyOf("a", second, landed(first, second), next.lock);
    expect([settled.unlanded, settled.lock]).toEqual([undefined, next.lock]);
  });

  test("a landed version that was changed, or a gap in the numbers, is found (history.ts H1)", () => {
    const { lock } = historyOf("a", first, landed(first), EMPTY_LOCK);
    expect(historyOf("a", second, landed(second), lock).problems.join()).toContain("was changed");
    const gap = [{ version: 2, schema: first }];
    expect(historyOf("a", first, gap, EMPTY_LOCK).problems.join()).toContain("without gaps");
  });
});

test("lint names everything undocumented, enums without UNKNOWN, one name with two meanings, misspelt attributes", () => {
  const bad = record({ name: "x", type: { type: "enum", name: "E", symbols: ["A"] } });
  expect(lintSchemas([{ name: "bad", schema: { ...bad, doc: undefined } }])).toEqual([
    "bad.Thing has no doc",
    "bad.Thing.x has no doc",
    "bad.Thing.E has no doc",
    expect.stringContaining("bad.Thing.E: a wire enum defaults to UNKNOWN"),
  ]);
  const twice = [
    { name: "a", schema: record(kind("A")) },
    { name: "b", schema: { ...record(kind("B")), name: "Other" } },
  ];
  expect(lintSchemas(twice)).toEqual(["b.Other.Kind is defined differently as a.Thing.Kind"]);
  expect(lintSchemas(twice.slice(0, 1))).toEqual([]);
  const misspelt = record({ ...id, minimun: 0 });
  expect(lintSchemas([{ name: "a", schema: misspelt }])).toEqual(['a.Thing.id: unknown attribute "minimun"']);
});

test("a module has the types of its schema and exports a shared name once", () => {
  const schema = record(id, kind("A"), {
    name: "many",
    type: { type: "array", items: ["null", "long"] },
    doc: "Many.",
  });
  const other = { ...record(kind("A")), name: "Other" };
  const { versions } = historyOf("thing", schema, [], EMPTY_LOCK);
  const texts = moduleTexts([
    { name: "thing", schema, versions },
    { name: "other", schema: other, versions: [] },
  ]);
  expect([...texts.keys()]).toEqual(["thing.ts", "other.ts", "index.ts"]);
  expect(texts.get("thing.ts")).toContain(
    [
      "/** A thing. */",
      "export type Thing = {",
      "  /** Who. */",
      "  readonly id: string;",
      "  /** What. */",
      "  readonly kind: Kind;",
      "  /** Many. */",
      "  readonly many: readonly (null | bigint)[];",
      "};",
      "",
      "/** What. */",
      'export type Kind = "UNKNOWN" | "A";',
    ].join("\n"),
  );
  expect(texts.get("other.ts")).toContain('\ntype Kind = "UNKNOWN" | "A";');
});
