/** What one analysis counts: good frames and frames of each device of its arms since its start, and their rate before.
 *
 * Arms are frozen at the start, and devices are analysed as assigned. A frame belongs to the time at which it was seen: one
 * from before the start that arrives late adds to the past, so a service that folds its topics again computes the same counts.
 * A device without a past gets the mean of those known, which adjusts nothing. A device counts no more frames than it can have
 * seen since the start. Only frames of the analysis' own models count, if it names them; in an experiment, only those of the device's arm.
 *
 * A6. A frame also counts for its true class, if that is one of the plan's; of a class no past is kept, and the device's
 *     past on the whole metric stands in its place. So memory is bounded by devices and the plan's classes, whatever labels
 *     come. */

import { Failure, hashOf, type Instant, invariant } from "@tributary/kernel";
import type { Counts } from "../judge/harm-process.ts";
import type { Increase } from "./counters.ts";
import { framesPlausible } from "./plausible.ts";

export type AnalysisPlan = {
  readonly uid: string;
  readonly startedAt: Instant;
  /** Devices, each in one arm. */
  readonly control: readonly string[];
  readonly canary: readonly string[];
  readonly metrics: readonly string[];
  /** Of the metric `accuracy`: true classes that are counted one by one as well. Absent: none. */
  readonly classes?: readonly string[];
  /** The model under test, and the one before: only their frames count. Absent: all do. */
  readonly models?: { readonly candidate: string; readonly stable: string };
  /** Of a canary device only the candidate's frames count, and of a control device only those of the other. Absent: both of each. */
  readonly ownOnly?: true;
  /** Devices of the canary that do not run the candidate when it starts. They are assigned, and nothing of them counts: who
   * comes later was seen at other times than the control. Absent: none. */
  readonly absent?: readonly string[];
};

/** First crashes since the start: the device is the unit. */
export type Crashes = {
  readonly control: number;
  readonly canary: number;
  /** The canary's share of the devices, fixed at the start: its share of all first crashes if both models are alike. */
  readonly share: number;
};

/** Devices of each arm that were heard lately, and of how many of these the frame was the candidate's. */
export type Heard = {
  readonly control: number;
  readonly canary: number;
  readonly controlOnCandidate: number;
  readonly canaryOnCandidate: number;
};

/** The metric whose frames have a true class. */
export const CLASSIFIED = "accuracy";

type Observed = {
  readonly good: number;
  readonly frames: number;
  readonly at: Instant;
  /** True class, where it is known. */
  readonly label?: string | undefined;
  /** How many frames these are, where `frames` is the sum of their weights. */
  readonly count: number;
};

/** Metrics of the random sample, whose frames are weighted. */
const SAMPLED: ReadonlySet<string> = new Set([CLASSIFIED, "system-accuracy", "agreement"]);

/** Of a sum of doubles, relative to one of its terms. */
const ROUNDING = 1e-9;

type Counted = {
  readonly good: Float64Array;
  readonly frames: Float64Array;
  /** Of a sampled metric. */
  readonly sample: Readonly<Record<"labels" | "squares" | "badSquares", Float64Array>> | undefined;
  readonly counts: Counts;
};
type Lane = Counted & {
  readonly goodBefore: Float64Array;
  readonly framesBefore: Float64Array;
  readonly rateBefore: Float64Array;
  /** When its newest frames were. */
  newest: Instant | null;
};

/** What a restarted instance needs. */
export type FleetAnalysisState = {
  /** Of its plan: counts of other arms are not its own. */
  readonly planHash: number;
  readonly lanes: ReadonlyMap<
    string,
    CountedState & Pick<Lane, "goodBefore" | "framesBefore" | "rateBefore" | "newest">
  >;
  readonly classes: ReadonlyMap<string, CountedState>;
  readonly crashed: Uint8Array;
  readonly seenAt: Float64Array;
  readonly onCandidate: Uint8Array;
};
type CountedState = Pick<Counted, "good" | "frames" | "sample">;

export class FleetAnalysis {
  readonly plan: AnalysisPlan;
  /** Control, then canary. */
  readonly members: readonly string[];
  readonly #lanes = new Map<string, Lane>();
  readonly #classes = new Map<string, Counted>();
  readonly #crashed: Uint8Array;
  readonly #seenAt: Float64Array;
  readonly #onCandidate: Uint8Array;
  readonly #isAbsent: Uint8Array;

  constructor(plan: AnalysisPlan) {
    this.plan = plan;
    this.members = [...plan.control, ...plan.canary];
    if (new Set(this.members).size !== this.members.length)
      throw new Failure("arms-overlap", "ask-a-person", `analysis ${plan.uid}: a device stands in its arms twice`);
    this.#crashed = new Uint8Array(this.members.length);
    this.#seenAt = new Float64Array(this.members.length);
    this.#onCandidate = new Uint8Array(this.members.length);
    const absent = new Set(plan.absent);
    this.#isAbsent = Uint8Array.from(this.members, (deviceId) => (absent.has(deviceId) ? 1 : 0));
    for (const metric of plan.metrics)
      this.#lanes.set(metric, laneOf(this.members.length, plan.control.length, SAMPLED.has(metric)));
    const before = this.#lanes.get(CLASSIFIED)?.rateBefore;
    if (before === undefined) return;
    for (const name of plan.classes ?? [])
      this.#classes.set(name, countedOf(this.members.length, plan.control.length, before, true));
  }

  get bytes(): number {
    const sampled = [...this.#lanes.keys()].filter((metric) => SAMPLED.has(metric)).length;
    const columns = 5 * this.#lanes.size + 3 * sampled + 5 * this.#classes.size;
    return this.members.length * (columns * Float64Array.BYTES_PER_ELEMENT + 11);
  }

  state(): FleetAnalysisState {
    const counted = ({ good, frames, sample }: Counted) => ({ good, frames, sample });
    const lanes = [...this.#lanes].map(([metric, lane]) => {
      const { goodBefore, framesBefore, rateBefore, newest } = lane;
      return [metric, { ...counted(lane), goodBefore, framesBefore, rateBefore, newest }] as const;
    });
    return {
      planHash: hashOf(JSON.stringify(this.plan)),
      lanes: new Map(lanes),
      classes: new Map([...this.#classes].map(([name, one]) => [name, counted(one)])),
      crashed: this.#crashed,
      seenAt: this.#seenAt,
      onCandidate: this.#onCandidate,
    };
  }

  /** Continues from a state of the same plan. False: it is another's, and nothing changed. */
  restore(state: FleetAnalysisState): boolean {
    if (state.planHash !== hashOf(JSON.stringify(this.plan))) return false;
    for (const [metric, lane] of this.#lanes) {
      const from = state.lanes.get(metric);
      if (from === undefined) continue;
      copyCounted(from, lane);
      for (const column of ["goodBefore", "framesBefore", "rateBefore"] as const) lane[column].set(from[column]);
      lane.newest = from.newest;
    }
    for (const [name, one] of this.#classes) {
      const from = state.classes.get(name);
      if (from !== undefined) copyCounted(from, one);
    }
    this.#crashed.set(state.crashed);
    this.#seenAt.set(state.seenAt);
    this.#onCandidate.set(state.onCandidate);
    return true;
  }

  /** Arms for `MetricWatch.look`: live views, the same ones at every call, in an order that never changes. */
  counts(metric: string): Counts {
    const lane = this.#lanes.get(metric);
    invariant(lane !== undefined, `analysis ${this.plan.uid} does not count ${metric}`);
    fillUnknown(lane);
    return lane.counts;
  }

  /** The same of frames of each class of the plan, in its order. */
  classCounts(): readonly Counts[] {
    const lane = this.#lanes.get(CLASSIFIED);
    if (lane !== undefined) fillUnknown(lane);
    return [...this.#classes.values()].map(({ counts }) => counts);
  }

  /** Devices with a frame of any metric at `since` or later. The model of a device's frames is harder to get wrong than the
   * one that it reports: a device that reports the candidate and whose frames are of another does not count as heard on it. */
  heard(since: Instant): Heard {
    const heard = { control: 0, canary: 0, controlOnCandidate: 0, canaryOnCandidate: 0 };
    for (let i = 0; i < this.members.length; i++) {
      if ((this.#seenAt[i] as number) < Math.max(since, this.plan.startedAt)) continue;
      if (i < this.plan.control.length) {
        heard.control += 1;
        heard.controlOnCandidate += this.#onCandidate[i] as number;
      } else {
        heard.canary += 1;
        heard.canaryOnCandidate += this.#onCandidate[i] as number;
      }
    }
    return heard;
  }

  /** Up to `max` devices of an arm without a frame since then. */
  silent(arm: "control" | "canary", since: Instant, max: number): readonly string[] {
    const [from, to] =
      arm === "control" ? [0, this.plan.control.length] : [this.plan.control.length, this.members.length];
    const found: string[] = [];
    for (let i = from; i < to && found.length < max; i++) {
      if (this.#isAbsent[i] === 0 && (this.#seenAt[i] as number) < Math.max(since, this.plan.startedAt))
        found.push(this.members[i] as string);
    }
    return found;
  }

  /** Devices of the canary without a frame since then, or whose newest frame is not the candidate's. */
  absent(since: Instant): readonly string[] {
    return this.plan.canary.filter((_, i) => {
      const place = this.plan.control.length + i;
      return (this.#seenAt[place] as number) < Math.max(since, this.plan.startedAt) || this.#onCandidate[place] === 0;
    });
  }

  /** Mean frames of a device before the start, over those with any; 0: nothing is known. */
  framesBefore(metric: string): number {
    const before = this.#lanes.get(metric)?.framesBefore;
    let known = 0;
    let sum = 0;
    for (let i = 0; i < (before?.length ?? 0); i++) {
      const frames = before?.[i] as number;
      sum += frames;
      if (frames > 0) known += 1;
    }
    return known === 0 ? 0 : sum / known;
  }

  /** When the newest frames of a metric were that this counted; null: there are none. */
  newest(metric: string): Instant | null {
    return this.#lanes.get(metric)?.newest ?? null;
  }

  crashes(): Crashes {
    const controls = this.plan.control.length;
    const absent = this.plan.absent?.length ?? 0;
    const sum = (from: number, to: number) => this.#crashed.subarray(from, to).reduce((a, b) => a + b, 0);
    return {
      control: sum(0, controls),
      canary: sum(controls, this.members.length),
      share: (this.plan.canary.length - absent) / (this.members.length - absent),
    };
  }

  /** Adds frames of the member at `place`, seen at `at`; `before` from where on its past counts. For `FleetMetrics`. False:
   * left out. */
  add(
    place: number,
    modelDigest: string,
    metric: string,
    { good, frames, at, label, count }: Observed,
    pastFrom: Instant,
  ): boolean {
    if (at < this.plan.startedAt) {
      if (at >= pastFrom) this.addBefore(place, metric, good, frames);
      return true;
    }
    if (this.#isAbsent[place] === 1 || !this.#isCompared(place, modelDigest)) return true;
    const { models } = this.plan;
    if (frames > 0 && at >= (this.#seenAt[place] as number)) {
      this.#seenAt[place] = at;
      this.#onCandidate[place] = modelDigest === models?.candidate ? 1 : 0;
    }
    if (!this.#count(place, metric, good, frames, at, count)) return false; // Of a metric that is not compared: the device is heard.
    const ofClass = metric === CLASSIFIED && label !== undefined ? this.#classes.get(label) : undefined;
    if (ofClass !== undefined) addTo(ofClass, place, good, frames, count);
    return true;
  }

  /** Subtracts one frame that `add` counted. */
  retract(
    place: number,
    modelDigest: string,
    metric: string,
    { good, frames, at, label }: Omit<Observed, "count">,
    pastFrom: Instant,
  ): void {
    const lane = this.#lanes.get(metric);
    if (lane === undefined) return;
    if (at < this.plan.startedAt) {
      if (at < pastFrom || !subtract(lane.goodBefore, lane.framesBefore, place, good, frames)) return;
      const [ok, all] = [lane.goodBefore[place] as number, lane.framesBefore[place] as number];
      lane.rateBefore[place] = all === 0 ? 0 : ok / all;
      return;
    }
    if (this.#isAbsent[place] === 1 || !this.#isCompared(place, modelDigest)) return;
    subtractFrom(lane, place, good, frames);
    const ofClass = metric === CLASSIFIED && label !== undefined ? this.#classes.get(label) : undefined;
    if (ofClass !== undefined) subtractFrom(ofClass, place, good, frames);
  }

  /** Adds what a counter of the member at `place` grew by. It does not name the model: the device counts as assigned. */
  addIncrease(place: number, metric: string, { good, frames, from, to }: Increase): boolean {
    if (this.#isAbsent[place] === 1) return true;
    return from < this.plan.startedAt || this.#count(place, metric, good, frames, to); // counters.ts C3
  }

  addBefore(place: number, metric: string, good: number, frames: number): void {
    const lane = this.#lanes.get(metric);
    if (lane === undefined || frames === 0) return;
    lane.goodBefore[place] = (lane.goodBefore[place] as number) + good;
    lane.framesBefore[place] = (lane.framesBefore[place] as number) + frames;
    lane.rateBefore[place] = (lane.goodBefore[place] as number) / (lane.framesBefore[place] as number);
  }

  crashed(place: number, at: Instant): void {
    if (at >= this.plan.startedAt && this.#isAbsent[place] === 0) this.#crashed[place] = 1;
  }

  /** Whether frames of this model count for the member at `place`. */
  #isCompared(place: number, modelDigest: string): boolean {
    const { models, ownOnly, control } = this.plan;
    if (models === undefined) return true;
    const { candidate, stable } = models;
    if (modelDigest === (place < control.length ? stable : candidate)) return true;
    return ownOnly !== true && (modelDigest === candidate || modelDigest === stable);
  }

  #count(place: number, metric: string, good: number, frames: number, at: Instant, count = frames): boolean {
    const lane = this.#lanes.get(metric);
    if (lane === undefined) return true;
    const plausible = framesPlausible(at - this.plan.startedAt);
    if ((lane.frames[place] as number) + frames > plausible) return false;
    addTo(lane, place, good, frames, count);
    if (frames > 0 && (lane.newest === null || at > lane.newest)) lane.newest = at;
    return true;
  }
}

/** Into the same arrays: views of them are held elsewhere. */
function copyCounted(from: CountedState, to: Counted): void {
  to.good.set(from.good);
  to.frames.set(from.frames);
  if (from.sample === undefined || to.sample === undefined) return;
  for (const column of ["labels", "squares", "badSquares"] as const) to.sample[column].set(from.sample[column]);
}

function addTo({ good, frames, sample }: Counted, place: number, ok: number, all: number, count: number): void {
  good[place] = (good[place] as number) + ok;
  frames[place] = (frames[place] as number) + all;
  if (sample === undefined || all === 0) return;
  sample.labels[place] = (sample.labels[place] as number) + count;
  const square = (all * all) / count; // As if they weighed alike.
  sample.squares[place] = (sample.squares[place] as number) + square;
  sample.badSquares[place] = (sample.badSquares[place] as number) + square * (1 - ok / all);
}

/** One frame that `addTo` added. */
function subtractFrom({ good, frames, sample }: Counted, place: number, ok: number, all: number): void {
  if (!subtract(good, frames, place, ok, all) || sample === undefined) return;
  const { labels, squares, badSquares } = sample;
  subtract(badSquares, squares, place, all * all * (1 - ok / all), all * all);
  labels[place] = Math.max(0, (labels[place] as number) - 1);
}

/** False: there are not so many, so that these were not added. Rounding leaves no rate above 1, and nothing where nothing is left. */
export function subtract(good: Float64Array, frames: Float64Array, i: number, ok: number, all: number): boolean {
  const left = (frames[i] as number) - all;
  if (!(all > 0) || left < -ROUNDING * all) return false;
  frames[i] = left <= ROUNDING * all ? 0 : left;
  good[i] = Math.min(frames[i] as number, Math.max(0, (good[i] as number) - ok));
  return true;
}

function laneOf(members: number, controls: number, isSampled: boolean): Lane {
  const column = () => new Float64Array(members);
  const rateBefore = column();
  const counted = countedOf(members, controls, rateBefore, isSampled);
  return { ...counted, goodBefore: column(), framesBefore: column(), rateBefore, newest: null };
}

function countedOf(members: number, controls: number, rateBefore: Float64Array, isSampled: boolean): Counted {
  const column = () => new Float64Array(members);
  const [good, frames] = [column(), column()];
  const sample = isSampled ? { labels: column(), squares: column(), badSquares: column() } : undefined;
  const arm = (from: number, to: number) => ({
    good: good.subarray(from, to),
    frames: frames.subarray(from, to),
    before: rateBefore.subarray(from, to),
    ...(sample && {
      sample: {
        labels: sample.labels.subarray(from, to),
        squares: sample.squares.subarray(from, to),
        badSquares: sample.badSquares.subarray(from, to),
      },
    }),
  });
  return { good, frames, sample, counts: { control: arm(0, controls), canary: arm(controls, members) } };
}

function fillUnknown({ framesBefore, rateBefore }: Lane): void {
  let known = 0;
  let sum = 0;
  for (let i = 0; i < framesBefore.length; i++) {
    if (framesBefore[i] === 0) continue;
    known += 1;
    sum += rateBefore[i] as number;
  }
  if (known === framesBefore.length) return;
  const mean = known === 0 ? 0 : sum / known;
  for (let i = 0; i < framesBefore.length; i++) if (framesBefore[i] === 0) rateBefore[i] = mean;
}
