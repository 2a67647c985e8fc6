import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { DedupeWindow, WINDOW_RECORDS } from "./dedupe-window.ts";
import { DIGESTS_MAX, DigestWindow } from "./digest-window.ts";

describe("dedupe window", () => {
  test("agrees with a set over seeds, through storage, for any order within the window", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const spread = 1 + Math.floor(random() * (WINDOW_RECORDS - 1));
      const order = Array.from({ length: 1_500 }, (_, i) => ({ seq: i + 1, at: i + random() * spread * 0.9 }))
        .sort((a, b) => a.at - b.at)
        .map(({ seq }) => seq);
      const wrong: object[] = [];
      let window = new DedupeWindow();
      for (const [i, seq] of order.entries()) {
        if (random() < 0.02) window = new DedupeWindow(window.state());
        const mark = window.mark(seq);
        if (!mark.fresh || mark.skipped > 0) wrong.push({ seed, seq, ...mark });
        const again = order[Math.max(0, i - Math.floor(random() * 900))] as number;
        if (window.mark(again).fresh) wrong.push({ seed, again });
      }
      expect(wrong).toEqual([]);
      expect(window.state()).toEqual({ watermark: 1_500n, bitmap: new Uint8Array(0) });
    }
  });

  test("gives up and counts holes that 1,024 later numbers have passed", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const window = new DedupeWindow();
      const marked = new Set<number>();
      let seq = 0;
      let skipped = 0;
      for (let i = 0; i < 400; i++) {
        seq += 1 + Math.floor(random() * (random() < 0.02 ? 5_000 : 6));
        const mark = window.mark(seq);
        if (mark.fresh) marked.add(seq);
        skipped += mark.skipped;
      }
      const { watermark } = window.state();
      const holes = Array.from({ length: Number(watermark) }, (_, i) => i + 1).filter((n) => !marked.has(n)).length;
      expect({ seed, skipped }).toEqual({ seed, skipped: holes });
    }
  });
});

test("digest window: the last 1,024 are known, through storage, and no more", () => {
  const random = seededRandom(5);
  const digests = Array.from({ length: 3_000 }, () => BigInt(Math.floor(random() * 2 ** 52)) << 11n);
  let window = new DigestWindow();
  for (const [i, digest] of digests.entries()) {
    expect(window.mark(digest)).toBe(true);
    if (i % 200 === 0) window = new DigestWindow(window.state());
  }
  expect(window.state()).toHaveLength(DIGESTS_MAX * 8);
  for (const digest of digests.slice(-DIGESTS_MAX)) expect(window.mark(digest)).toBe(false);
  expect(window.mark(digests.at(-DIGESTS_MAX - 1) as bigint)).toBe(true);
});
