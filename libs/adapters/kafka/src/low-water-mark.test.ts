import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { LowWaterMark } from "./low-water-mark.ts";

describe("a low-water mark", () => {
  test.each([1, 2, 3, 4])(
    "seed %i: never passes an unfinished record, and all when they have finished (low-water-mark.ts M1, M2)",
    (seed) => {
      const random = seededRandom(seed);
      const below = (max: number) => Math.floor(random() * max);
      const mark = new LowWaterMark(100n);
      const unfinished = new Set<bigint>();
      let [next, before] = [100n, 100n];
      for (let step = 0; step < 1_000; step++) {
        if (unfinished.size < 50 && random() < 0.55) {
          next += BigInt(below(3) === 0 ? 1 + below(3) : 0); // markers, and offsets that were compacted away
          expect(mark.take(next)).toBe(true);
          unfinished.add(next++);
        } else {
          const done = [...unfinished][below(unfinished.size)];
          if (done === undefined) continue;
          unfinished.delete(done);
          mark.finish(done);
        }
        const [lowest = next] = [...unfinished].sort((a, b) => Number(a - b));
        expect(mark.next).toBe(lowest);
        expect(mark.next >= before).toBe(true);
        before = mark.next;
      }
      for (const offset of unfinished) mark.finish(offset);
      mark.passed(next); // a marker behind the last record
      expect([mark.next, mark.unfinished, mark.ahead]).toEqual([next + 1n, 0, 0]);
    },
  );

  test.each([1, 2, 3])("seed %i: what is delivered again after a rebalance is taken once (M3)", (seed) => {
    const random = seededRandom(seed);
    const mark = new LowWaterMark(0n);
    for (let offset = 0n; offset < 200n; offset++) mark.take(offset);
    const done = Array.from({ length: 200 }, (_, i) => BigInt(i)).filter(() => random() < 0.7);
    for (const offset of done) mark.finish(offset);
    const { next } = mark;
    const again: bigint[] = [];
    for (let offset = next; offset < 220n; offset++) {
      if (mark.take(offset)) again.push(offset);
      expect(mark.next).toBe(next);
    }
    expect(again).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(200 + i)));
    for (let offset = 0n; offset < 220n; offset++) mark.finish(offset);
    expect(mark.next).toBe(220n);
  });

  test("a log that restarts at 0 is taken again, and not committed past where it is (M1, M3)", () => {
    const mark = new LowWaterMark(500n);
    for (const offset of [500n, 501n, 502n]) mark.take(offset);
    mark.finish(500n);
    expect(mark.take(0n)).toBe(true);
    mark.finish(0n);
    expect(mark.next).toBe(1n);
    mark.finish(501n);
    mark.finish(502n);
    expect(mark.next).toBe(1n);
  });
});
