/**
 * Joins labels with what was logged of their frames: the random sample's predictions and the cloud's answers to them.
 *
 * E1. A label becomes evidence only if its frame was drawn, the cloud answered, and the model knows the class. What else
 *     can be of a label has a name (`LabelFate`), is counted, and is kept out.
 * E2. The order of arrival does not matter: a label may come before its frame, an answer before its prediction.
 * E3. Of several labels of one frame the last one holds; one without a class takes the frame out.
 * E4. Everything kept is bounded (G9): drawn frames, labels, answers that wait for their prediction. The oldest go first.
 */
import type { CloudResult, EdgePrediction, EdgePredictions, GroundTruth, RoutingPolicy } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";
import { type Calibrated, logitMarginOf } from "./calibrate.ts";
import type { Evidence } from "./relearn.ts";
import { SeenFrames } from "./seen-frames.ts";

export type EvidenceLimits = {
  readonly drawnMax: number;
  readonly labelsMax: number;
  readonly answersWaitingMax: number;
  readonly camerasMax: number;
};

export const evidenceLimits: EvidenceLimits = {
  drawnMax: 100_000,
  labelsMax: 100_000,
  answersWaitingMax: 20_000,
  camerasMax: 50_000,
};

export type LabelFate =
  | "used"
  /** No prediction of this frame is known. */
  | "frame-unknown"
  /** The frame was not drawn into the random sample: alone it is biased. */
  | "frame-not-sampled"
  | "class-unknown"
  | "cloud-silent"
  | "policy-unknown";

export type JudgedLabel = { readonly frameId: string; readonly label: string; readonly fate: LabelFate };

export type Judgement = {
  /** By policy key's model and target, in the order of `policies`. */
  readonly evidence: readonly (readonly Evidence[])[];
  /** Labels whose fate is new or has changed since the last judgement. */
  readonly changed: readonly JudgedLabel[];
};

type Drawn = { readonly modelDigest: string; readonly prediction: EdgePrediction; readonly at: Instant };
type Said = { readonly label: string; readonly at: Instant; fate: LabelFate | null };

export class EvidenceLedger {
  readonly #limits: EvidenceLimits;
  readonly #seen: SeenFrames;
  readonly #drawn = new Map<string, Drawn>();
  /** The cloud's label by target, of drawn frames. */
  readonly #answers = new Map<string, Map<string, string>>();
  /** Of frames not seen yet. */
  readonly #waiting = new Map<string, readonly (readonly [target: string, label: string])[]>();
  readonly #labels = new Map<string, Said>();

  constructor(limits: EvidenceLimits = evidenceLimits) {
    this.#limits = limits;
    this.#seen = new SeenFrames(limits.camerasMax);
  }

  get labels(): number {
    return this.#labels.size;
  }

  get drawn(): number {
    return this.#drawn.size;
  }

  predictions(batch: EdgePredictions, at: Instant): void {
    for (const prediction of batch.predictions) {
      const frameId = formatFrameId({ ...batch, ...prediction });
      this.#seen.add(cameraOf({ ...batch, ...prediction }), prediction.frameSeq);
      const waiting = this.#waiting.get(frameId);
      this.#waiting.delete(frameId);
      const { sampleDrawn, samplePropensity: pi } = prediction;
      if (!sampleDrawn || !(pi > 0 && pi <= 1)) continue; // E1
      putBounded(this.#drawn, frameId, { modelDigest: batch.modelDigest, prediction, at }, this.#limits.drawnMax);
      for (const [target, label] of waiting ?? []) this.#answered(frameId, target, label);
    }
  }

  result(result: CloudResult): void {
    if (result.outcome !== "ANSWERED" || result.label === null) return;
    const frameId = formatFrameId(result);
    if (this.#drawn.has(frameId)) this.#answered(frameId, result.target, result.label);
    else if (!this.#seen.has(cameraOf(result), result.frameSeq)) {
      const waiting = [...(this.#waiting.get(frameId) ?? []), [result.target, result.label] as const]; // E2
      putBounded(this.#waiting, frameId, waiting.slice(-8), this.#limits.answersWaitingMax);
    }
  }

  label(truth: GroundTruth, at: Instant): void {
    const frameId = formatFrameId(truth);
    const known = this.#labels.get(frameId);
    this.#labels.delete(frameId);
    if (truth.label === null) return; // E3
    const fate = known?.label === truth.label ? known.fate : null;
    putBounded(this.#labels, frameId, { label: truth.label, at, fate }, this.#limits.labelsMax);
  }

  judge(policies: readonly RoutingPolicy[]): Judgement {
    const evidence = policies.map((): Evidence[] => []);
    const changed: JudgedLabel[] = [];
    for (const [frameId, said] of this.#labels) {
      const fate = this.#fateOf(frameId, said, policies, evidence);
      if (fate !== said.fate) changed.push({ frameId, label: said.label, fate });
      said.fate = fate;
    }
    return { evidence, changed };
  }

  /** Forgets labels, and drawn frames, that are older than `before`. */
  prune(before: Instant): void {
    for (const [frameId, { at }] of this.#labels) if (at < before) this.#labels.delete(frameId);
    for (const [frameId, { at }] of this.#drawn) {
      if (at >= before || this.#labels.has(frameId)) continue;
      this.#drawn.delete(frameId);
      this.#answers.delete(frameId);
    }
  }

  #fateOf(frameId: string, said: Said, policies: readonly RoutingPolicy[], evidence: Evidence[][]): LabelFate {
    const drawn = this.#drawn.get(frameId);
    if (drawn === undefined) return this.#seenById(frameId) ? "frame-not-sampled" : "frame-unknown";
    const { prediction, modelDigest } = drawn;
    let fate: LabelFate = "policy-unknown";
    policies.forEach((policy, i) => {
      if (policy.modelDigest !== modelDigest) return;
      const labelIndex = policy.labels.indexOf(prediction.label);
      if (labelIndex < 0 || !policy.labels.includes(said.label)) {
        if (fate === "policy-unknown") fate = "class-unknown";
        return;
      }
      const cloud = this.#answers.get(frameId)?.get(policy.cloudTarget);
      if (cloud === undefined) {
        if (fate !== "used") fate = "cloud-silent";
        return;
      }
      fate = "used";
      evidence[i]?.push({
        calibrated: calibratedOf(prediction, labelIndex),
        propensity: prediction.samplePropensity,
        edgeRight: prediction.label === said.label,
        cloudRight: cloud === said.label,
        triggered: prediction.reason === "PRIORITY",
      });
    });
    return fate;
  }

  #answered(frameId: string, target: string, label: string): void {
    const answers = this.#answers.get(frameId) ?? new Map<string, string>();
    answers.set(target, label);
    putBounded(this.#answers, frameId, answers, this.#limits.drawnMax);
  }

  #seenById(frameId: string): boolean {
    const end = frameId.lastIndexOf(":");
    return this.#seen.has(frameId.slice(0, end), BigInt(frameId.slice(end + 1)));
  }
}

/** What a record of a prediction says, in the form that scores are computed from. */
export const calibratedOf = (
  prediction: Pick<EdgePrediction, "confidence" | "margin" | "entropy">,
  labelIndex: number,
): Calibrated => ({
  labelIndex,
  confidence: prediction.confidence,
  margin: prediction.margin,
  entropy: prediction.entropy,
  logitMargin: logitMarginOf(prediction.confidence, prediction.margin),
});

const cameraOf = (frame: { readonly deviceId: string; readonly bootId: bigint; readonly cameraId: string }): string =>
  `${frame.deviceId}:${frame.bootId}:${frame.cameraId}`;

/** The latest goes last; beyond `max` the first goes. E4 */
function putBounded<V>(map: Map<string, V>, key: string, value: V, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > max) map.delete(map.keys().next().value as string);
}
