import { expect, test } from "@jest/globals";
import { buildReferenceSketch, FRAME_GRID, type SketchObservation } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import sharp from "sharp";
import { plainFrame } from "./camera-faults.ts";
import { spreadOf } from "./drift-documents.ts";

test.each([2, 20, 400])(
  "what frames without a fault differ by is a number for %d classes, also where some have no frame",
  (classes) => {
    const random = seededRandom(classes);
    const frames = Array.from({ length: 300 }, (_, i) => ({ label: Math.min(classes - 2, i % classes) }));
    const observations = frames.map(({ label }): SketchObservation => {
      const [light, sd] = [random(), random() / 2];
      return {
        ...{ label: `class-${label}`, confidence: random(), margin: random(), entropy: random() },
        picture: {
          ...{
            channelMeans: [light, light, light],
            channelSds: [sd, sd, sd],
            luminance: light,
            bitsPerPixel: 8 * random(),
          },
          grid: Uint8Array.from({ length: FRAME_GRID }, () => 256 * random()),
          ...{ encoder: "standard/2x2/optimised", quality: 90 },
        },
      };
    });
    const spread = Object.values(
      spreadOf(observations, frames as never, classes, buildReferenceSketch(observations, classes, 2)),
    );
    expect(spread.length).toBeGreaterThan(20);
    expect(spread.every((value) => value >= 0 && value <= 1)).toBe(true);
    expect(Math.max(...spread)).toBeGreaterThan(0.005);
  },
);

test("frames are reduced for a model that resizes, and left as they are for one that takes them so", async () => {
  const jpeg = await sharp({ create: { width: 224, height: 160, channels: 3, background: "grey" } })
    .jpeg()
    .toBuffer();
  const sizes = await Promise.all([true, false].map((isReduced) => plainFrame(jpeg, isReduced)));
  expect(sizes.map(({ picture: { width, height } }) => [width, height])).toEqual([
    [96, 69],
    [224, 160],
  ]);
});
