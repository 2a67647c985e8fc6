/** How many labels are wrong, and which, by a model's probabilities on items that it did not learn (Northcutt, Jiang & Chuang 2021, Confident Learning).
 *
 * A class's threshold is the mean probability of it over items so labelled. An item counts as of a class whose probability reaches the threshold;
 * of several, as of the likeliest. Counts by label and class are scaled to the labels that there are: what is off the diagonal is wrong. What
 * the model errs on confidently counts as well, so the share is an upper estimate where a model is overconfident. */
export type ConfidentLabels = {
  /** Counts by label and by the class that it confidently is, scaled to the labels. */
  readonly joint: readonly (readonly number[])[];
  /** Share of labels that are wrong. */
  readonly wrongShare: number;
  /** Places of items that are confidently of another class than labelled. */
  readonly suspects: readonly number[];
};

/** Probabilities are rounded. */
const TOLERANCE = 1e-6;

export function confidentLabels(
  labels: readonly number[],
  probabilities: readonly (readonly number[])[],
  classes: number,
): ConfidentLabels {
  const all = Array.from({ length: classes }, (_, i) => i);
  const counts = all.map((label) => labels.filter((one) => one === label).length);
  const thresholds = all.map((label) => {
    const own = probabilities.filter((_, i) => labels[i] === label);
    return own.reduce((sum, one) => sum + (one[label] as number), 0) / own.length; // Not a number without any: never reached.
  });
  const raw = all.map(() => all.map(() => 0));
  const suspects: number[] = [];
  for (const [i, own] of probabilities.entries()) {
    const reached = all.filter((label) => (own[label] as number) >= (thresholds[label] as number) - TOLERANCE);
    const [only] = reached;
    if (only === undefined) continue;
    const found = reached.length === 1 ? only : own.indexOf(Math.max(...own));
    const label = labels[i] as number;
    const row = raw[label] as number[];
    row[found] = (row[found] as number) + 1;
    if (found !== label) suspects.push(i);
  }
  const joint = raw.map((row, label) => {
    const atLeast = row.map((count, of) => (of === label ? Math.max(1, count) : count));
    const sum = atLeast.reduce((total, count) => total + count, 0);
    return atLeast.map((count) => (count / sum) * (counts[label] as number));
  });
  const right = joint.reduce((sum, row, label) => sum + (row[label] as number), 0);
  return { joint, wrongShare: labels.length === 0 ? 0 : 1 - right / labels.length, suspects };
}
