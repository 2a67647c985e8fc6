/** Two models on the same photos, by class. */
import { type Counted, changeOf } from "./proven.ts";
import type { Shown } from "./task-site.ts";

/** Accuracies before and after, and what changed in all and in each class. */
export type PlaceFigures = Counted & {
  readonly before: number;
  readonly after: number;
  readonly classes: readonly ClassFigures[];
};

/** `f1`: its change. */
export type ClassFigures = Counted & { readonly f1: number };

export function placeFigures(before: Shown, after: Shown): PlaceFigures {
  const gains = gainsOf(before, after);
  const old = rightOf(before).filter(Boolean).length;
  const countOf = (some: readonly number[]): Counted => {
    const count = (gain: number) => some.filter((own) => own === gain).length;
    return { frames: some.length, won: count(1), lost: count(-1) };
  };
  const whole = countOf(gains);
  const classes = before.logits[0]?.length ?? 0;
  return {
    ...whole,
    ...{ before: old / Math.max(1, gains.length), after: (old + whole.won - whole.lost) / Math.max(1, gains.length) },
    classes: Array.from({ length: classes }, (_, label) => ({
      ...countOf(gains.filter((_, i) => before.labels[i] === label)),
      f1: f1Of(after, label) - f1Of(before, label),
    })),
  };
}

/** A photo's gain is 1 where only the new model is right, and -1 where only the old one is. */
export function gainsOf(before: Shown, after: Shown): readonly number[] {
  const old = rightOf(before);
  return rightOf(after).map((isRight, i) => Number(isRight) - Number(old[i]));
}

function f1Of({ labels, logits }: Shown, of: number): number {
  const answers = logits.map(answerOf);
  const right = answers.filter((answer, i) => answer === of && labels[i] === of).length;
  const count = (all: readonly number[]) => all.filter((one) => one === of).length;
  return (2 * right) / Math.max(1, count(answers) + count(labels));
}

/** `labels`: by default the true ones. */
export const rightOf = ({ labels: own, logits }: Shown, labels: readonly number[] = own): readonly boolean[] =>
  labels.map((label, i) => answerOf(logits[i] as readonly number[]) === label);

const answerOf = (logits: readonly number[]): number => logits.indexOf(Math.max(...logits));

export function worstOf({ classes }: PlaceFigures): Counted {
  return classes.filter(({ frames }) => frames > 0).reduce((a, b) => (changeOf(b) < changeOf(a) ? b : a));
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
export const points = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
