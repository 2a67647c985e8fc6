import { describe, expect, test } from "@jest/globals";
import { FrameQueue, FrameQueues } from "./frame-queue.ts";

const now = () => ({ machineBoot: "boot", monotonicMs: 1, wallMs: null });
const jpeg = (n: number) => Buffer.from([n]);

describe("frame queue", () => {
  test("frame-queue.ts Q1: skip keeps the newest and counts the rest", () => {
    let skipped = 0;
    const queue = new FrameQueue({ cameraId: "a", framesMax: 2, whenFull: "skip" }, now, () => skipped++);
    for (let n = 1; n <= 5; n++) expect(queue.offer(jpeg(n))).toBe(true);
    expect([queue.take()?.jpeg[0], queue.take()?.jpeg[0], queue.take()]).toEqual([4, 5, undefined]);
    expect([skipped, queue.skipped, queue.arrived]).toEqual([3, 3, 5]);
  });

  test("frame-queue.ts Q1: wait pauses the source, loses nothing, and notifies it when to resume", () => {
    const queue = new FrameQueue({ cameraId: "a", framesMax: 2, whenFull: "wait" }, now);
    let released = 0;
    queue.onRoom = () => released++;
    expect([1, 2, 3].map((n) => queue.offer(jpeg(n)))).toEqual([true, false, false]);
    expect(queue.take()?.jpeg[0]).toBe(1);
    expect(released).toBe(0);
    queue.take();
    expect(released).toBe(1);
    expect([queue.take()?.jpeg[0], queue.skipped]).toEqual([3, 0]);
  });

  test("cameras take turns, and a waiting taker hears of a frame or of the end", async () => {
    const [a, b] = ["a", "b"].map((cameraId) => new FrameQueue({ cameraId, framesMax: 4, whenFull: "skip" }, now));
    const queues = new FrameQueues([a as FrameQueue, b as FrameQueue]);
    const stop = new AbortController();
    for (const queue of [a, a, a, b]) queue?.offer(jpeg(1));
    const cameras: (string | undefined)[] = [];
    for (let i = 0; i < 4; i++) cameras.push((await queues.next(stop.signal))?.cameraId);
    expect(cameras).toEqual(["a", "b", "a", "a"]);
    const waiting = queues.next(stop.signal);
    b?.offer(jpeg(9));
    expect((await waiting)?.jpeg[0]).toBe(9);
    const last = queues.next(stop.signal);
    a?.offer(jpeg(7));
    stop.abort();
    expect((await last)?.jpeg[0]).toBe(7);
    expect(await queues.next(stop.signal)).toBeUndefined();
  });
});
