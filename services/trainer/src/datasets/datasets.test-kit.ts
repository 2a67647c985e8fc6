/** Frames of a simulated site, with real JPEGs, for tests of datasets. */

import { seededRandom } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";
import type { LabelledFrame } from "@tributary/training/dataset";
import { choiceDefaults } from "@tributary/training/dataset";
import sharp from "sharp";
import type { FreezeRequest } from "./freezer.ts";

export type SiteFrame = LabelledFrame & { readonly jpeg: Buffer };

const CLASSES = ["cat", "dog"];

/** Each of noise of its own. */
export async function siteFrames(count: number, seed: number, devices = 25): Promise<SiteFrame[]> {
  const random = seededRandom(seed);
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const pixels = Buffer.from(Array.from({ length: 9 * 8 * 3 }, () => Math.floor(random() * 256)));
      const picture = sharp(pixels, { raw: { width: 9, height: 8, channels: 3 } });
      const jpeg = await picture.resize(32, 32, { kernel: "nearest", fit: "fill" }).jpeg({ quality: 95 }).toBuffer();
      const deviceId = `cam-${i % devices}`;
      return {
        frameId: `${deviceId}:1:front:${i + 1}`,
        deviceId,
        digest: sha256(jpeg),
        receivedAt: 1_000 * i,
        sampleDrawn: true,
        samplePropensity: 0.05,
        labels: [{ label: CLASSES[i % 2] as string, source: "PERSON", by: "ada", confidence: null }],
        jpeg,
      };
    }),
  );
}

export function requestOf(frames: readonly SiteFrame[], more: Partial<FreezeRequest> = {}): FreezeRequest {
  const jpegs = new Map(frames.map(({ frameId, jpeg }) => [frameId, jpeg]));
  return {
    model: "edge-resnet8",
    slice: "site=north",
    runId: "run-1",
    verdictId: "verdict-1",
    baseVersion: "0123456789ab",
    createdBy: "trainer",
    since: 0,
    seed: "run-1",
    labels: { classes: CLASSES, cloud: null },
    choice: {
      ...choiceDefaults,
      wanted: { TRAIN: 30, TUNE: 10, GATE: 20 },
      framesMin: 40,
      splitMin: { TRAIN: 15, TUNE: 3, GATE: 10 },
    },
    frames: frames.map(({ jpeg: _, ...frame }) => frame),
    pictureOf: async (frameId) => jpegs.get(frameId) ?? null,
    ...more,
  };
}
