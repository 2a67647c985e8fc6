/** Are the labels of a drifted slice right? They decide whether a candidate is better, and a model can become better in spite of wrong ones.
 * Where the champion is sure and the candidate, which learned from such labels, still answers alike, both are hardly ever wrong: labels that
 * say otherwise are (Northcutt et al., Confident Learning, 2021). The candidate has to agree, since drift makes a champion sure of
 * wrong answers, which training then corrects. Pure. */
import { binomialCdf } from "@tributary/statistics";

/** Calibrated probability from which a model is sure. */
const SURE = 0.9;

/** Frames that the champion is sure of and the candidate answers alike; `contradicted`: those with another label. */
export type SureFrames = { readonly frames: number; readonly contradicted: number };

/** Per frame. `confidence`: calibrated, 0 to 1. */
export type Answers = { readonly answers: readonly number[]; readonly confidence: readonly number[] };

export function sureFrames(
  candidate: Pick<Answers, "answers">,
  champion: Answers,
  labels: readonly number[],
): SureFrames {
  const sure = labels.flatMap((label, i) => {
    const answer = champion.answers[i];
    const isSure = (champion.confidence[i] as number) >= SURE && candidate.answers[i] === answer;
    return isSure ? [answer !== label] : [];
  });
  return { frames: sure.length, contradicted: sure.filter(Boolean).length };
}

export type LabelMargins = {
  /** Share of sure frames whose label may say otherwise: beyond it a proven one fails, another is unsure. */
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

/** `slice`: KEY=VALUE. Without a sure frame there is nothing to say against its labels: it passes. */
export function labelsLine(
  slice: string,
  { frames, contradicted }: SureFrames,
  { contradicted: bound, alpha }: LabelMargins,
): LabelsLine {
  const about = { kind: "labels", name: `labels of ${slice}`, champion: null, bound } as const;
  const sure = `frames that the champion is sure of (${SURE} or more) and the candidate answers alike`;
  if (frames === 0) return { ...about, verdict: "passed", candidate: null, found: `there are no ${sure}` };
  const share = contradicted / frames;
  const p = 1 - binomialCdf(contradicted - 1, frames, bound);
  const verdict = share <= bound ? "passed" : p <= alpha ? "failed" : "unsure";
  const counts = `${contradicted} of ${frames} ${sure} are labelled otherwise, at most ${Math.round(100 * bound)} %`;
  const advice =
    verdict === "passed"
      ? ""
      : `; p ${p.toPrecision(2)}: these labels are wrong, or both models are; look at who labelled them, and how`;
  return { ...about, verdict, candidate: share, found: `${counts}${advice}` };
}
