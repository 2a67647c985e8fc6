/** Are the labels of a drifted slice right? They decide whether a candidate is better, and a model can become better in spite of wrong ones.
 * Where the champion and the candidate, which learned from such labels, are sure of the same answer, both are hardly ever wrong: labels that
 * say otherwise are (Northcutt et al., Confident Learning, 2021). The candidate has to agree, since drift makes a champion sure of
 * wrong answers, which training then corrects. Pure.
 *
 * B1. Usable are the frames that both answer alike with a mean probability of `SURE`; where these are fewer than `FRAMES_WANTED`, the next surest
 *     ones down to `SURE_LEAST`, as many as are missing. Labels have no part in it, so the choice favours none.
 * B2. Of right labels so many contradict as the models expect themselves to err: one less their probability. What is beyond that is wrong.
 * B3. The line passes where it is proven that not too many contradict, and fails where it is proven that too many do. Fewer than `FRAMES_MIN`
 *     usable frames prove nothing, and are unsure: of such labels a person decides. */
import { binomialCdf, clopperPearsonUpper, confidentLabels } from "@tributary/statistics";

/** Calibrated probability from which a model is sure. */
const SURE = 0.9;
const SURE_LEAST = 0.6;
const FRAMES_WANTED = 60;
const FRAMES_MIN = 30;
/** Models that are unsure prove nothing about labels, whatever they expect. */
const BOUND_MAX = 0.45;

/** `contradicted`: those with another label; `expected`: of right labels so many would be. */
export type SureFrames = {
  readonly frames: number;
  readonly contradicted: number;
  readonly expected: number;
  /** What confident learning finds on all frames of the slice, for people; absent: nobody looked. */
  readonly estimate?: LabelEstimate;
};

/** `suspects`: names of frames that are confidently of another class than labelled. */
export type LabelEstimate = { readonly wrongShare: number; readonly suspects: readonly string[] };

/** By the mean of both models' probabilities, on frames that neither learned. `names`: of the frames. */
export function labelEstimate(
  models: readonly (readonly (readonly number[])[])[],
  labels: readonly number[],
  names: readonly string[],
): LabelEstimate {
  const mean = labels.map((_, i) => {
    const all = models.map((own) => own[i] as readonly number[]);
    return (all[0] ?? []).map((_, of) => all.reduce((sum, own) => sum + (own[of] as number), 0) / all.length);
  });
  const { wrongShare, suspects } = confidentLabels(labels, mean, mean[0]?.length ?? 0);
  return { wrongShare, suspects: suspects.map((i) => names[i] as string) };
}

/** Per frame. `confidence`: calibrated, 0 to 1. */
export type Answers = { readonly answers: readonly number[]; readonly confidence: readonly number[] };

/** B1 */
export function sureFrames(candidate: Answers, champion: Answers, labels: readonly number[]): SureFrames {
  const alike = labels.flatMap((label, i) => {
    const answer = champion.answers[i];
    if (candidate.answers[i] !== answer) return [];
    const probability = ((candidate.confidence[i] as number) + (champion.confidence[i] as number)) / 2;
    return [{ probability, isContradicted: answer !== label }];
  });
  alike.sort((a, b) => b.probability - a.probability);
  const sure = alike.filter(({ probability }) => probability >= SURE).length;
  const usable = alike.slice(0, Math.max(sure, FRAMES_WANTED)).filter(({ probability }) => probability >= SURE_LEAST);
  return {
    frames: usable.length,
    contradicted: usable.filter(({ isContradicted }) => isContradicted).length,
    expected: usable.reduce((sum, { probability }) => sum + 1 - probability, 0),
  };
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

/** `slice`: KEY=VALUE. B2, B3. */
export function labelsLine(
  slice: string,
  { frames, contradicted, expected, estimate }: SureFrames,
  { contradicted: beyond, alpha }: LabelMargins,
): LabelsLine {
  const bound = Math.min(BOUND_MAX, beyond + expected / Math.max(1, frames));
  const about = { kind: "labels", name: `labels of ${slice}`, champion: null, bound } as const;
  const sure = `frames that champion and candidate are sure of alike`;
  if (frames < FRAMES_MIN) {
    const found = `${frames} ${sure}; ${FRAMES_MIN} are needed to judge labels by: look at some of them, or have them labelled twice${suspectWords(estimate)}`;
    return { ...about, verdict: "unsure", candidate: frames === 0 ? null : contradicted / frames, found };
  }
  const share = contradicted / frames;
  const isProvenRight = clopperPearsonUpper(contradicted, frames, alpha) <= bound;
  const p = 1 - binomialCdf(contradicted - 1, frames, bound);
  const verdict = isProvenRight ? "passed" : p <= alpha ? "failed" : "unsure";
  const counts = `${contradicted} of ${frames} ${sure} are labelled otherwise, at most ${Math.round(100 * bound)} %`;
  const advice =
    verdict === "passed"
      ? ""
      : `; p ${p.toPrecision(2)}: these labels are wrong, or both models are; look at who labelled them, and how${suspectWords(estimate)}`;
  return { ...about, verdict, candidate: share, found: `${counts}${advice}` };
}

const NAMED_MAX = 5;

function suspectWords(estimate: LabelEstimate | undefined): string {
  if (estimate === undefined || estimate.suspects.length === 0) return "";
  const { suspects, wrongShare } = estimate;
  const some = suspects.slice(0, NAMED_MAX).join(", ");
  const more = suspects.length > NAMED_MAX ? ` and ${suspects.length - NAMED_MAX} more` : "";
  return `; at most about ${Math.round(100 * wrongShare)} % are wrong by confident learning, first ${some}${more}`;
}
