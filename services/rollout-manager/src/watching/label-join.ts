/** Accuracy: labels of frames that the random sample drew, joined with the device's predictions, and with what the system answered.
 *
 * A1. Only drawn frames count, each weighted by the inverse of its propensity: `propensityMean / pi`. The scale cancels (judge/comparison.ts); with
 *     this one the weights of a device sum to about its number of labels, for people who read them.
 * A2. A frame without a label is missing, not wrong; a label without a class takes its frame out.
 * A3. A label may come before its frame. Of several the newest holds: what the one before counted is retracted.
 * A4. (G9) Frames and labels in memory are bounded. A label of a frame that had to go is sought in the log (late-frames.ts), by the time
 *     that it says; one that does not say it waits for its frame, and the oldest of these go.
 * A5. The device's accuracy counts as soon as the label is there. The system's needs both records of the frame (system-answers.ts), and
 *     a label that comes before the second one waits for it. */
import type { EdgePrediction, GroundTruth } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";
import { LabelledFrames, type LabelledFramesState, type Span } from "./labelled-frames.ts";
import { Newest } from "./newest.ts";

export type LabelJoinLimits = {
  readonly drawnFramesMax: number;
  readonly labelsWaitingMax: number;
  /** Frames of which it is remembered that they were labelled, after their label had to go. */
  readonly labelledFramesMax: number;
};

export type Judgement = {
  readonly frame: string;
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
  /** It was counted, and does not hold any more. */
  readonly isRetracted: boolean;
};

/** What became of labels. */
export type LabelOutcome =
  | "counted"
  /** Counted, of a frame that was found in the log. */
  | "late"
  | "corrected"
  /** It has no class. */
  | "without-class"
  | "not-drawn"
  /** Neither memory nor the log has it as a drawn frame. Should it still come, its label counts. */
  | "frame-unknown"
  /** Counted, though what was labelled at that time is forgotten: it would count twice if it were a correction. */
  | "unchecked";

export type Drawn = {
  /** Of the model, and of the world model that the label is of as well. */
  readonly digests: readonly string[];
  readonly label: string;
  readonly weight: number;
  readonly expected: number;
  readonly at: Instant;
  /** Of its record. */
  readonly receivedAt: Instant;
  readonly system?: SystemLabel;
};

/** The system's answer, and the policy that decided whose it is. */
export type SystemLabel = { readonly policyVersion: string; readonly label: string };

export type SoughtFrame = {
  readonly frame: string;
  readonly deviceId: string;
  readonly frameAt: Instant;
  /** When it may have been labelled before, and before which offset. */
  readonly labelled: readonly Span[];
  readonly before: bigint;
};

export type FoundFrame =
  | {
      readonly kind: "drawn";
      readonly drawn: Drawn;
      /** Whether its policy wanted the cloud's answer. */
      readonly isWanted: boolean;
      /** Its label before; undefined: there is none. */
      readonly truth: string | null | undefined;
    }
  | { readonly kind: "not-drawn" };

type Label = {
  readonly deviceId: string;
  readonly truth: string | null;
  readonly frameAt: Instant | null;
  readonly at: Instant;
  /** Of the first that is not counted. */
  readonly offset: bigint;
};
/** A frame with its label; null: it is taken out. */
type Labelled = {
  readonly drawn: Drawn;
  readonly truth: string | null;
  readonly labelledAt: Instant;
  /** What the metrics refused, and what is not to be retracted therefore. */
  readonly refused?: readonly string[];
};

/** How far from the time that its label says a frame's records are. */
export const FAR_MS = 3_600_000;
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
  readonly labelled: ReadonlyMap<string, Labelled>;
  readonly labelledBefore: LabelledFramesState;
  readonly waiting: ReadonlyMap<string, Label & { readonly isLost: boolean }>;
  readonly coveredFrom: Instant;
};

/** Texts of which there are few, in many frames: each is kept once. */
const TEXTS_MAX = 10_000;

type BatchOfFrame = { readonly deviceId: string; readonly bootId: bigint; readonly modelDigest: string };

/** What LITE or nothing answered on the device counts for the system alone. Null: the frame was not drawn. (A1) */
export function drawnOf(
  { modelDigest }: Pick<BatchOfFrame, "modelDigest">,
  prediction: EdgePrediction,
  at: Instant,
  receivedAt: Instant,
  propensityMean: number,
): Drawn | null {
  const weight = weightOf(prediction, propensityMean);
  if (weight === null) return null;
  const { label, level, worldDigest, sampleCorrectness: expected } = prediction;
  const ofModel = worldDigest === null ? [modelDigest] : [modelDigest, worldDigest];
  return { digests: level === "FULL" ? ofModel : [], label, weight, expected, at, receivedAt };
}

export class LabelJoin {
  readonly #propensityMean: number;
  /** Without a label. */
  readonly #drawn: Newest<Drawn>;
  readonly #labelled: Newest<Labelled>;
  readonly #labelledBefore: LabelledFrames;
  /** Labels of this round. */
  readonly #labels = new Map<string, Label>();
  /** Labels of earlier rounds, whose frames did not come yet. */
  readonly #waiting: Newest<Label & { readonly isLost: boolean }>;
  readonly #texts = new Map<string, string>();
  readonly #digests = new Map<string, readonly string[]>();
  #judgements: Judgement[] = [];
  /** Drawn frames whose records came later are all in memory. */
  #coveredFrom = Number.NEGATIVE_INFINITY;
  #outcomes = new Map<LabelOutcome, number>();

  constructor({ drawnFramesMax, labelsWaitingMax, labelledFramesMax }: LabelJoinLimits, propensityMean: number) {
    this.#propensityMean = propensityMean;
    this.#drawn = new Newest(drawnFramesMax);
    this.#labelled = new Newest(drawnFramesMax);
    this.#labelledBefore = new LabelledFrames(labelledFramesMax);
    this.#waiting = new Newest(labelsWaitingMax);
  }

  /** Between two rounds, so that there are no labels or judgements that were not taken. */
  state(): LabelJoinState {
    return {
      drawn: this.#drawn.state(),
      labelled: this.#labelled.state(),
      labelledBefore: this.#labelledBefore.state(),
      waiting: this.#waiting.state(),
      coveredFrom: this.#coveredFrom,
    };
  }

  /** Into one that has taken nothing yet. */
  restore({ drawn, labelled, labelledBefore, waiting, coveredFrom }: LabelJoinState): void {
    for (const [frame, one] of drawn) this.#drawn.set(frame, this.#compact(one));
    for (const [frame, one] of labelled) this.#labelled.set(frame, { ...one, drawn: this.#compact(one.drawn) });
    for (const [frame, one] of waiting) this.#waiting.set(frame, one);
    this.#labelledBefore.restore(labelledBefore);
    this.#coveredFrom = coveredFrom;
  }

  /** Labels that were not taken yet. */
  get labels(): number {
    return this.#labels.size;
  }

  /** Predictions are read from here on. */
  start(at: Instant): void {
    this.#coveredFrom = at;
  }

  /** What became of labels since the last call. */
  takeOutcomes(): ReadonlyMap<LabelOutcome, number> {
    const outcomes = this.#outcomes;
    this.#outcomes = new Map();
    return outcomes;
  }

  predicted(batch: BatchOfFrame, prediction: EdgePrediction, at: Instant, receivedAt: Instant = at): void {
    const drawn = drawnOf(batch, prediction, at, receivedAt, this.#propensityMean);
    if (drawn === null) return;
    const frame = formatFrameId({ ...batch, ...prediction });
    if (this.#labelled.has(frame) || this.#drawn.has(frame)) return; // Read again.
    const label = this.#waiting.get(frame);
    if (label === undefined) {
      for (const [, gone] of this.#drawn.set(frame, this.#compact(drawn))) this.#forget(gone);
    } else {
      this.#waiting.delete(frame);
      this.#settle(frame, drawn, label, "counted");
    }
  }

  /** Of a drawn frame. */
  answered(frame: string, answer: SystemLabel): void {
    const system = this.#compactSystem(answer);
    const drawn = this.#drawn.get(frame);
    if (drawn !== undefined) this.#drawn.set(frame, { ...drawn, system });
    const labelled = this.#labelled.get(frame);
    if (labelled === undefined || labelled.drawn.system !== undefined) return;
    const { truth } = labelled;
    this.#labelled.set(frame, { ...labelled, drawn: { ...labelled.drawn, system } });
    if (truth !== null) this.#judgements.push(ofSystem(frame, labelled.drawn, system, truth, false)); // A5
  }

  labelled(
    { deviceId, bootId, cameraId, frameSeq, label: truth, frameAt }: GroundTruth,
    { timestamp: at, offset }: { readonly timestamp: Instant; readonly offset: bigint },
  ): void {
    const frame = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
    const before = this.#labels.get(frame) ?? this.#waiting.get(frame);
    this.#labels.delete(frame);
    this.#waiting.delete(frame);
    const first = before?.offset ?? offset;
    this.#labels.set(frame, { deviceId, truth, frameAt: frameAt ?? before?.frameAt ?? null, at, offset: first });
  }

  /** Frames of this round's labels that may be in the log and are not in memory. (A4) */
  sought(): readonly SoughtFrame[] {
    return [...this.#labels].flatMap(([frame, { deviceId, frameAt, offset }]) => {
      const isHere = this.#drawn.has(frame) || this.#labelled.has(frame);
      if (isHere || frameAt === null || frameAt - FAR_MS >= this.#coveredFrom) return [];
      return { frame, deviceId, frameAt, labelled: this.#labelledBefore.spans(frame), before: offset };
    });
  }

  /** The metrics did not take it. */
  refused(judgement: Judgement): void {
    const labelled = this.#labelled.get(judgement.frame);
    if (labelled === undefined) return;
    this.#labelled.set(judgement.frame, { ...labelled, refused: [...(labelled.refused ?? []), whatOf(judgement)] });
  }

  /** The outcomes of this round's labels and frames, everything up to `to`. `found`: what the log has of those sought. */
  take(to: Instant, found: ReadonlyMap<string, FoundFrame> = new Map()): readonly Judgement[] {
    // Looked up before the first is settled: each may be what has to go for another.
    const known = [...this.#labels].map(([frame, label]) => {
      return { frame, label, labelled: this.#labelled.get(frame), drawn: this.#drawn.get(frame) };
    });
    for (const { frame, label, labelled, drawn } of known) {
      const late = found.get(frame);
      if (labelled !== undefined) this.#correct(frame, labelled, label);
      else if (drawn !== undefined) {
        this.#drawn.delete(frame);
        this.#settle(frame, drawn, label, "counted");
      } else if (late !== undefined) this.#found(frame, late, label);
      else this.#wait(frame, label, to);
    }
    this.#labels.clear();
    const judgements = this.#judgements;
    this.#judgements = [];
    return judgements;
  }

  #found(frame: string, found: FoundFrame, label: Label): void {
    if (found.kind === "not-drawn") return void this.#note("not-drawn");
    const [drawn, { truth }] = [this.#compact(found.drawn), found];
    if (truth !== undefined) return void this.#correct(frame, { drawn, truth, labelledAt: label.at }, label);
    const isForgotten = this.#labelledBefore.isForgotten((label.frameAt ?? 0) - FAR_MS);
    this.#settle(frame, drawn, label, isForgotten ? "unchecked" : "late");
  }

  #wait(frame: string, label: Label, to: Instant): void {
    const isLost = label.frameAt !== null && label.frameAt + FAR_MS < to;
    if (isLost) this.#note("frame-unknown");
    for (const [, gone] of this.#waiting.set(frame, { ...label, isLost }))
      if (!gone.isLost) this.#note("frame-unknown");
  }

  #settle(frame: string, drawn: Drawn, { truth, at }: Label, outcome: LabelOutcome): void {
    this.#keep(frame, { drawn, truth, labelledAt: at });
    if (truth !== null) this.#judgements.push(...judgementsOf(frame, drawn, truth, false));
    this.#note(truth === null ? "without-class" : outcome); // A2
  }

  /** A3 */
  #correct(frame: string, labelled: Labelled, { truth, at }: Label): void {
    const { drawn, truth: before, refused = [] } = labelled;
    const isSame = truth === before;
    this.#keep(frame, isSame ? { ...labelled, labelledAt: at } : { drawn, truth, labelledAt: at });
    if (isSame) return;
    const counted = before === null ? [] : judgementsOf(frame, drawn, before, true);
    this.#judgements.push(...counted.filter((judgement) => !refused.includes(whatOf(judgement))));
    if (truth !== null) this.#judgements.push(...judgementsOf(frame, drawn, truth, false));
    this.#note("corrected");
  }

  #keep(frame: string, labelled: Labelled): void {
    this.#labelled.delete(frame);
    for (const [of, { drawn, labelledAt }] of this.#labelled.set(frame, labelled)) {
      this.#labelledBefore.add(of, labelledAt);
      this.#forget(drawn);
    }
  }

  #compact(drawn: Drawn): Drawn {
    const { label, digests, weight, expected, at, receivedAt, system } = drawn;
    const key = digests.join(" ");
    const shared = this.#digests.get(key) ?? digests;
    if (this.#digests.size >= TEXTS_MAX) this.#digests.clear();
    this.#digests.set(key, shared);
    const compact = { label: this.#shared(label), digests: shared, weight, expected, at, receivedAt };
    return system === undefined ? compact : { ...compact, system: this.#compactSystem(system) };
  }

  #compactSystem({ policyVersion, label }: SystemLabel): SystemLabel {
    return { policyVersion: this.#shared(policyVersion), label: this.#shared(label) };
  }

  #shared(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  #forget({ receivedAt }: Drawn): void {
    this.#coveredFrom = Math.max(this.#coveredFrom, receivedAt);
  }

  #note(outcome: LabelOutcome): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
  }
}

const deviceOf = (frame: string): string => frame.slice(0, frame.indexOf(":"));
const whatOf = ({ metric, digest }: Judgement): string => `${metric} ${digest}`;

function judgementsOf(frame: string, drawn: Drawn, truth: string, isRetracted: boolean): readonly Judgement[] {
  const { digests, label, weight: frames, expected, at, system } = drawn;
  const deviceId = deviceOf(frame);
  const good = label === truth ? frames : 0;
  const ofModels = digests.map((digest): Judgement => {
    return { frame, deviceId, metric: "accuracy", digest, good, frames, at, label: truth, expected, isRetracted };
  });
  return system === undefined ? ofModels : [...ofModels, ofSystem(frame, drawn, system, truth, isRetracted)];
}

function ofSystem(
  frame: string,
  { weight: frames, expected, at }: Drawn,
  { policyVersion: digest, label: answer }: SystemLabel,
  label: string,
  isRetracted: boolean,
): Judgement {
  const good = answer === label ? frames : 0;
  const deviceId = deviceOf(frame);
  return { frame, deviceId, metric: "system-accuracy", digest, good, frames, at, label, expected, isRetracted };
}
