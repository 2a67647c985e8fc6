import { expect, test } from "@jest/globals";
import { numberFrom, wholeFrom } from "./numbers.ts";

test("a number is read, and other text is refused with the valid range", () => {
  expect([numberFrom(1)("2.5"), wholeFrom(0)("0")]).toEqual([2.5, 0]);
  for (const text of ["x", "", " ", "NaN", "0"]) expect(() => numberFrom(1)(text)).toThrow("expected a number from 1");
  for (const text of ["x", "", "1.5", "-1"]) expect(() => wholeFrom(0)(text)).toThrow("expected a whole number from 0");
});
