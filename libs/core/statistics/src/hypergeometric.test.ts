import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { hypergeometricTail } from "./index.ts";

test("it is the sum over the exact counts", () => {
  const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);
  const random = seededRandom(3);
  for (let i = 0; i < 50; i++) {
    const items = 5 + Math.floor(random() * 30);
    const [drawn, marked] = [Math.floor(random() * items), Math.floor(random() * items)];
    const at = Math.floor(random() * (Math.min(drawn, marked) + 1));
    let sum = 0;
    for (let x = Math.max(at, drawn + marked - items); x <= Math.min(drawn, marked); x++) {
      sum += (choose(marked, x) * choose(items - marked, drawn - x)) / choose(items, drawn);
    }
    expect(hypergeometricTail(at, drawn, marked, items)).toBeCloseTo(sum, 10);
  }
});

test("all of few, and 100,000 items", () => {
  expect(hypergeometricTail(3, 3, 3, 40)).toBeCloseTo(1 / 9_880, 12);
  expect(hypergeometricTail(0, 5, 7, 20)).toBe(1);
  expect(hypergeometricTail(6, 5, 7, 20)).toBe(0);
  expect(hypergeometricTail(500, 1_000, 50_000, 100_000)).toBeGreaterThan(0.5); // half of them is what is expected
  expect(hypergeometricTail(10, 40_000, 50_000, 100_000)).toBe(1);
  const tiny = hypergeometricTail(30, 30, 30, 100_000); // 1 / choose(100,000, 30), where ln 30! = 74.6582
  expect(Math.log(tiny)).toBeCloseTo(74.6582 + 0.0044 - 30 * Math.log(100_000), 3);
  expect(hypergeometricTail(150, 150, 150, 100_000)).toBe(0); // below the smallest number
});
