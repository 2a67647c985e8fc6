import { expect, test } from "@jest/globals";
import { isNestedDeeper } from "./nesting.ts";

const nested = (levels: number): unknown => JSON.parse(`${'{"a":['.repeat(levels / 2)}1${"]}".repeat(levels / 2)}`);

test("counts levels of lists and objects, and is itself no victim of their depth", () => {
  expect([isNestedDeeper(nested(64)), isNestedDeeper(nested(66))]).toEqual([false, true]);
  expect(isNestedDeeper(nested(2_000_000))).toBe(true);
  expect([7, "text", null, [], {}, { a: [1, { b: null }] }].some((value) => isNestedDeeper(value))).toBe(false);
  expect([isNestedDeeper([[]], 1), isNestedDeeper([[1], 2], 2)]).toEqual([true, false]);
});
