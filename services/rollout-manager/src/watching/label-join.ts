/** Accuracy: labels of frames that the random sample drew, joined with the device's predictions, and with what the system answered.
 *
 * A1. Only drawn frames count, each weighted by the inverse of its propensity: `propensityMean / pi`. The scale cancels (judge/comparison.ts); with
 *     this one the weights of a device sum to about its number of labels, for people who read them.
 * A2. A frame without a label is missing, not wrong; a label without a class takes its frame out.
 * A3. A label may come before its frame. Of several the newest of a round holds; one that comes after its frame was counted
 *     changes nothing any more, and is logged.
 * A5. The device's accuracy counts as soon as the label is there. The system's needs both records of the frame (system-answers.ts), and
 *     a label that comes before the second one waits for it.
 * A4. (G9) Frames that wait for labels, and labels that wait for frames, are bounded; the oldest go. */
import type { EdgePrediction, GroundTruth } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";

export type LabelJoinLimits = { readonly drawnFramesMax: number; readonly labelsWaitingMax: number };

export type Judgement = {
  readonly deviceId: string;
  readonly metric: "accuracy" | "system-accuracy";
  /** Of the model; of the system's answer, the version of the policy. */
  readonly digest: string;
  readonly good: number;
  readonly frames: number;
  readonly at: Instant;
  /** True class. */
  readonly label: string;
  /** Probability by which the device's model expected to be right. */
  readonly expected: number;
};

type Drawn = {
  readonly deviceId: string;
  /** Of the model, and of the world model that the label is of as well. */
  readonly digests: readonly string[];
  readonly label: string;
  readonly weight: number;
  readonly expected: number;
  readonly at: Instant;
  readonly system?: SystemLabel;
};

/** The system's answer, and the policy that decided whose it is. */
export type SystemLabel = { readonly policyVersion: string; readonly label: string };

/** Below any policy's least; what claims less is absurd. */
const PROPENSITY_MIN = 1e-4;

/** Null: not drawn, or with a propensity that cannot be. */
export function weightOf(
  { sampleDrawn, samplePropensity: pi }: Pick<EdgePrediction, "sampleDrawn" | "samplePropensity">,
  propensityMean: number,
): number | null {
  return sampleDrawn && pi >= PROPENSITY_MIN && pi <= 1 ? propensityMean / pi : null;
}

/** What a restarted instance needs. */
export type LabelJoinState = {
  readonly drawn: ReadonlyMap<string, Drawn>;
  readonly counted: ReadonlySet<string>;
  readonly unanswered: ReadonlyMap<string, Drawn & { readonly truth: string }>;
  readonly answered: readonly Judgement[];
  readonly labels: ReadonlyMap<string, string | null>;
  readonly corrected: number;
  readonly forgotten: number;
};

export class LabelJoin {
  readonly #limits: LabelJoinLimits;
  readonly #propensityMean: number;
  readonly #drawn = new Map<string, Drawn>();
  readonly #counted = new Set<string>();
  /** Labelled frames whose system's answer is not known yet, with their true class. (A5) */
  readonly #unanswered = new Map<string, Drawn & { readonly truth: string }>();
  readonly #answered: Judgement[] = [];
  readonly #labels = new Map<string, string | null>();
  #corrected = 0;
  #forgotten = 0;

  constructor(limits: LabelJoinLimits, propensityMean: number) {
    this.#limits = limits;
    this.#propensityMean = propensityMean;
  }

  state(): LabelJoinState {
    const [drawn, counted, unanswered] = [this.#drawn, this.#counted, this.#unanswered];
    const [answered, labels, corrected, forgotten] = [this.#answered, this.#labels, this.#corrected, this.#forgotten];
    return { drawn, counted, unanswered, answered, labels, corrected, forgotten };
  }

  /** Into one that has taken nothing yet. */
  restore({ drawn, counted, unanswered, answered, labels, corrected, forgotten }: LabelJoinState): void {
    for (const [frame, one] of drawn) this.#drawn.set(frame, one);
    for (const frame of counted) this.#counted.add(frame);
    for (const [frame, one] of unanswered) this.#unanswered.set(frame, one);
    for (const one of answered) this.#answered.push(one);
    for (const [frame, label] of labels) this.#labels.set(frame, label);
    this.#corrected = corrected;
    this.#forgotten = forgotten;
  }

  /** Labels that came too late to count, and labels whose frame never came, since the last call. */
  takeLeftOut(): { readonly corrected: number; readonly forgotten: number } {
    const leftOut = { corrected: this.#corrected, forgotten: this.#forgotten };
    this.#corrected = 0;
    this.#forgotten = 0;
    return leftOut;
  }

  /** What LITE or nothing answered on the device counts for the system alone. */
  predicted(
    batch: { readonly deviceId: string; readonly bootId: bigint; readonly modelDigest: string },
    prediction: EdgePrediction,
    at: Instant,
  ): void {
    const weight = weightOf(prediction, this.#propensityMean);
    if (weight === null) return; // A1
    const { deviceId, bootId, modelDigest } = batch;
    const { cameraId, frameSeq, label, level, sampleCorrectness: expected } = prediction;
    const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    if (this.#counted.has(frame)) return;
    const { worldDigest } = prediction;
    const ofModel = worldDigest === null ? [modelDigest] : [modelDigest, worldDigest];
    const digests = level === "FULL" ? ofModel : [];
    this.#drawn.set(frame, { deviceId, digests, label, weight, expected, at });
    trim(this.#drawn, this.#limits.drawnFramesMax); // A4
  }

  /** Of a drawn frame. */
  answered(frame: string, system: SystemLabel): void {
    const drawn = this.#drawn.get(frame);
    if (drawn !== undefined) this.#drawn.set(frame, { ...drawn, system });
    const labelled = this.#unanswered.get(frame);
    if (labelled === undefined) return;
    this.#unanswered.delete(frame);
    this.#answered.push(ofSystem(labelled, system, labelled.truth));
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
    const judgements: Judgement[] = this.#answered.splice(0);
    for (const [frame, truth] of this.#labels) {
      const drawn = this.#drawn.get(frame);
      if (drawn === undefined) continue;
      this.#labels.delete(frame);
      this.#drawn.delete(frame);
      if (truth === null) continue; // A2
      this.#counted.add(frame);
      const { deviceId, digests, label, weight: frames, expected, at, system } = drawn;
      const good = label === truth ? frames : 0;
      for (const digest of digests)
        judgements.push({ deviceId, metric: "accuracy", digest, good, frames, at, label: truth, expected });
      if (system !== undefined) judgements.push(ofSystem(drawn, system, truth));
      else this.#unanswered.set(frame, { ...drawn, truth });
    }
    trim(this.#unanswered, this.#limits.labelsWaitingMax);
    trim(this.#counted, this.#limits.labelsWaitingMax);
    return judgements;
  }
}

function ofSystem({ deviceId, weight: frames, expected, at }: Drawn, system: SystemLabel, truth: string): Judgement {
  const good = system.label === truth ? frames : 0;
  return {
    deviceId,
    metric: "system-accuracy",
    digest: system.policyVersion,
    good,
    frames,
    at,
    label: truth,
    expected,
  };
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
