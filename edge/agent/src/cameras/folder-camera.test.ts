import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { FolderCamera } from "./folder-camera.ts";
import { FrameQueue } from "./frame-queue.ts";

const dir = tempDir("folder-camera");
afterAll(() => dir.remove());

/** A clock whose sleeps end at once, and that much later. */
class SkippingClock implements Clock {
  #nowMs = 0;
  readonly now = () => this.#nowMs;
  readonly monotonicMs = () => this.#nowMs;
  async sleep(ms: number): Promise<void> {
    this.#nowMs += ms;
  }
}

/** A camera at 10 frames a second, over and over: when the first eleven photos were shown or refused, in ms. */
async function elevenOf(photos: readonly string[], frameBytesMax: number): Promise<readonly number[]> {
  const folder = mkdtempSync(join(dir.path, "photos-"));
  for (const name of photos) writeFileSync(join(folder, name), name);
  const clock = new SkippingClock();
  const times: number[] = [];
  const eleven = Promise.withResolvers<void>();
  const add = (ms: number) => {
    if (times.push(ms) === 11) eleven.resolve();
  };
  const queue = new FrameQueue({ cameraId: "front", framesMax: 100, whenFull: "wait" }, () => ({
    machineBoot: "boot",
    monotonicMs: clock.monotonicMs(),
    wallMs: null,
  }));
  queue.onFrame = () => add(queue.take()?.captured.monotonicMs ?? Number.NaN);
  const events = { onStarted: () => {}, onEnded: () => {}, onRefused: () => add(clock.monotonicMs()) };
  const context = { queue, events, frameBytesMax, bootId: () => "boot" };
  const shared = { id: "front", kind: "folder", whenFull: "wait", queueFramesMax: 100 } as const;
  const camera = new FolderCamera({ ...shared, folder, fps: 10, loop: true }, context, clock);
  camera.start();
  await eleven.promise;
  await camera.stop();
  return times.slice(0, 11);
}

test.each([
  ["one photo", ["1.jpg"], 100],
  ["three photos", ["1.jpg", "2.jpeg", "3.jpg"], 100],
  ["a photo that is too large", ["1.jpg"], 1],
  ["photos of which one is too large", ["1.jpg", "2-too-large.jpg"], 10],
])("%s in a loop: the pace is that of fps", async (_, photos, frameBytesMax) => {
  expect(await elevenOf(photos, frameBytesMax)).toEqual(Array.from({ length: 11 }, (_, i) => i * 100));
});
