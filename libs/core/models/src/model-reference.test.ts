import { expect, test } from "@jest/globals";
import { someModel } from "@tributary/testing";
import { isPackageName, modelReferenceOf, resolveReference } from "./model-reference.ts";
import { ModelTable } from "./model-table.ts";

test.each([
  ["models/cloud-vgg", null],
  ["/models/with@sign", null],
  ["cloud@champion", { name: "cloud", which: "champion" }],
  ["cloud.v2@1.0.0-rc", { name: "cloud.v2", which: "1.0.0-rc" }],
])("%s names a package", (text, reference) => {
  expect([isPackageName(text), modelReferenceOf(text)]).toEqual([true, reference]);
});

test.each(["", "@champion", "cloud@", "cloud@a@b", "clo ud@champion", `${"n".repeat(65)}@a`, "-x@champion"])(
  "%j names none",
  (text) => expect(isPackageName(text)).toBe(false),
);

test("a reference is a version, else an alias; what names none says why", () => {
  const table = new ModelTable();
  const champion = { name: "cloud", which: "champion" };
  const codeOf = (which = "champion") => {
    const resolved = resolveReference(table, { name: "cloud", which });
    return resolved.kind === "none" ? resolved.code : resolved.model.version;
  };
  expect(codeOf()).toBe("model-unknown");
  for (const version of ["1", "2"]) table.applyModel(someModel({ name: "cloud", version, state: "LISTED" }));
  expect([codeOf("2"), codeOf()]).toEqual(["2", "alias-unknown"]);
  const aliases = { champion: "1", 2: "1" };
  table.applyAliases({ name: "cloud", aliases, changedBy: "ann", changedAt: 1, validation: null });
  expect([codeOf("2"), codeOf()]).toEqual(["2", "1"]);
  table.applyModel(someModel({ name: "cloud", version: "1", state: "REVOKED" }));
  expect(resolveReference(table, champion)).toMatchObject({
    code: "model-revoked",
    reason: expect.stringContaining("cloud@1, which cloud@champion names, was revoked"),
  });
});
