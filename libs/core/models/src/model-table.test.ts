import { expect, test } from "@jest/globals";
import { someModel } from "@tributary/testing";
import { ModelTable } from "./model-table.ts";

const [a, b] = ["ab".repeat(32), "cd".repeat(32)];
const model = (version: string, modelDigest: string) => someModel({ name: "edge", version, modelDigest });

test("a version whose record became a tombstone is found by nothing any more, its digest included", () => {
  const table = new ModelTable();
  for (const one of [model("1", a), model("2", b)]) table.applyModel(one);
  table.applyAliases({ name: "edge", aliases: { champion: "1" }, changedBy: "ann", changedAt: 1, validation: null });
  expect(table.byAlias("edge", "champion")).toEqual(table.byDigest(a));
  table.onModel(null, { key: "edge/1" });
  expect([table.get("edge", "1"), table.byDigest(a), table.byAlias("edge", "champion")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  table.onModel(null, { key: "edge/2" });
  expect([table.names(), table.count]).toEqual([[], 0]);
});

test("a digest that two versions share means one of them as long as there is one", () => {
  const table = new ModelTable();
  for (const one of [model("1", a), model("2", a)]) table.applyModel(one);
  table.onModel(null, { key: "edge/2" });
  expect(table.byDigest(a)?.version).toBe("1");
  table.applyModel(model("1", b));
  expect([table.byDigest(a), table.byDigest(b)?.version]).toEqual([undefined, "1"]);
});

test("versions are listed the newest first; an alias is looked up by its own name only", () => {
  const table = new ModelTable();
  for (const [version, pushedAt] of Object.entries({ "1": 3, "2": 1, "3": 3 }))
    table.applyModel(someModel({ name: "edge", version, pushedAt }));
  table.applyModel(someModel({ name: "cloud", version: "9" }));
  const aliases = { champion: "1", spring: "1", challenger: "2" };
  table.applyAliases({ name: "edge", aliases, changedBy: "ann", changedAt: 1, validation: null });
  expect(table.versions("edge").map(({ version }) => version)).toEqual(["3", "1", "2"]);
  expect([table.names(), table.aliasesOf({ name: "edge", version: "1" })]).toEqual([
    ["cloud", "edge"],
    ["champion", "spring"],
  ]);
  expect([table.byAlias("edge", "toString"), table.withAlias("challenger").length]).toEqual([undefined, 1]);
});
