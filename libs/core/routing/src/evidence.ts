/**
 * Joins labels with what was logged of their frames: the random sample's predictions and the cloud's answers to them.
 *
 * E1. A label becomes evidence only if its frame was drawn, the cloud answered, and the model knows the class. Every
 *     other outcome of a label has a name (`LabelOutcome`), is counted, and the label is kept out.
 * E2. The order of arrival does not matter: a label may come before its frame, an answer before its prediction.
 * E3. Of several labels of one frame the last one holds; one without a class takes the frame out.
 * E4. Everything kept is bounded (G9): labels with their frames, the newest drawn frames without one, answers that wait
 *     for their prediction; of the latter two the device with the most loses its oldest (G13). A label whose frame may have been dropped is `frame-sought`: the reader of the logs reads
 *     them again for it. So what becomes evidence depends on the logs and not on what was in memory when (G10).
 */
import type { CloudResult, EdgePrediction, EdgePredictions, GroundTruth, RoutingPolicy } from "@tributary/contracts";
import { formatFrameId, type Instant, OwnedOldest } from "@tributary/kernel";
import { type Calibrated, logitMarginOf } from "./calibrate.ts";
import { type Evidence, halfOf } from "./relearn.ts";
import { SeenFrames } from "./seen-frames.ts";

export type EvidenceLimits = {
  /** Drawn frames without a label. */
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

export type LabelOutcome =
  | "used"
  /** No prediction of this frame is known. */
  | "frame-unknown"
  /** It was drawn longer ago than memory reaches, or not at all: the logs have it. */
  | "frame-sought"
  /** The frame was not drawn into the random sample: alone it is biased. */
  | "frame-not-sampled"
  | "class-unknown"
  | "cloud-silent"
  | "policy-unknown";

export type JudgedLabel = { readonly frameId: string; readonly label: string; readonly outcome: LabelOutcome };

export type Judgement = {
  /** By policy key's model and target, in the order of `policies`. */
  readonly evidence: readonly (readonly Evidence[])[];
  /** Labels whose outcome is new or has changed since the last judgement. */
  readonly changed: readonly JudgedLabel[];
};

type Drawn = {
  readonly modelDigest: string;
  readonly prediction: EdgePrediction;
  readonly at: Instant;
  /** The cloud's label by target. */
  readonly answers: Map<string, string>;
};
type LabelEntry = {
  readonly label: string;
  readonly at: Instant;
  readonly partition: number;
  outcome: LabelOutcome | null;
  drawn: Drawn | null;
  sought: boolean;
};

/** By frame; at most `max`, beyond which the device with the most loses its oldest. */
class SharedByDevices<V> {
  readonly #max: number;
  readonly #entries = new Map<string, V>();
  readonly #shares = new OwnedOldest<string>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(frameId: string): boolean {
    return this.#entries.has(frameId);
  }

  get(frameId: string): V | undefined {
    return this.#entries.get(frameId);
  }

  /** How many had to go. */
  set(frameId: string, value: V): number {
    this.#entries.set(frameId, value);
    this.#shares.add(frameId, deviceOf(frameId));
    let gone = 0;
    for (let key = this.#shares.beyond(this.#max); key !== undefined; key = this.#shares.beyond(this.#max)) {
      this.#entries.delete(key);
      gone += 1;
    }
    return gone;
  }

  delete(frameId: string): void {
    this.#entries.delete(frameId);
    this.#shares.delete(frameId);
  }

  [Symbol.iterator](): Iterator<[string, V]> {
    return this.#entries[Symbol.iterator]();
  }
}

export class EvidenceLedger {
  readonly #limits: EvidenceLimits;
  readonly #seen: SeenFrames;
  /** Without a label. */
  readonly #drawn: SharedByDevices<Drawn>;
  /** Of frames not seen yet. */
  readonly #waiting: SharedByDevices<readonly (readonly [target: string, label: string])[]>;
  readonly #labels = new Map<string, LabelEntry>();
  /** Whether a drawn frame was let go: then the logs hold more than memory. */
  #isPartial = false;

  constructor(limits: EvidenceLimits = evidenceLimits) {
    this.#limits = limits;
    this.#seen = new SeenFrames(limits.camerasMax);
    this.#drawn = new SharedByDevices(limits.drawnMax);
    this.#waiting = new SharedByDevices(limits.answersWaitingMax);
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
      const answers = new Map(this.#waiting.get(frameId));
      this.#waiting.delete(frameId);
      const { sampleDrawn, samplePropensity: pi, level } = prediction;
      if (level === "STALE" || level === "CLOUD") continue; // A label of an earlier frame.
      if (!sampleDrawn || !(pi > 0 && pi <= 1)) continue;
      const entry = this.#labels.get(frameId);
      if (entry?.drawn != null || this.#drawn.has(frameId)) continue; // read again
      const drawn = { modelDigest: batch.modelDigest, prediction, at, answers };
      if (entry !== undefined) entry.drawn = drawn;
      else {
        if (this.#drawn.set(frameId, drawn) > 0) this.#isPartial = true;
      }
    }
  }

  result(result: CloudResult): void {
    if (result.outcome !== "ANSWERED" || result.label === null) return;
    const frameId = formatFrameId(result);
    const drawn = this.#labels.get(frameId)?.drawn ?? this.#drawn.get(frameId);
    if (drawn !== undefined) drawn.answers.set(result.target, result.label);
    else if (!this.#seen.has(cameraOf(result), result.frameSeq)) {
      const waiting = [...(this.#waiting.get(frameId) ?? []), [result.target, result.label] as const];
      this.#waiting.set(frameId, waiting.slice(-8));
    }
  }

  /** `partition`: of the logs that have its frame. */
  label(truth: GroundTruth, at: Instant, partition = 0): void {
    const frameId = formatFrameId(truth);
    const known = this.#labels.get(frameId);
    const drawn = known?.drawn ?? this.#drawn.get(frameId) ?? null;
    this.#labels.delete(frameId);
    this.#drawn.delete(frameId);
    if (truth.label === null) {
      if (drawn === null) return;
      this.#drawn.set(frameId, drawn);
      return;
    }
    const outcome = known?.label === truth.label ? known.outcome : null;
    this.#labels.set(frameId, { label: truth.label, at, partition, outcome, drawn, sought: known?.sought ?? false });
    if (this.#labels.size > 1.1 * this.#limits.labelsMax) this.#trimLabels();
  }

  /** Partitions whose logs are to be read again, from the beginning, for labels whose frames may have been let go. */
  seek(): ReadonlySet<number> {
    const partitions = new Set<number>();
    for (const [frameId, entry] of this.#labels) if (this.#isSought(frameId, entry)) partitions.add(entry.partition);
    return partitions;
  }

  /** They were read again: what is not found now is not there. */
  sought(partition: number): void {
    for (const entry of this.#labels.values()) if (entry.partition === partition) entry.sought = true;
  }

  judge(policies: readonly RoutingPolicy[]): Judgement {
    const evidence = policies.map((): Evidence[] => []);
    const changed: JudgedLabel[] = [];
    for (const [frameId, entry] of this.#newestLabels()) {
      const outcome = this.#outcomeOf(frameId, entry, policies, evidence);
      if (outcome !== entry.outcome) changed.push({ frameId, label: entry.label, outcome });
      entry.outcome = outcome;
    }
    return { evidence, changed };
  }

  /** Forgets labels, and drawn frames, that are older than `before`. */
  prune(before: Instant): void {
    for (const [frameId, { at }] of this.#labels) if (at < before) this.#labels.delete(frameId);
    for (const [frameId, { at }] of this.#drawn) if (at < before) this.#drawn.delete(frameId);
  }

  #outcomeOf(
    frameId: string,
    entry: LabelEntry,
    policies: readonly RoutingPolicy[],
    evidence: Evidence[][],
  ): LabelOutcome {
    if (entry.drawn === null) {
      if (!this.#seenById(frameId)) return "frame-unknown";
      return this.#isSought(frameId, entry) ? "frame-sought" : "frame-not-sampled";
    }
    const { prediction, modelDigest, answers } = entry.drawn;
    let outcome: LabelOutcome = "policy-unknown";
    policies.forEach((policy, i) => {
      if (policy.modelDigest !== modelDigest) return;
      const labelIndex = policy.labels.indexOf(prediction.label);
      if (labelIndex < 0 || !policy.labels.includes(entry.label)) {
        if (outcome === "policy-unknown") outcome = "class-unknown";
        return;
      }
      const cloud = answers.get(policy.cloudTarget);
      if (cloud === undefined) {
        if (outcome !== "used") outcome = "cloud-silent";
        return;
      }
      outcome = "used";
      evidence[i]?.push({
        calibrated: calibratedOf(prediction, labelIndex),
        propensity: prediction.samplePropensity,
        edgeRight: prediction.label === entry.label,
        cloudRight: cloud === entry.label,
        triggered: prediction.reason === "PRIORITY",
        half: halfOf(frameId),
      });
    });
    return outcome;
  }

  #isSought(frameId: string, entry: LabelEntry): boolean {
    return entry.drawn === null && this.#isPartial && !entry.sought && this.#seenById(frameId);
  }

  /** The newest `labelsMax`, whatever the order they came in. */
  #newestLabels(): readonly (readonly [string, LabelEntry])[] {
    const all = [...this.#labels];
    const { labelsMax } = this.#limits;
    if (all.length <= labelsMax) return all;
    return all.sort(([a, x], [b, y]) => y.at - x.at || (a < b ? -1 : 1)).slice(0, labelsMax);
  }

  #trimLabels(): void {
    const kept = new Map(this.#newestLabels());
    for (const frameId of this.#labels.keys()) if (!kept.has(frameId)) this.#labels.delete(frameId);
  }

  #seenById(frameId: string): boolean {
    const end = frameId.lastIndexOf(":");
    return this.#seen.has(frameId.slice(0, end), BigInt(frameId.slice(end + 1)));
  }
}

/** The values of a prediction's record, in the form that scores are computed from. */
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

const deviceOf = (frameId: string): string => frameId.slice(0, frameId.indexOf(":"));
