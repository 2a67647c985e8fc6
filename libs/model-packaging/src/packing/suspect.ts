/** Before a model is packed: what it answers as described, what is probably wrong when that is little, and what to change in
 * which file. (pack.ts K3) */
import type { Inference, Preprocessing } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import type { ValidationFrame } from "../validation/frames.ts";
import { tensorsThatFit, type WantedTensors } from "./fit.ts";
import { type Json, otherReadings, type Reading } from "./readings.ts";
import type { SourcePaths, Sources } from "./sources.ts";
import { type Answers, type Diagnosis, diagnose, FRAMES_FIRST, FRAMES_MAX, type Try } from "./suspicions.ts";

/** Runs the model on frames, preprocessed by this file; null: as described. */
export type Run = (config: Json | null, frames: readonly ValidationFrame[]) => Promise<readonly Inference[]>;

/** How a model rejects the tensors that the preprocessing makes. */
const UNFIT = ["image-size-wrong", "model-manifest-mismatch", "model-unloadable"];

/** What the model answers on the frames as described; throws when it is no better than guessing, or cannot take them. */
export async function suspect(
  frames: readonly ValidationFrame[],
  sources: Sources,
  paths: SourcePaths & WantedTensors,
  run: Run,
  progress: (line: string) => void,
): Promise<readonly Inference[]> {
  const described = await run(null, frames).catch(unfit);
  const readings = readingsThatFit(sources, paths, true);
  const task = { truth: frames.map(({ label }) => label), names: sources.labels, readings };
  let tries = 0;
  const diagnosis = await diagnose(answersOf(described, frames), task, async (other, places) => {
    if (tries++ === 0)
      progress(`  there may be better: ${readings.length} other readings of the preprocessing are tried`);
    const some = places.map((place) => frames[place] as ValidationFrame);
    return answersOf(await run(other, some).catch(failed), some);
  });
  if (described instanceof Failure) {
    if (diagnosis.named === null) throw described;
    throw new Failure(described.code, "ask-a-person", `${described.message}: ${adviceOf(diagnosis, paths)}`);
  }
  if (diagnosis.isGuessing) {
    const found = `the model is ${foundOf(diagnosis)}: no better than guessing`;
    throw new Failure("model-only-guesses", "ask-a-person", `${found}.\n  ${adviceOf(diagnosis, paths)}`);
  }
  if (diagnosis.named !== null) {
    progress(`warning: the model is ${foundOf(diagnosis)}.\n  ${adviceOf(diagnosis, paths)}`);
  } else if (diagnosis.own.right < diagnosis.majority.share * diagnosis.own.frames) {
    progress(
      `note: the model is ${foundOf(diagnosis)}. It distinguishes the classes, but ${causeOf(diagnosis, described, frames)}`,
    );
  }
  return described;
}

/** Other preprocessing files whose tensors the model takes. `isFitted`: also those that move mean or deviation by steps. */
export const readingsThatFit = (sources: Sources, wanted: WantedTensors, isFitted = false): readonly Reading[] =>
  otherReadings(sources.config, (other) => doesFit(sources, other, wanted), isFitted);

/** Why the most frequent class alone would be right more often: no cause is named that explains less than a correction would gain. */
function causeOf(
  { own, tries }: Diagnosis,
  described: readonly Inference[],
  frames: readonly ValidationFrame[],
): string {
  const shifted = shiftedAnswers(described, frames).filter((label, i) => label === frames[i]?.label).length;
  const gain = (shifted - own.right) / frames.length;
  const [best] = [...tries].sort((a, b) => b.gain - a.gain);
  if (gain > Math.max(0, best?.gain ?? 0)) {
    return `was trained on other class frequencies than these frames have; shift its logits by the log of the classes' shares: right on ${shifted} instead of ${own.right}`;
  }
  const tried = best === undefined ? "" : `; the best of them, not clearly better: ${best.what}: ${changeOf(best)}`;
  return `why is not known: neither other class frequencies nor a single correction of the description explain it${tried}. --golden shows whether the description is right`;
}

/** With the logits shifted by the log of the classes' shares. */
function shiftedAnswers(described: readonly Inference[], frames: readonly ValidationFrame[]): readonly number[] {
  const counts = new Map<number, number>();
  for (const { label } of frames) counts.set(label, (counts.get(label) ?? 0) + 1);
  // A class without a frame is never answered.
  return described.map(({ logits }) =>
    bestOf({ logits: logits.map((value, label) => value + Math.log(counts.get(label) ?? 0)) }),
  );
}

/** "right on 137 of 394 ..., balanced accuracy ...", each beside what needs no look at the picture. */
function foundOf({ own, majority, guessing }: Diagnosis): string {
  const always = `always "${majority.name}" would be on ${percent(majority.share)}`;
  const right = `right on ${own.right} of ${own.frames} validation frames (${percent(own.right / own.frames)}; ${always})`;
  return `${right}, its balanced accuracy is ${percent(own.balancedAccuracy)} (guessing: ${percent(guessing)})`;
}

function adviceOf({ named, asGood, tries }: Diagnosis, paths: SourcePaths): string {
  if (named !== null) {
    const others = asGood.map(({ what }) => `\n  as good on these frames: ${what}`).join("");
    return `${cureOf(named, paths)}: ${changeOf(named)}${chanceOf(named)}${others}`;
  }
  const tried = tries.map((one) => `\n    ${subjectOf(one)}: ${changeOf(one)}`).join("");
  return `Tried, the best on ${FRAMES_MAX} frames at most and the others on ${FRAMES_FIRST}, in equal numbers of each class; none is clearly better:${tried}
  Look whether ${paths.model} is the model that was exported, trained to its end and for these classes; whether the frames'
  labels are right; and compare one frame's input tensor, and what the model answers, with the program that trained it`;
}

const cureOf = (one: Try, paths: SourcePaths): string =>
  one.kind === "labels"
    ? `The labels are in another order: write ${one.what} in ${paths.labels}`
    : `The preprocessing is described wrongly: write ${one.what} in ${paths.preprocess}`;

const subjectOf = ({ kind, what }: Try): string => (kind === "labels" ? `labels in the order ${what}` : what);

const changeOf = ({ own, other }: Try): string =>
  `right on ${other.right} instead of ${own.right} of ${own.frames} frames, balanced accuracy ${percent(other.balancedAccuracy)} instead of ${percent(own.balancedAccuracy)}`;

const chanceOf = ({ pValue }: Try): string =>
  ` (p ${pValue < 1e-6 ? "< 0.000001" : `= ${pValue.toPrecision(1)}`} over all tries)`;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function doesFit({ facts, labels }: Sources, preprocessing: Preprocessing, wanted: WantedTensors): boolean {
  try {
    tensorsThatFit(facts, labels, preprocessing, wanted);
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}

function unfit(error: unknown): Failure {
  const failure = failed(error);
  if (UNFIT.includes(failure.code)) return failure;
  throw failure;
}

/** A reading that does not run, or takes too much memory, is none. */
function failed(error: unknown): Failure {
  if (error instanceof Failure) return error;
  throw error;
}

const answersOf = (answered: readonly Inference[] | Failure, frames: readonly ValidationFrame[]): Answers =>
  answered instanceof Failure ? frames.map(() => null) : answered.map(bestOf);

function bestOf({ logits }: Pick<Inference, "logits">): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}
