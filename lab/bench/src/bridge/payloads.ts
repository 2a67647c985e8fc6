/** What the devices of `bench bridge` publish. */
import { uplinkStreams } from "@tributary/contracts";
import { makeBootId } from "@tributary/kernel";
import { someFrame, somePrediction, somePredictions } from "@tributary/testing";
import type { PayloadKind } from "./meter.ts";

/** A whole JPEG by its structure: SOI, a frame of 8 x 8, a scan; the end. */
const JPEG_HEAD = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
const JPEG_END = [0xff, 0xd9];
const bootId = makeBootId(1, 42n);

/** As near to `bytes` as its kind allows, and not more. */
export function payloadOf(kind: PayloadKind, bytes: number, deviceId: string, seq: bigint): Buffer {
  switch (kind) {
    case "text":
      return Buffer.alloc(bytes, `${deviceId} ${seq} `);
    case "predictions": {
      const [one, two] = [1, 2].map((count) => predictions(deviceId, seq, count).length) as [number, number];
      return predictions(deviceId, seq, 1 + Math.floor((bytes - one) / (two - one)));
    }
    case "frames": {
      const rest = frame(deviceId, seq, 0).length;
      return frame(deviceId, seq, bytes - rest);
    }
  }
}

function predictions(deviceId: string, seq: bigint, count: number): Buffer {
  const ofFrame = (_: unknown, i: number) => somePrediction({ frameSeq: seq * 1_000n + BigInt(i) });
  const batch = somePredictions({ deviceId, bootId, seq, predictions: Array.from({ length: count }, ofFrame) });
  return uplinkStreams.predictions.codec.encodeSingleObject(batch);
}

function frame(deviceId: string, seq: bigint, scanBytes: number): Buffer {
  const jpeg = Buffer.from([...JPEG_HEAD, ...Buffer.alloc(scanBytes, 0x55), ...JPEG_END]);
  return uplinkStreams.frames.codec.encodeSingleObject(someFrame({ deviceId, bootId, seq, frameSeq: seq, jpeg }));
}
