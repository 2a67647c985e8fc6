/** Trains a last layer on features: multinomial logistic regression with a ridge, by full-batch accelerated descent
 * (Nesterov 1983). Pure, and the same numbers for the same examples. */
import { invariant } from "@tributary/kernel";
import type { Head } from "./surgery.ts";

export type Example = { readonly features: Float32Array; readonly label: number };

const RIDGE = 1e-3;
const MOMENTUM = 0.9;
const RATE = 0.5;

export function trainHead(examples: readonly Example[], classes: number, steps = 400): Head {
  const width = examples[0]?.features.length ?? 0;
  invariant(width > 0 && examples.every(({ features }) => features.length === width), "examples have features");
  const { mean, sd } = scaleOf(examples, width);
  const inputs = examples.map(({ features }) => features.map((value, i) => (value - (mean[i] ?? 0)) / (sd[i] ?? 1)));
  const rows = () => Array.from({ length: classes }, () => new Float64Array(width + 1));
  const [weights, speed] = [rows(), rows()];
  for (let step = 0; step < steps; step++) {
    const slope = rows();
    for (const [n, input] of inputs.entries()) {
      const shares = softmaxOf(weights, input);
      for (let c = 0; c < classes; c++) {
        const error = ((shares[c] as number) - (examples[n]?.label === c ? 1 : 0)) / inputs.length;
        const row = slope[c] as Float64Array;
        for (let i = 0; i < width; i++) row[i] = (row[i] as number) + error * (input[i] as number);
        row[width] = (row[width] as number) + error;
      }
    }
    for (let c = 0; c < classes; c++) {
      const [w, v, g] = [weights[c] as Float64Array, speed[c] as Float64Array, slope[c] as Float64Array];
      for (let i = 0; i <= width; i++) {
        const ridge = i < width ? RIDGE * (w[i] as number) : 0;
        v[i] = MOMENTUM * (v[i] as number) - RATE * ((g[i] as number) + ridge);
        w[i] = (w[i] as number) + (v[i] as number);
      }
    }
  }
  // On the features as the network gives them.
  const own = weights.map((row) => row.slice(0, width).map((value, i) => value / (sd[i] as number)));
  const bias = Float64Array.from(weights, (row, c) =>
    (own[c] as Float64Array).reduce((sum, value, i) => sum - value * (mean[i] as number), row[width] as number),
  );
  return { weights: own, bias };
}

function softmaxOf(weights: readonly Float64Array[], input: Float32Array): Float64Array {
  const width = input.length;
  const scores = Float64Array.from(weights, (row) => {
    let score = row[width] as number;
    for (let i = 0; i < width; i++) score += (row[i] as number) * (input[i] as number);
    return score;
  });
  const largest = Math.max(...scores);
  const shares = scores.map((score) => Math.exp(score - largest));
  const sum = shares.reduce((all, share) => all + share, 0);
  return shares.map((share) => share / sum);
}

function scaleOf(
  examples: readonly Example[],
  width: number,
): { readonly mean: Float64Array; readonly sd: Float64Array } {
  const mean = new Float64Array(width);
  const squares = new Float64Array(width);
  for (const { features } of examples) {
    for (let i = 0; i < width; i++) {
      mean[i] = (mean[i] as number) + (features[i] as number) / examples.length;
      squares[i] = (squares[i] as number) + (features[i] as number) ** 2 / examples.length;
    }
  }
  // A constant feature in few examples carries no information and must not overflow.
  const sd = squares.map((square, i) => Math.sqrt(Math.max(square - (mean[i] as number) ** 2, 1e-4)));
  return { mean, sd };
}
