import { expect, test } from "@jest/globals";
import { someJpeg } from "@tributary/testing";
import { FRAME_INCOMPLETE, FrameQueue } from "./frame-queue.ts";
import { JpegSplitter } from "./jpeg-splitter.ts";
import { stampIn, stampLine } from "./stamp.ts";

test.each([
  ["--frame\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1719922000.123456\r\n\r\n", 1_719_922_000_123.456],
  [stampLine(12_345.678), 12_345.678],
  ["x-timestamp:5\n", 5_000],
  ["X-Timestamp: 1.0\r\nX-Timestamp: 2.0\r\n", 2_000],
  ["X-Timestamp: -1\r\n", null],
  ["X-Timestamp: 1e9\r\n", null],
  ["No-X-Timestamp: 1\r\n", null],
  ["X-Timestamp: 17", null], // Cut off.
  ["", null],
])("the stamp in %j is %p", (before, ms) => {
  if (ms === null) expect(stampIn(before)).toBeNull();
  else expect(stampIn(before)).toBeCloseTo(ms, 3);
});

test("jpeg-splitter.ts J4: each frame begins with the stamp that is before it, however the stream is cut, and that is no garbage", async () => {
  const jpeg = await someJpeg({ side: 16 });
  const stream = Buffer.concat([1, 2, 3].flatMap((n) => [Buffer.from(stampLine(n)), jpeg]));
  for (const step of [1, 7, 100, stream.length]) {
    const stamps: unknown[] = [];
    const garbage: number[] = [];
    const onBegin = (before: string) => stamps.push(stampIn(before)) > 0;
    const splitter = new JpegSplitter(1 << 20, () => garbage.push(splitter.counts.skippedBytes), { onBegin });
    for (let at = 0; at < stream.length; at += step) splitter.push(stream.subarray(at, at + step));
    expect([stamps, garbage]).toEqual([
      [1, 2, 3],
      [0, 0, 0],
    ]);
  }
});

test("jpeg-splitter.ts J4: a frame behind one that is cut has its own stamp", async () => {
  const jpeg = await someJpeg({ side: 64 });
  const cut = jpeg.subarray(0, jpeg.length - 100);
  const part = (n: number, body: Buffer) => Buffer.concat([Buffer.from(`\r\n--frame\r\n${stampLine(n)}\r\n`), body]);
  const stream = Buffer.concat([part(1, jpeg), part(2, cut), part(3, cut), part(4, jpeg)]);
  for (const step of [1, 7, 100, stream.length]) {
    const stamps: unknown[] = [];
    let whole = 0;
    const onBegin = (before: string) => stamps.push(stampIn(before)) > 0;
    const splitter = new JpegSplitter(1 << 20, () => (whole += 1), { onBegin });
    for (let at = 0; at < stream.length; at += step) splitter.push(stream.subarray(at, at + step));
    expect([stamps, whole, splitter.counts.brokenFrames]).toEqual([[1, 2, 3, 4], 2, 2]);
  }
});

test("frame-queue.ts Q2: a frame that is not whole in time is refused, once, and not offered; the next one is", async () => {
  const captured = () => ({
    machineBoot: "boot",
    monotonicMs: Number(process.hrtime.bigint() / 1_000_000n),
    wallMs: null,
  });
  const queue = new FrameQueue({ cameraId: "a", framesMax: 1, whenFull: "skip", wholeMsMax: 20 }, captured);
  const refused: string[] = [];
  queue.onRefused = ({ code }) => refused.push(code);
  queue.begin(null);
  queue.parsed();
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(refused).toEqual([FRAME_INCOMPLETE]);
  queue.offer(Buffer.from([1]));
  expect([queue.arrived, queue.take()]).toEqual([0, undefined]);
  queue.begin(null);
  queue.parsed();
  queue.offer(Buffer.from([2]));
  expect(queue.take()?.jpeg[0]).toBe(2);
  queue.begin(null);
  queue.refuse("camera-frame-broken");
  expect(refused).toEqual([FRAME_INCOMPLETE, "camera-frame-broken"]);
});
