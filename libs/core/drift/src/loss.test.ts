import { expect, test } from "@jest/globals";
import { lossOf } from "./index.ts";

const draws = (count: number, every: number) =>
  Array.from({ length: count }, (_, i) => ({ weight: i % 2 === 0 ? 1 : 0.5, loss: i % every === 0 }));

test("loss is proven, not proven, or without data", () => {
  expect(lossOf([], 0.1, 0.02, 0.05)).toEqual({ state: "NO_DATA", draws: 0, errorRate: null });
  expect(lossOf(draws(400, 10), 0.1, 0.02, 0.05)).toMatchObject({ state: "UNPROVEN", draws: 400 });
  expect(lossOf(draws(400, 3), 0.1, 0.02, 0.05)).toMatchObject({ state: "LOST", draws: 400 });
  expect(lossOf(draws(3, 1), 0.1, 0.02, 1e-9)).toEqual({ state: "UNPROVEN", draws: 3, errorRate: 1 });
});
