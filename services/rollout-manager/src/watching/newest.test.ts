import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { Newest } from "./newest.ts";

test.each([1, 2, 3, 4])("seed %i: the oldest go first, and about as many stay as may", (seed) => {
  const random = seededRandom(seed);
  const max = 1 + Math.floor(random() * 100);
  const newest = new Newest<number>(max);
  const kept: string[] = [];
  for (let i = 0; i < 3_000; i++) {
    const [key] = random() < 0.2 ? kept.splice(Math.floor(random() * kept.length), 1) : [];
    if (key !== undefined) expect(newest.delete(key)).toBe(true);
    kept.push(`${i}`);
    const gone = newest.set(`${i}`, i).map(([name]) => name);
    expect([seed, gone]).toEqual([seed, kept.splice(0, gone.length)]);
    expect(kept.length).toBeLessThanOrEqual(max + max / 16);
  }
  expect(kept.length).toBeGreaterThanOrEqual(Math.min(max, 50));
  for (const key of kept) expect([key, newest.get(key), newest.has(key)]).toEqual([key, Number(key), true]);
});
