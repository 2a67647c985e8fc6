import { expect, test } from "@jest/globals";
import { mustHaveClasses } from "./same-classes.ts";

const manifest = { name: "cloud", version: "2" };

test("a package may replace one of the same classes, in any order, and no other", () => {
  mustHaveClasses({ labels: ["dog", "cat"], manifest }, ["cat", "dog"]);
  for (const [labels, named] of [
    [["cat", "dog", "cow"], "+cow"],
    [["cat"], "-dog"],
    [["cat", "horse"], "+horse -dog"],
  ] as const) {
    expect(() => mustHaveClasses({ labels, manifest }, ["cat", "dog"])).toThrow(
      expect.objectContaining({ code: "package-classes-differ", message: expect.stringContaining(`(${named})`) }),
    );
  }
});
