/** Student's t over clusters keeps its level where clusters are few, differ, and have unequal numbers of items. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { clusteredLower, clusteredP, clustersNeeded, mergedSums, sumsOfClusters, sumsOfItems } from "./clusters.ts";
import { normalQuantile } from "./normal.ts";
import { studentCritical, studentTail } from "./student.ts";

// Of printed tables, e.g. NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
test.each([
  [0.05, 1, 6.313752],
  [0.05, 2, 2.919986],
  [0.05, 7, 1.894579],
  [0.025, 30, 2.042272],
  [0.01, 100, 2.364217],
])("Student's t exceeded with %d at %d degrees of freedom", (alpha, freedom, t) => {
  expect(studentCritical(alpha, freedom)).toBeCloseTo(t, 5);
  expect(studentTail(t, freedom)).toBeCloseTo(alpha, 6);
  expect(studentTail(-t, freedom)).toBeCloseTo(1 - alpha, 6);
});

describe("clusters", () => {
  const RUNS = 4_000;

  test.each([
    { sizes: [1_000, 1_000, 1_000] },
    { sizes: [1_000, 500, 500] },
    { sizes: [3_000, 100, 100, 100, 100] },
    { sizes: [5_000, ...new Array<number>(20).fill(20)] },
  ])("of $sizes items, whose differences vary around 0, show a gain as rarely as the level says", ({ sizes }) => {
    const random = seededRandom(7);
    let shown = 0;
    for (let run = 0; run < RUNS; run++) {
      const clusters = sizes.map((items) => {
        const difference = items * (0.1 * normalQuantile(random()) + Math.sqrt(0.1 / items) * normalQuantile(random()));
        return { items, won: Math.max(0, difference), lost: Math.max(0, -difference) };
      });
      if (clusteredP(sumsOfClusters(clusters), 0) <= 0.05) shown += 1;
    }
    // 0.05, and three standard errors of the runs.
    expect(shown / RUNS).toBeLessThan(0.0604);
  });

  test("a bound is the difference that is refuted at its level, or -1", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 50; i++) {
      const clusters = Array.from({ length: 2 + Math.floor(20 * random()) }, () => {
        const items = 5 + Math.floor(200 * random());
        return { items, won: Math.floor(0.2 * items * random()), lost: Math.floor(0.2 * items * random()) };
      });
      const sums = sumsOfClusters(clusters);
      const lower = clusteredLower(sums, 0.05);
      if (lower > -1) expect(clusteredP(sums, lower)).toBeCloseTo(0.05, 6);
      else expect(clusteredP(sums, -1)).toBeGreaterThan(0.05);
    }
    expect(clusteredLower(sumsOfClusters([{ items: 10, won: 5, lost: 0 }]), 0.05)).toBe(-1);
  });

  test("items that are clusters of their own are as many clusters of one, and sums add up", () => {
    const some = [{ items: 30, won: 6, lost: 2 }];
    const items = Array.from({ length: 20 }, (_, i) => ({ items: 1, won: i < 3 ? 1 : 0, lost: i === 4 ? 1 : 0 }));
    const merged = mergedSums(sumsOfClusters(some), sumsOfItems({ items: 20, won: 3, lost: 1 }));
    for (const [key, value] of Object.entries(sumsOfClusters([...some, ...items])))
      expect([key, merged[key as keyof typeof merged]]).toEqual([key, expect.closeTo(value, 10)]);
  });

  test("as many clusters as are needed show the difference with the planned power; no difference is shown by none", () => {
    const sums = sumsOfClusters([0.3, 0, 0.2, -0.1].map((d) => ({ items: 100, won: 20 + 100 * d, lost: 20 })));
    const needed = clustersNeeded(sums, 0.1, 0.05, 0.5) as number;
    const times = (n: number) => Object.fromEntries(Object.entries(sums).map(([key, sum]) => [key, (n / 4) * sum]));
    expect(clusteredP({ ...sums, ...times(needed) }, 0)).toBeLessThanOrEqual(0.05);
    expect(clusteredP({ ...sums, ...times(needed - 2) }, 0)).toBeGreaterThan(0.05);
    expect(clustersNeeded(sums, 0.1, 0.05, 0.8) as number).toBeGreaterThan(needed);
    expect(clustersNeeded(sums, 0, 0.05, 0.5)).toBe(null);
  });
});
