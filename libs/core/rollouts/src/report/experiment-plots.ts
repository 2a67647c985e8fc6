/** The pictures of an experiment: accuracy against latency, how far arms are from the control, and how strong the evidence is. */
import type { ArmComparison, ArmEvidence, ExperimentEvidence, ShownDifference } from "../experiment/evidence.ts";
import { figure } from "../experiment/words.ts";
import { logSum } from "../judge/evidence.ts";
import { type Axis, colours, Plot, rangeOf } from "./svg.ts";

const ROW = 26;
const SAME = "#e4eef5";

/** A point an arm, and the deadline that the 99th percentile must keep. Empty: no arm has answers and labels. */
export function frontierPlot(id: string, arms: readonly ArmEvidence[], deadlineMs: number): string {
  const known = arms.flatMap(({ name, rates, latency, callCostPer1000 }) =>
    rates.correct === null || latency === null
      ? []
      : [{ name, x: latency.p99Ms, y: 100 * rates.correct, cost: callCostPer1000 }],
  );
  if (known.length === 0) return "";
  const x: Axis = {
    ...rangeOf([...known.map((arm) => arm.x), deadlineMs], 0.12),
    title: "99th percentile of the latency, capture to final answer (ms)",
    text: figure,
  };
  const y: Axis = { ...rangeOf(known.map((arm) => arm.y), 0.2), title: "accuracy (%)", text: figure }; // biome-ignore format: one line
  const plot = new Plot(id, x, y, { width: 560, height: 260, right: 296 });
  plot.moment(deadlineMs, `deadline ${figure(deadlineMs)} ms`);
  for (const { name, x, y, cost } of known)
    plot.dot(x, y, colours.harm, `${name}${cost === null ? "" : `, calls ${figure(cost)}`}`);
  return plot.svg("Accuracy of each arm against the 99th percentile of its latency, beside the deadline");
}

export type DifferenceRow = { readonly name: string; readonly difference: ShownDifference };

/**
 * Arm less control, a row an arm, with its always-valid band.
 *
 * @param unit - What a difference is multiplied by, the name of that, and the largest that there can be.
 * @param marks - In the same unit: differences that count as none, and a margin.
 */
export function differencePlot(
  id: string,
  about: string,
  rows: readonly DifferenceRow[],
  unit: { readonly scale: number; readonly title: string; readonly most: number },
  marks: { readonly rope?: number; readonly margin?: number },
): string {
  const drawn = rows.map(({ name, difference }, i) => {
    const { estimate, band } = difference;
    const within = (value: number) => Math.min(unit.most, Math.max(-unit.most, unit.scale * value));
    const [low, high] = band === null ? [null, null] : [within(band.lower), within(band.upper)];
    const bounds = low === null ? "no bound yet" : `${figure(low)} to ${figure(high)}`;
    const label = `${figure(unit.scale * estimate)} (${bounds})`;
    return { name, row: rows.length - i, estimate: unit.scale * estimate, low, high, label };
  });
  const { rope, margin } = marks;
  const ends = drawn.flatMap(({ estimate, low, high }) => [estimate, low ?? estimate, high ?? estimate]);
  const x: Axis = {
    ...rangeOf([...ends, 0, ...(rope === undefined ? [] : [-rope, rope]), ...(margin === undefined ? [] : [margin])]),
    title: unit.title,
    text: figure,
  };
  const plot = new Plot(id, x, rowsAxis(drawn.map(({ name }) => name)), sizeOfRows(rows.length));
  if (rope !== undefined) plot.stretch({ from: -rope, to: rope }, SAME);
  if (margin !== undefined) plot.moment(margin, `margin ${figure(margin)}`);
  plot.moment(0, "as the control");
  for (const { row, estimate, low, high, label } of drawn) {
    plot.span(row, { from: low, to: high }, { colour: colours.harm, thickness: 3, label });
    plot.dot(estimate, row, colours.harm);
  }
  return plot.svg(`${about}, arm less control, with always-valid bands`);
}

/** ln e for each question about an arm, beside what a verdict needs. */
export function questionsPlot(id: string, { logs }: ArmComparison, { logNeeded }: ExperimentEvidence): string {
  const questions = [
    // The mean of two e-values (judge.ts J1).
    ["reject: worse, or too late", logSum([logs.worse, logs.lateBeyond]) - Math.LN2, colours.bad],
    ["adopt: worth more", logs.better, colours.good],
    ["adopt: late within the margin", logs.lateWithin, colours.good],
    ["equivalent: worth the same", logs.same, colours.harm],
  ] as const;
  // Evidence of a clear case grows without bound: a bar ends at the edge, and its label gives the value.
  const drawn = (log: number) => Math.min(2 * logNeeded, Math.max(-logNeeded, log));
  const x: Axis = {
    ...rangeOf([0, 1.2 * logNeeded, ...questions.map(([, log]) => drawn(log))]),
    title: "evidence (ln e)",
    text: figure,
  };
  const plot = new Plot(id, x, rowsAxis(questions.map(([name]) => name)), sizeOfRows(questions.length));
  for (const [i, [, log, colour]] of questions.entries()) {
    const label = `${figure(log)} of ${figure(logNeeded)}`;
    plot.span(questions.length - i, { from: 0, to: drawn(log) }, { colour, thickness: 12, label });
  }
  plot.moment(logNeeded, `needed ${figure(logNeeded)}`);
  return plot.svg("Evidence for each question, beside what a verdict needs");
}

/** The first row is the uppermost. */
const rowsAxis = (names: readonly string[]): Axis => ({
  from: 0.4,
  to: names.length + 0.6,
  title: "",
  at: names.map((_, i) => i + 1),
  text: (row) => names[names.length - row] ?? "",
});

const sizeOfRows = (rows: number) => ({ width: 468, height: ROW * rows + 6, left: 236, right: 216 });
