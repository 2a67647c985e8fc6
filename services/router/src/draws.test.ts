import { createHmac } from "node:crypto";
import { expect, test } from "@jest/globals";
import { formatFrameId, systemClock } from "@tributary/kernel";
import { sampleDraw } from "@tributary/routing";
import { sampleKeyOf } from "@tributary/service-kit";
import { createTelemetry } from "@tributary/telemetry";
import { Draws } from "./draws.ts";

const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
const drawsOf = () => new Draws({} as never, systemClock, Math.random, telemetry);

test("a draw is verified by the device's key, or by its former key while it may not have the new one", () => {
  const draws = drawsOf();
  const frames = Array.from({ length: 5_000 }, (_, i) => ({
    deviceId: "cam-1",
    bootId: 7n,
    cameraId: "cam",
    frameSeq: BigInt(i),
    samplePropensity: 0.02,
  }));
  const drawnBy = (password: string) => {
    const key = sampleKeyOf("cam-1", password);
    return frames.filter((frame) =>
      sampleDraw(createHmac("sha256", key).update(formatFrameId(frame)).digest(), frame.samplePropensity),
    );
  };
  expect(frames.some((frame) => draws.isDrawn(frame))).toBe(false); // the device is not registered
  draws.registered("cam-1", "hash-1");
  const [first, second] = [drawnBy("hash-1"), drawnBy("hash-2")];
  expect(first.length).toBeGreaterThan(50);
  expect(frames.filter((frame) => draws.isDrawn(frame))).toEqual(first);
  draws.registered("cam-1", "hash-2");
  for (const frame of [...first, ...second]) expect(draws.isDrawn(frame)).toBe(true);
  draws.registered("cam-1", "hash-3");
  expect(first.filter((frame) => !draws.isDrawn(frame)).length).toBeGreaterThan(first.length / 2);
});
