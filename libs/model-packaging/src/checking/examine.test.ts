import { expect, test } from "@jest/globals";
import { slowdownOf } from "./examine.ts";

test("a package for all hardware is timed by generic or any, whichever is known, else by the slowest class", () => {
  expect(slowdownOf("generic", { pi: 8, generic: 2 })).toBe(2);
  expect(slowdownOf("any", { pi: 8, generic: 2 })).toBe(2);
  expect(slowdownOf("generic", { pi: 8, any: 3 })).toBe(3);
  expect(slowdownOf("any", { generic: 2, any: 3 })).toBe(3);
  expect(slowdownOf("generic", { x64: 1, pi: 8 })).toBe(8);
  expect(slowdownOf("any", {})).toBe(1);
  expect(() => slowdownOf("constructor", { pi: 8 })).toThrow(/known are pi/);
});
