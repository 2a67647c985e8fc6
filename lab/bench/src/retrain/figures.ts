/** Two models on the same photos, by class. */
import { paired } from "@tributary/models/gate";
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
  const [old, own] = [rightOf(before), rightOf(after)];
  const countOf = (at: readonly number[]): Counted => {
    const { frames, won, lost } = paired(
      at.map((i) => own[i] === true),
      at.map((i) => old[i] === true),
    );
    return { frames, won, lost };
  };
  const share = (all: readonly boolean[]) => all.filter(Boolean).length / Math.max(1, all.length);
  const all = [...before.labels.keys()];
  const classes = before.logits[0]?.length ?? 0;
  return {
    ...countOf(all),
    ...{ before: share(old), after: share(own) },
    classes: Array.from({ length: classes }, (_, label) => ({
      ...countOf(all.filter((i) => before.labels[i] === label)),
      f1: f1Of(after, label) - f1Of(before, label),
    })),
  };
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
