/** Sketches of devices that run models/edge-resnet8, whose cameras are fine until they are not. */
import { EdgeSketches, topics } from "@tributary/contracts";
import type { DriftReference } from "@tributary/drift";
import type { OutRecord } from "@tributary/kafka";
import { seededRandom } from "@tributary/kernel";
import { repositoryRoot, someBootId, someDigest } from "@tributary/testing";
import { readReference } from "./packages/documents.ts";

export const folder = `${repositoryRoot}/models/edge-resnet8`;
export const someReference = (): Promise<DriftReference> => readReference(folder);

const FRAMES = 30;

export type Windows = {
  readonly deviceId: string;
  readonly reference: DriftReference;
  readonly windows: number;
  /** The first that is dark; none by default. */
  readonly darkFrom?: number;
  readonly windowMs?: number;
  /** Age of the newest window's end. */
  readonly ageMs?: number;
  /** Number of the first. */
  readonly seq?: number;
};

/** Consecutive windows of one camera, as the bridge writes them. */
export function someSketches(options: Windows): readonly EdgeSketches[] {
  const { deviceId, reference, windows, darkFrom = Number.POSITIVE_INFINITY, windowMs = 1_000, ageMs = 0 } = options;
  const { seq = 1 } = options;
  const random = seededRandom(seq + [...deviceId].reduce((sum, letter) => 31 * sum + letter.charCodeAt(0), 7));
  return Array.from({ length: windows }, (_, i): EdgeSketches => {
    const isDark = i >= darkFrom;
    const labels: Record<string, bigint> = {};
    for (let frame = 0; frame < FRAMES; frame++) {
      const label = reference.labels[Math.floor(random() * reference.labels.length)] as string;
      labels[label] = (labels[label] ?? 0n) + 1n;
    }
    return {
      deviceId,
      bootId: someBootId,
      seq: BigInt(seq + i),
      windowMs,
      ageMs: ageMs + (windows - 1 - i) * windowMs,
      clockState: "SYNCHRONIZED",
      modelDigest: reference.modelDigest,
      preprocessingDigest: someDigest,
      cameraId: "front",
      temperature: 1,
      grid: [],
      encoders: {},
      qualitySum: 0n,
      byClass: {},
      labels,
      histograms: reference.sketch.histograms.map(({ feature, counts }) => {
        const isMoved = isDark && (feature === "luminance" || feature.startsWith("channel_mean_"));
        const drawn = counts.map(() => 0n);
        for (let frame = 0; frame < FRAMES; frame++) {
          const bin = isMoved ? 8 : binOf(counts, random());
          drawn[bin] = (drawn[bin] ?? 0n) + 1n;
        }
        return { feature, counts: drawn };
      }),
    };
  });
}

export const sketchRecord = (sketch: EdgeSketches): OutRecord => ({
  topic: topics.sketches.name,
  key: sketch.deviceId,
  value: EdgeSketches.encodeConfluent(sketch),
});

/** A bin by its share of the validation set. */
function binOf(counts: readonly number[], at: number): number {
  const all = counts.reduce((sum, count) => sum + count, 0);
  let left = at * all;
  for (const [bin, count] of counts.entries()) {
    left -= count;
    if (left < 0) return bin;
  }
  return counts.length - 1;
}
