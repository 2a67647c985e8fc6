import { expect, test } from "@jest/globals";
import { controlFindings, missingModules } from "./control.ts";
import { check, passedAll } from "./scenario.ts";

const found = (passed: boolean, name: string) => [
  { title: "an attack", checks: [check(name, passed, "1")], figures: {} },
];

test("a control passes if the fault is found, and fails if nothing was, or only that nobody is listed", () => {
  expect(passedAll(controlFindings("x", found(false, "every frame is answered"), []))).toBe(true);
  expect(passedAll(controlFindings("x", found(true, "every frame is answered"), []))).toBe(false);
  expect(passedAll(controlFindings("x", found(false, "metrics list it"), []))).toBe(false);
});

test("a control whose module is missing fails, and names it", () => {
  const missing = missingModules({ bridge: "early-puback", router: "no-such-module" });
  expect(missing).toEqual(["lab/sabotage/no-such-module.mjs"]);
  const [findings] = controlFindings("x", [], missing);
  expect(findings?.checks).toEqual([expect.objectContaining({ passed: false, found: `there is no ${missing[0]}` })]);
});
