/** Accuracy: labels of frames that the random sample drew, joined with the device's predictions.
 *
 * A1. Only drawn frames count, each weighted by the inverse of its propensity: `propensityMean / pi`. Scaled so, the
 *     weights of a device sum to about its number of labels, which is what the judge takes frames for.
 * A2. A frame without a label is missing, not wrong; a label without a class takes its frame out.
 * A3. A label may come before its frame. Of several the newest of a round holds; one that comes after its frame was counted
 *     changes nothing any more, and is logged.
 * A4. (G9) Frames that wait for labels, and labels that wait for frames, are bounded; the oldest go. */
import type { EdgePrediction, GroundTruth } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";

export type LabelJoinLimits = { readonly drawnFramesMax: number; readonly labelsWaitingMax: number };

export type Judgement = {
  readonly deviceId: string;
  readonly modelDigest: string;
  readonly good: number;
  readonly frames: number;
  readonly at: Instant;
  /** True class. */
  readonly label: string;
};

type Drawn = {
  readonly deviceId: string;
  /** Of the model, and of the world model that the label is of as well. */
  readonly digests: readonly string[];
  readonly label: string;
  readonly weight: number;
  readonly at: Instant;
};

/** Below any policy's least; what claims less is absurd. */
const PROPENSITY_MIN = 1e-4;

/** Null: not drawn, or with a propensity that cannot be. */
export function weightOf(
  { sampleDrawn, samplePropensity: pi }: Pick<EdgePrediction, "sampleDrawn" | "samplePropensity">,
  propensityMean: number,
): number | null {
  return sampleDrawn && pi >= PROPENSITY_MIN && pi <= 1 ? propensityMean / pi : null;
}

export class LabelJoin {
  readonly #limits: LabelJoinLimits;
  readonly #propensityMean: number;
  readonly #drawn = new Map<string, Drawn>();
  readonly #counted = new Set<string>();
  readonly #labels = new Map<string, string | null>();
  #corrected = 0;
  #forgotten = 0;

  constructor(limits: LabelJoinLimits, propensityMean: number) {
    this.#limits = limits;
    this.#propensityMean = propensityMean;
  }

  /** Labels that came too late to count, and labels whose frame never came, since the last call. */
  takeLeftOut(): { readonly corrected: number; readonly forgotten: number } {
    const leftOut = { corrected: this.#corrected, forgotten: this.#forgotten };
    this.#corrected = 0;
    this.#forgotten = 0;
    return leftOut;
  }

  predicted(
    batch: { readonly deviceId: string; readonly bootId: bigint; readonly modelDigest: string },
    prediction: EdgePrediction,
    at: Instant,
  ): void {
    const weight = weightOf(prediction, this.#propensityMean);
    if (weight === null) return; // A1
    const { deviceId, bootId, modelDigest } = batch;
    const { cameraId, frameSeq, label } = prediction;
    const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    if (this.#counted.has(frame)) return;
    const { worldDigest } = prediction;
    const digests = worldDigest === null ? [modelDigest] : [modelDigest, worldDigest];
    this.#drawn.set(frame, { deviceId, digests, label, weight, at });
    trim(this.#drawn, this.#limits.drawnFramesMax); // A4
  }

  labelled({ deviceId, bootId, cameraId, frameSeq, label }: GroundTruth): void {
    const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    if (this.#counted.has(frame)) {
      this.#corrected += 1; // A3
      return;
    }
    this.#labels.delete(frame);
    this.#labels.set(frame, label);
    this.#forgotten += trim(this.#labels, this.#limits.labelsWaitingMax); // A4
  }

  /** The outcomes of this round's labels and frames. */
  take(): readonly Judgement[] {
    const judgements: Judgement[] = [];
    for (const [frame, truth] of this.#labels) {
      const drawn = this.#drawn.get(frame);
      if (drawn === undefined) continue;
      this.#labels.delete(frame);
      this.#drawn.delete(frame);
      if (truth === null) continue; // A2
      this.#counted.add(frame);
      const { deviceId, digests, label, weight: frames, at } = drawn;
      for (const modelDigest of digests) {
        judgements.push({ deviceId, modelDigest, good: label === truth ? frames : 0, frames, at, label: truth });
      }
    }
    trim(this.#counted, this.#limits.labelsWaitingMax);
    return judgements;
  }
}

/** Forgets the oldest beyond `max`; how many. */
function trim(kept: Map<string, unknown> | Set<string>, max: number): number {
  let forgotten = 0;
  for (const key of kept.keys()) {
    if (kept.size <= max) break;
    kept.delete(key);
    forgotten += 1;
  }
  return forgotten;
}
