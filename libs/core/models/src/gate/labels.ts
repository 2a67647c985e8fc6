/** Are the labels of a drifted slice right? They decide whether a candidate is better, and a model can become better in spite of wrong ones.
 * Where the champion and the candidate, which learned from such labels, are sure of the same answer, both are hardly ever wrong: labels that
 * say otherwise are (Northcutt et al., Confident Learning, 2021). The candidate has to agree, since drift makes a champion sure of
 * wrong answers, which training then corrects. Pure.
 *
 * B1. Usable are the frames that both answer alike with a mean probability of `SURE`; where these are fewer than `FRAMES_WANTED`, the next surest
 *     ones down to `SURE_LEAST`, as many as are missing. Labels have no part in it, so the choice favours none.
 * B2. Of right labels so many contradict as the models expect themselves to err: one less their probability. What is beyond that is wrong.
 * B3. The line passes where it is proven that not too many contradict, and fails where it is proven that too many do. Fewer than `FRAMES_MIN`
 *     usable frames prove nothing, and are unsure: of such labels a person decides.
 * B4. People who take two of many classes for each other contradict too few frames for B3. So each pair of classes is looked at as well, on all
 *     frames that both models answer alike with one of the two: the models state how often the other one is right. A pair that is labelled with
 *     the other far more often than that, at the gate's level over all pairs, makes the line unsure. */
import { binomialCdf, clopperPearsonUpper, confidentLabels } from "@tributary/statistics";

/** Calibrated probability from which a model is sure. */
const SURE = 0.9;
const SURE_LEAST = 0.6;
const FRAMES_WANTED = 60;
const FRAMES_MIN = 30;
/** Models that are unsure prove nothing about labels, whatever they expect. */
const BOUND_MAX = 0.45;
/** B4. Drift makes models too sure, and people err now and then: of a pair's frames so many may be labelled with the other class, beside so many
 * times what the models expect. */
const PAIR_BEYOND = 0.03;
const PAIR_TIMES = 2;

/** `contradicted`: those with another label; `expected`: of right labels so many would be. */
export type SureFrames = {
  readonly frames: number;
  readonly contradicted: number;
  readonly expected: number;
  /** B4. The pair that is the least likely; null: there are no frames. */
  readonly pair: PairOfClasses | null;
  /** What confident learning finds on all frames of the slice, for people; absent: nobody looked. */
  readonly estimate?: LabelEstimate;
};

/** B4. Of `frames` that both models answer with one of two classes, `contradicted` are labelled with the other. `p`: how likely so many are, over
 * all pairs. */
export type PairOfClasses = {
  readonly classes: readonly [number, number];
  readonly frames: number;
  readonly contradicted: number;
  readonly p: number;
};

/** `suspects`: names of frames that are confidently of another class than labelled. */
export type LabelEstimate = { readonly wrongShare: number; readonly suspects: readonly string[] };

/** Calibrated, of each class, by frame. */
export type Probabilities = readonly (readonly number[])[];

/** By the mean of both models' probabilities, on frames that neither learned. `names`: of the frames. */
export function labelEstimate(
  candidate: Probabilities,
  champion: Probabilities,
  labels: readonly number[],
  names: readonly string[],
): LabelEstimate {
  const mean = labels.map((_, i) => meanOf(candidate[i] as readonly number[], champion[i] as readonly number[]));
  const { wrongShare, suspects } = confidentLabels(labels, mean, mean[0]?.length ?? 0);
  return { wrongShare, suspects: suspects.map((i) => names[i] as string) };
}

const meanOf = (one: readonly number[], other: readonly number[]): readonly number[] =>
  one.map((value, i) => (value + (other[i] as number)) / 2);

type Alike = { readonly label: number; readonly answer: number; readonly mean: readonly number[] };

/** B1 */
export function sureFrames(candidate: Probabilities, champion: Probabilities, labels: readonly number[]): SureFrames {
  const alike = labels.flatMap((label, i): readonly Alike[] => {
    const [own, other] = [candidate[i] as readonly number[], champion[i] as readonly number[]];
    const answer = answerOf(other);
    return answerOf(own) === answer ? [{ label, answer, mean: meanOf(own, other) }] : [];
  });
  const probability = ({ mean, answer }: Alike) => mean[answer] as number;
  const surest = alike.toSorted((a, b) => probability(b) - probability(a));
  const sure = surest.filter((one) => probability(one) >= SURE).length;
  const usable = surest.slice(0, Math.max(sure, FRAMES_WANTED)).filter((one) => probability(one) >= SURE_LEAST);
  return {
    frames: usable.length,
    contradicted: usable.filter(({ answer, label }) => answer !== label).length,
    expected: usable.reduce((sum, one) => sum + 1 - probability(one), 0),
    pair: leastLikelyPair(alike),
  };
}

const answerOf = (probabilities: readonly number[]): number => probabilities.indexOf(Math.max(...probabilities));

/** B4 */
function leastLikelyPair(alike: readonly Alike[]): PairOfClasses | null {
  const classes = alike[0]?.mean.length ?? 0;
  const byAnswer = Map.groupBy(alike, ({ answer }) => answer);
  const pairs: PairOfClasses[] = [];
  for (let one = 0; one < classes; one++) {
    for (let other = one + 1; other < classes; other++) {
      const own = [...(byAnswer.get(one) ?? []), ...(byAnswer.get(other) ?? [])];
      if (own.length === 0) continue;
      const otherOf = ({ answer }: Alike) => (answer === one ? other : one);
      const contradicted = own.filter((frame) => frame.label === otherOf(frame)).length;
      const expected = own.reduce((sum, frame) => sum + (frame.mean[otherOf(frame)] as number), 0);
      const bound = Math.min(BOUND_MAX, PAIR_BEYOND + (PAIR_TIMES * expected) / own.length);
      const p = contradicted <= bound * own.length ? 1 : 1 - binomialCdf(contradicted - 1, own.length, bound);
      pairs.push({ classes: [one, other], frames: own.length, contradicted, p });
    }
  }
  if (pairs.length === 0) return null;
  const least = pairs.reduce((a, b) => (b.p < a.p ? b : a));
  return { ...least, p: Math.min(1, pairs.length * least.p) };
}

export type LabelMargins = {
  /** Share of usable frames whose label may say otherwise, beyond what models expect. */
  readonly contradicted: number;
  readonly alpha: number;
};

export type LabelsLine = {
  readonly kind: "labels";
  readonly name: string;
  readonly verdict: "passed" | "unsure" | "failed";
  /** The share that is contradicted. */
  readonly candidate: number | null;
  readonly champion: null;
  readonly bound: number;
  readonly found: string;
};

/** `slice`: KEY=VALUE. B2 to B4. `classes`: their names. */
export function labelsLine(
  slice: string,
  { frames, contradicted, expected, pair, estimate }: SureFrames,
  { contradicted: beyond, alpha }: LabelMargins,
  classes: readonly string[],
): LabelsLine {
  const bound = Math.min(BOUND_MAX, beyond + expected / Math.max(1, frames));
  const about = { kind: "labels", name: `labels of ${slice}`, champion: null, bound } as const;
  const sure = `frames that champion and candidate are sure of alike`;
  if (frames < FRAMES_MIN) {
    const found = `${frames} ${sure}; ${FRAMES_MIN} are needed to judge labels by: look at some of them, or have them labelled twice${suspectWords(estimate)}`;
    return { ...about, verdict: "unsure", candidate: frames === 0 ? null : contradicted / frames, found };
  }
  const share = contradicted / frames;
  const counts = `${contradicted} of ${frames} ${sure} are labelled otherwise, at most ${Math.round(100 * bound)} %`;
  const p = contradicted === 0 ? 1 : 1 - binomialCdf(contradicted - 1, frames, bound);
  const whole = clopperPearsonUpper(contradicted, frames, alpha) <= bound ? "passed" : p <= alpha ? "failed" : "unsure";
  if (whole !== "passed") {
    const advice = `p ${p.toPrecision(2)}: these labels are wrong, or both models are; look at who labelled them, and how${suspectWords(estimate)}`;
    return { ...about, verdict: whole, candidate: share, found: `${counts}; ${advice}` };
  }
  if (pair === null || pair.p > alpha) return { ...about, verdict: "passed", candidate: share, found: counts };
  const [one, other] = pair.classes.map((label) => classes[label] ?? `class ${label}`);
  const taken = `but ${one} and ${other} are labelled as each other on ${pair.contradicted} of ${pair.frames} frames that both models answer alike`;
  const advice = `p ${pair.p.toPrecision(2)}: people take them for each other, or both models do${suspectWords(estimate)}`;
  return { ...about, verdict: "unsure", candidate: share, found: `${counts}, ${taken}; ${advice}` };
}

const NAMED_MAX = 5;

function suspectWords(estimate: LabelEstimate | undefined): string {
  if (estimate === undefined || estimate.suspects.length === 0) return "";
  const { suspects, wrongShare } = estimate;
  const some = suspects.slice(0, NAMED_MAX).join(", ");
  const more = suspects.length > NAMED_MAX ? ` and ${suspects.length - NAMED_MAX} more` : "";
  return `; at most about ${Math.round(100 * wrongShare)} % are wrong by confident learning, first ${some}${more}`;
}
