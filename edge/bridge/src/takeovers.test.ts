import { expect, test } from "@jest/globals";
import { Takeovers } from "./takeovers.ts";

test("a device takes over a few times at once and so often in a minute, whatever others do (takeovers.ts K1)", () => {
  const takeovers = new Takeovers(10);
  const flood = Array.from({ length: 1_000 }, (_, i) => takeovers.take("rogue", i));
  expect(flood.filter(Boolean).length).toBe(10);
  expect(takeovers.take("good", 1_000)).toBe(true);
  const later = Array.from({ length: 1_000 }, (_, i) => takeovers.take("rogue", 1_000 + i * 60));
  expect(later.filter(Boolean).length).toBeGreaterThanOrEqual(9);
  expect(later.filter(Boolean).length).toBeLessThanOrEqual(11);
});

test("those with most are named, and are forgotten when they stop (takeovers.ts K2)", () => {
  const takeovers = new Takeovers(10);
  for (let i = 0; i < 50; i++) takeovers.take("rogue", i);
  for (let i = 0; i < 100; i++) takeovers.take(`d${i}`, i);
  expect(takeovers.most(2, 100)[0]).toEqual({ deviceId: "rogue", takeovers: 50 });
  expect(takeovers.most(2, 100).length).toBe(2);
  expect([takeovers.most(2, 700_000), takeovers.size]).toEqual([[], 0]);
});
