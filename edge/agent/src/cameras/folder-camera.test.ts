import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { FolderCamera } from "./folder-camera.ts";
import { FrameQueue } from "./frame-queue.ts";

const dir = tempDir("folder-camera");
afterAll(() => dir.remove());

/** Whoever sleeps is woken at once, and so much later. */
class SkippingClock implements Clock {
  #nowMs = 0;
  readonly now = () => this.#nowMs;
  readonly monotonicMs = () => this.#nowMs;
  async sleep(ms: number): Promise<void> {
    this.#nowMs += ms;
  }
}

test.each([[["1.jpg"]], [["1.jpg", "2.jpeg", "3.jpg"]]])("%j in a loop keep the pace of fps", async (photos) => {
  for (const name of photos) writeFileSync(join(dir.path, name), name);
  const clock = new SkippingClock();
  const shownAt: number[] = [];
  const eleven = Promise.withResolvers<void>();
  const queue = new FrameQueue({ cameraId: "front", framesMax: 100, whenFull: "wait" }, () => ({
    ...{ machineBoot: "boot", monotonicMs: clock.monotonicMs(), wallMs: null },
  }));
  queue.onFrame = () => {
    shownAt.push(queue.take()?.captured.monotonicMs ?? Number.NaN);
    if (shownAt.length === 11) eleven.resolve();
  };
  const events = { onStarted: () => {}, onEnded: () => {}, onRefused: () => {} };
  const context = { queue, events, frameBytesMax: 1_000, bootId: () => "boot" };
  const shared = { id: "front", kind: "folder", whenFull: "wait", queueFramesMax: 100 } as const;
  const camera = new FolderCamera({ ...shared, folder: dir.path, fps: 10, loop: true }, context, clock);
  camera.start();
  await eleven.promise;
  await camera.stop();
  expect(shownAt.slice(0, 11)).toEqual(Array.from({ length: 11 }, (_, i) => i * 100));
});
