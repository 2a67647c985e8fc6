/** Whether only the mix of classes has changed: estimates the mix from predictions (black-box shift estimation, Lipton, Wang &
 * Smola 2018), and how much of a shift of features it explains. */
import type { Confusion } from "@tributary/inference";
import { invariant } from "@tributary/kernel";

const SWEEPS_MAX = 1_000;

/**
 * Shares of the true classes, from predictions per class (counts or shares). `confusion`: counts[true][predicted] of the validation set.
 * min over w >= 0 of |C w - q|² + ridge sum_t |C_t|² (w_t - 1)², C[predicted][true] the joint shares, w the share of a class relative to
 * that on the validation set. The ridge is relative to the class's own column, so that it does not hold a rare class at
 * its share on the validation set. Without predictions, the shares on the validation set.
 */
export function classShares(
  confusion: readonly (readonly number[])[],
  predicted: readonly number[],
  ridge = 0.01,
): readonly number[] {
  const classes = confusion.length;
  invariant(predicted.length === classes, "there are as many predicted classes as true ones");
  const rows = confusion.map((row) => row.reduce((sum, count) => sum + count, 0));
  const frames = rows.reduce((sum, count) => sum + count, 0);
  const predictions = predicted.reduce((sum, count) => sum + count, 0);
  const columns = confusion.map((row) => Float64Array.from(row, (count) => count / frames));
  // What q leaves unexplained at w = 1; each coordinate in turn then takes its best value.
  const rest = Float64Array.from(predicted, (count) => (predictions === 0 ? 0 : count / predictions));
  const weights = new Float64Array(classes).fill(1);
  for (const column of columns) addTo(rest, column, -1);
  for (let sweep = 0; predictions > 0 && sweep < SWEEPS_MAX; sweep++) {
    let change = 0;
    for (const [t, column] of columns.entries()) {
      const energy = column.reduce((sum, share) => sum + share * share, 0);
      if (energy === 0) continue;
      const weight = weights[t] as number;
      const slope =
        column.reduce((sum, share, i) => sum + share * (rest[i] as number), 0) - ridge * energy * (weight - 1);
      const next = Math.max(0, weight + slope / (energy * (1 + ridge)));
      addTo(rest, column, weight - next);
      weights[t] = next;
      change = Math.max(change, (Math.abs(next - weight) * (rows[t] as number)) / frames);
    }
    if (change < 1e-7) break;
  }
  const shares = rows.map((count, t) => count * (weights[t] as number));
  const sum = shares.reduce((a, b) => a + b, 0);
  return sum === 0 ? rows.map((count) => count / frames) : shares.map((share) => share / sum);
}

function addTo(target: Float64Array, column: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) + factor * (column[i] as number);
}

/**
 * Part (0 to 1) of a shift's energy (sum of squares over features) that a change of mix explains: the shift that it predicts is the
 * sum over classes of (now - before) x mean of the feature in the class. `frames` are those behind the shift; one that is no more than
 * their noise is explained.
 */
export function explainedByMix(
  shift: Readonly<Record<string, number>>,
  before: readonly number[],
  now: readonly number[],
  means: Confusion["means"],
  frames: number,
): number {
  let [rest, total, noise] = [0, 0, 0];
  for (const [feature, means_] of Object.entries(means)) {
    const observed = shift[feature];
    if (observed === undefined) continue;
    const predicted = means_.reduce((sum, mean, c) => sum + ((now[c] ?? 0) - (before[c] ?? 0)) * mean, 0);
    rest += (observed - predicted) ** 2;
    total += observed ** 2;
    noise += 1 / 12 / frames;
  }
  if (total <= noise) return 1;
  return Math.max(0, Math.min(1, 1 - Math.max(0, rest - noise) / total));
}
