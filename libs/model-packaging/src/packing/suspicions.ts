/** What is probably wrong when a model and its preprocessing load, run, and yet recognise little: found by trying every single
 * fault of the dictionary (readings.ts), and another order of the labels, on validation frames. Pure but for `Predict`. Classes
 * count alike: a model that always answers the most frequent class sees nothing, however often it is right. So readings are
 * compared by balanced accuracy, the mean over the classes of the share that is recognised. Of readings that the frames cannot
 * distinguish, the one that changes the fewest keys is named, then the best. Nothing is changed silently: the maker decides.
 *
 * S2. A reading is named only when it is clearly better than the described one on the same frames: by `GAIN_MIN`, by a paired
 *     sign test at `LEVEL` over all tries together (Holm), and not by guessing itself. Where the described one sees something,
 *     the other must be right more often as well: classes traded for each other are no fault. */
import { type Random, seededRandom } from "@tributary/kernel";
import {
  binomialCdf,
  type DifferingPairs,
  holmAdjusted,
  normalQuantile,
  weightedSignTest,
} from "@tributary/statistics";
import type { Json, Reading } from "./readings.ts";

/** Per frame the class of the largest output; null where the frame could not be run so. */
export type Answers = readonly (number | null)[];
/** What the model answers on these frames (places in the task's) when the file reads otherwise. */
export type Predict = (config: Json, frames: readonly number[]) => Promise<Answers>;

export type Task = {
  /** The true class of each frame. */
  readonly truth: readonly number[];
  /** Of the classes, in the order of the outputs. */
  readonly names: readonly string[];
  readonly readings: readonly Reading[];
};

export type Figures = {
  readonly frames: number;
  readonly right: number;
  readonly balancedAccuracy: number;
};

export type Try = {
  /** What to write. */
  readonly what: string;
  readonly kind: "preprocessing" | "labels";
  readonly changes: number;
  /** On the same frames, as described and as tried. */
  readonly own: Figures;
  readonly other: Figures;
  /** Share of frames by which more are right, with the classes as frequent as in the whole. */
  readonly gain: number;
  /** One-sided, of all tries together. */
  readonly pValue: number;
  readonly isClearlyBetter: boolean;
};

export type Diagnosis = {
  /** As described, on all frames. */
  readonly own: Figures;
  /** The most frequent class, and how often it would be right as the only answer. */
  readonly majority: { readonly name: string; readonly share: number };
  /** Balanced accuracy of answers that ignore the frame. */
  readonly guessing: number;
  readonly isGuessing: boolean;
  /** Best first; empty when the model is as good as anything could show. */
  readonly tries: readonly Try[];
  readonly named: Try | null;
  /** Clearly better, too, and not distinguished from the one that is named. */
  readonly asGood: readonly Try[];
};

/** Below it another reading is not worth a change. */
export const GAIN_MIN = 0.03;
/** Of one false alarm among all tries. */
const LEVEL = 0.05;
/** Every reading is tried on so many frames, ... */
export const FRAMES_FIRST = 100;
/** ... and the best few on so many: at most some 4,000 runs of a frame, however many frames there are. */
export const FRAMES_MAX = 400;
const KEPT = 4;
const SEED = 11;

export async function diagnose(own: Answers, task: Task, predict: Predict): Promise<Diagnosis> {
  const { truth, names } = task;
  const all = figuresOf(own, truth);
  const counts = countsOf(truth);
  const [most, count] = [...counts].reduce((best, one) => (one[1] > best[1] ? one : best));
  const isBlind = isGuessing(own, truth);
  const diagnosis = {
    own: all,
    majority: { name: names[most] as string, share: count / truth.length },
    guessing: 1 / counts.size,
    isGuessing: isBlind,
  };
  if (all.balancedAccuracy > 1 - GAIN_MIN) return { ...diagnosis, tries: [], named: null, asGood: [] };

  const order = drawnByClass(truth, seededRandom(SEED)).slice(0, FRAMES_MAX);
  const candidates = await candidatesOf(order, own, task, predict);
  const pValues = holmAdjusted(candidates.map(({ frames, answers }) => betterness(answers, own, truth, frames)));
  const judged = candidates.map((candidate, i) => {
    const { reading, kind, frames, answers } = candidate;
    const [before, after] = [own, answers].map((them) => figuresOf(at(them, frames), at(truth, frames))) as [
      Figures,
      Figures,
    ];
    const pValue = pValues[i] as number;
    const gain = weightedGain(answers, own, truth, frames, counts) / truth.length;
    const isClearlyBetter =
      pValue < LEVEL &&
      after.balancedAccuracy - before.balancedAccuracy >= GAIN_MIN &&
      (isBlind || gain > 0) &&
      !isGuessing(at(answers, frames), at(truth, frames));
    const { what, changes } = reading;
    return { ...candidate, tried: { what, kind, changes, own: before, other: after, gain, pValue, isClearlyBetter } };
  });
  judged.sort((a, b) => b.tried.other.balancedAccuracy - a.tried.other.balancedAccuracy);
  const clear = judged.filter(({ tried }) => tried.isClearlyBetter);
  const alike = clear.filter((one) => !isDistinguished(clear[0] as Judged, one, truth));
  alike.sort((a, b) => a.tried.changes - b.tried.changes);
  const [named = null, ...asGood] = alike.map(({ tried }) => tried);
  return { ...diagnosis, tries: judged.map(({ tried }) => tried), named, asGood };
}

type Candidate = {
  readonly reading: Pick<Reading, "what" | "changes">;
  readonly kind: Try["kind"];
  readonly frames: readonly number[];
  /** By place in the task's frames; null where it was not tried. */
  readonly answers: Answers;
};
type Judged = Candidate & { readonly tried: Try };

/** Every reading on the first frames; the best few, and the labels in another order, on all that were drawn. */
async function candidatesOf(
  order: readonly number[],
  own: Answers,
  { truth, names, readings }: Task,
  predict: Predict,
): Promise<readonly Candidate[]> {
  const first = order.slice(0, FRAMES_FIRST);
  const rest = order.slice(FRAMES_FIRST);
  const candidates: (Candidate & { readonly config: Json })[] = [];
  for (const reading of readings) {
    const answers = spread(await predict(reading.config, first), first, truth.length);
    candidates.push({ reading, kind: "preprocessing", frames: first, answers, config: reading.config });
  }
  const score = ({ answers }: Candidate) => figuresOf(at(answers, first), at(truth, first)).balancedAccuracy;
  const ranked = candidates.map((candidate) => ({ candidate, score: score(candidate) }));
  ranked.sort((a, b) => b.score - a.score);
  const longer: Candidate[] = [];
  for (const [rank, { candidate }] of ranked.entries()) {
    if (rank >= KEPT || rest.length === 0) {
      longer.push(candidate);
      continue;
    }
    const more = spread(await predict(candidate.config, rest), rest, truth.length);
    longer.push({ ...candidate, frames: order, answers: candidate.answers.map((one, i) => one ?? more[i] ?? null) });
  }
  const relabelled = otherLabelOrder(own, truth, order, names);
  return relabelled === null ? longer : [...longer, relabelled];
}

/**
 * Each output stands for one class, but perhaps not for the one on its line of the labels. The order is found on one half of
 * the frames and judged on the other, both ways: an order that was fitted to noise fits no other frames.
 */
function otherLabelOrder(
  own: Answers,
  truth: readonly number[],
  order: readonly number[],
  names: readonly string[],
): Candidate | null {
  if (order.some((frame) => own[frame] === null)) return null;
  const halves = [0, 1].map((rest) => order.filter((_, i) => Math.floor(i / names.length) % 2 === rest));
  const answers = new Array<number | null>(truth.length).fill(null);
  for (const [i, half] of halves.entries()) {
    const fitted = bestOrder(own, truth, halves[1 - i] as readonly number[], names.length);
    for (const frame of half) answers[frame] = fitted[own[frame] as number] as number;
  }
  const fitted = bestOrder(own, truth, order, names.length);
  const listed = fitted.map((label) => names[label] as string).join(", ");
  const changes = fitted.filter((label, output) => label !== output).length;
  return { reading: { what: listed, changes }, kind: "labels", frames: order, answers };
}

/** The class of each output: greedily, by the share of the class that the output takes. Outputs that nothing speaks for keep
 * theirs. */
function bestOrder(own: Answers, truth: readonly number[], frames: readonly number[], classes: number): number[] {
  const counts = countsOf(at(truth, frames));
  const shares = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (const frame of frames) {
    const label = truth[frame] as number;
    const row = shares[own[frame] as number] as number[];
    row[label] = (row[label] as number) + 1 / (counts.get(label) as number);
  }
  const pairs = shares
    .flatMap((row, output) => row.map((share, label) => ({ output, label, share })))
    .sort((a, b) => b.share - a.share || Number(b.output === b.label) - Number(a.output === a.label));
  const order = new Map<number, number>();
  const taken = new Set<number>();
  for (const { output, label } of pairs) {
    if (order.has(output) || taken.has(label)) continue;
    order.set(output, label);
    taken.add(label);
  }
  return shares.map((_, output) => order.get(output) as number);
}

/**
 * True when the answers are no better than those of a model that ignores the frame: neither the balanced accuracy (against the
 * same answers dealt out at random: normal approximation) nor the accuracy (against the most frequent class: exact binomial
 * test) is above it, one-sided and both together at 1 %.
 */
export function isGuessing(answers: Answers, truth: readonly number[]): boolean {
  const counts = countsOf(truth);
  const { frames, right, balancedAccuracy } = figuresOf(answers, truth);
  const chance = Math.max(...counts.values()) / frames;
  if (chance < 1 && 1 - binomialCdf(right - 1, frames, chance) <= 0.005) return false;
  const answered = countsOf(answers);
  let expected = 0;
  let variance = 0;
  for (const [label, count] of counts) {
    const share = (answered.get(label) ?? 0) / frames;
    expected += share / counts.size;
    variance += (share * (1 - share)) / count / counts.size ** 2;
  }
  // A model that always gives the same answer has no variance, and sums of shares are rounded.
  return balancedAccuracy <= expected + normalQuantile(0.995) * Math.sqrt(variance) + 1e-9;
}

export function figuresOf(answers: Answers, truth: readonly number[]): Figures {
  const counts = countsOf(truth);
  const seen = countsOf(truth.filter((label, i) => answers[i] === label));
  const shares = [...counts].map(([label, count]) => (seen.get(label) ?? 0) / count);
  const right = [...seen.values()].reduce((sum, count) => sum + count, 0);
  const balancedAccuracy = shares.reduce((sum, share) => sum + share, 0) / counts.size;
  return { frames: truth.length, right, balancedAccuracy };
}

/** P-value of "no better than the other" from the frames on which exactly one is right; a frame counts by its class. */
function betterness(one: Answers, other: Answers, truth: readonly number[], frames: readonly number[]): number {
  const counts = countsOf(at(truth, frames));
  let total = 0;
  const differing = new Map<number, number>();
  for (const frame of frames) {
    const label = truth[frame] as number;
    const lead = Number(one[frame] === label) - Number(other[frame] === label);
    if (lead === 0) continue;
    total += lead / (counts.get(label) as number);
    differing.set(label, (differing.get(label) ?? 0) + 1);
  }
  const pairs = [...differing].map(
    ([label, count]): DifferingPairs => ({ weight: 1 / (counts.get(label) as number), count }),
  );
  return weightedSignTest(total, pairs);
}

function isDistinguished(best: Candidate, other: Candidate, truth: readonly number[]): boolean {
  const both = best.frames.length < other.frames.length ? best.frames : other.frames;
  return betterness(best.answers, other.answers, truth, both) <= 0.05;
}

/** How many more frames are right, with the classes as frequent as in the whole. */
function weightedGain(
  one: Answers,
  other: Answers,
  truth: readonly number[],
  frames: readonly number[],
  whole: ReadonlyMap<number, number>,
): number {
  const counts = countsOf(at(truth, frames));
  return frames.reduce((sum, frame) => {
    const label = truth[frame] as number;
    const lead = Number(one[frame] === label) - Number(other[frame] === label);
    return sum + (lead * (whole.get(label) as number)) / (counts.get(label) as number);
  }, 0);
}

/** All frames in an order of which every beginning has the classes in equal numbers, as far as they go. */
function drawnByClass(truth: readonly number[], random: Random): readonly number[] {
  const lots = truth.map(() => random());
  const ranks = new Map<number, number>();
  const byLot = truth.map((_, i) => i).sort((a, b) => (lots[a] as number) - (lots[b] as number));
  const ranked = byLot.map((frame) => {
    const rank = ranks.get(truth[frame] as number) ?? 0;
    ranks.set(truth[frame] as number, rank + 1);
    return { frame, rank };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ frame }) => frame);
}

function countsOf(labels: readonly (number | null)[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const label of labels) if (label !== null) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

function at<T>(values: readonly T[], places: readonly number[]): readonly T[] {
  return places.map((place) => values[place] as T);
}

function spread(answers: Answers, frames: readonly number[], length: number): Answers {
  const all = new Array<number | null>(length).fill(null);
  for (const [i, frame] of frames.entries()) all[frame] = answers[i] as number | null;
  return all;
}
