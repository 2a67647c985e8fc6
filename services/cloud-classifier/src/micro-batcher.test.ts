import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type BatcherLimits, type Lane, MicroBatcher, type Queued } from "./micro-batcher.ts";

const limits: BatcherLimits = { batchMax: 4, waitMs: 5, queueFramesMax: 64, queueBytesMax: 10_000 };
const FAR = 1_000_000;

const entry = (item: number, lane: Lane, at: number, more: Partial<Queued<number>> = {}): Queued<number> => ({
  item,
  lane,
  owner: "cam",
  bytes: 10,
  deadlineAt: FAR,
  keepExpired: false,
  queuedAtMs: at,
  ...more,
});
const at = (ms: number, wall = ms) => ({ wall, monotonicMs: ms });
const items = (entries: readonly Queued<number>[]) => entries.map((e) => e.item);

describe("MicroBatcher", () => {
  test("a full batch leaves at once, a small one when its oldest has waited", () => {
    const batcher = new MicroBatcher<number>(limits);
    for (let i = 0; i < 5; i++) batcher.offer(entry(i, "normal", 100));
    expect(items(batcher.take(at(100)).batch)).toEqual([0, 1, 2, 3]);
    const early = batcher.take(at(104));
    expect(early.batch).toEqual([]);
    expect(early.nextAtMs).toBe(105);
    expect(items(batcher.take(at(105)).batch)).toEqual([4]);
    expect(batcher.take(at(200))).toEqual({ batch: [], expired: [] });
  });

  test("the high lane is served first and alone, however many wait in the other", () => {
    const batcher = new MicroBatcher<number>(limits);
    for (let i = 0; i < 8; i++) batcher.offer(entry(i, "normal", 0));
    batcher.offer(entry(100, "high", 50));
    expect(items(batcher.take(at(55)).batch)).toEqual([100]);
    expect(items(batcher.take(at(55)).batch)).toEqual([0, 1, 2, 3]);
  });

  test("devices have turns: whoever has many waiting does not delay who has one", () => {
    const batcher = new MicroBatcher<number>(limits);
    for (let i = 0; i < 20; i++) batcher.offer(entry(i, "normal", 0, { owner: "hog" }));
    for (const [i, owner] of ["a", "b", "a"].entries()) batcher.offer(entry(100 + i, "normal", 1, { owner }));
    expect(items(batcher.take(at(1)).batch)).toEqual([0, 100, 101, 1]);
    expect(items(batcher.take(at(1)).batch)).toEqual([2, 102, 3, 4]);
  });

  test("the late leave as expired unless they are samples", () => {
    const batcher = new MicroBatcher<number>(limits);
    batcher.offer(entry(1, "normal", 0, { deadlineAt: 10 }));
    batcher.offer(entry(2, "normal", 0, { deadlineAt: 10, keepExpired: true }));
    batcher.offer(entry(3, "high", 0, { deadlineAt: 11 }));
    const taken = batcher.take(at(10));
    expect(items(taken.expired)).toEqual([1]);
    expect(items(taken.batch)).toEqual([3]);
    expect(items(batcher.take(at(20)).batch)).toEqual([2]);
  });

  test("a wall clock that jumps back delays nothing", () => {
    const batcher = new MicroBatcher<number>(limits);
    batcher.offer(entry(1, "normal", 1_000));
    expect(items(batcher.take(at(1_005, -5_000)).batch)).toEqual([1]);
  });

  test("at the bound ordinary frames are shed, high ones and samples wait", () => {
    const batcher = new MicroBatcher<number>({ ...limits, queueFramesMax: 2 });
    batcher.offer(entry(1, "normal", 0));
    batcher.offer(entry(2, "normal", 0));
    expect(batcher.offer(entry(3, "normal", 0))).toBe("shed");
    expect(batcher.offer(entry(4, "high", 0))).toBe("wait");
    expect(batcher.offer(entry(5, "normal", 0, { keepExpired: true }))).toBe("wait");
  });

  test("one frame above the byte bound passes an empty queue instead of waiting forever", () => {
    const batcher = new MicroBatcher<number>(limits);
    expect(batcher.offer(entry(1, "high", 0, { bytes: 20_000 }))).toBe("queued");
    expect(batcher.offer(entry(2, "high", 0))).toBe("wait");
    expect(items(batcher.take(at(10)).batch)).toEqual([1]);
    expect(batcher.bytes).toBe(0);
  });

  test.each([1, 2, 3, 4, 5])("seed %i: everything leaves once, in order within its lane, and bounds hold", (seed) => {
    const random = seededRandom(seed);
    const batcher = new MicroBatcher<number>(limits);
    const left: { item: number; lane: Lane; late: boolean; waited: number }[] = [];
    let accepted = 0;
    let now = 0;
    const takeAll = () => {
      for (;;) {
        const taken = batcher.take(at(now));
        for (const e of taken.expired) left.push({ item: e.item, lane: e.lane, late: true, waited: 0 });
        if (taken.batch.length === 0) return;
        expect(taken.batch.length).toBeLessThanOrEqual(limits.batchMax);
        expect(new Set(taken.batch.map((e) => e.lane)).size).toBe(1);
        for (const e of taken.batch) {
          expect(e.keepExpired || e.deadlineAt > now).toBe(true);
          left.push({ item: e.item, lane: e.lane, late: false, waited: now - e.queuedAtMs });
        }
        if (random() < 0.5) return;
      }
    };
    for (let i = 0; i < 2_000; i++) {
      now += Math.floor(random() * 3);
      const made = entry(i, random() < 0.2 ? "high" : "normal", now, {
        bytes: Math.floor(random() * 400),
        deadlineAt: now + Math.floor(random() * 50),
        keepExpired: random() < 0.1,
      });
      if (batcher.offer(made) === "queued") accepted++;
      expect(batcher.frames).toBeLessThanOrEqual(limits.queueFramesMax);
      if (random() < 0.4) takeAll();
    }
    now += 1_000;
    while (batcher.frames > 0) takeAll();
    expect(left).toHaveLength(accepted);
    expect(new Set(left.map((l) => l.item)).size).toBe(accepted);
    for (const lane of ["high", "normal"] as const) {
      const order = left.filter((l) => l.lane === lane && !l.late).map((l) => l.item);
      expect(order).toEqual([...order].sort((a, b) => a - b));
    }
  });
});
