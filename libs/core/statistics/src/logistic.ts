/** Logistic regression with a ridge penalty, fitted by Newton's method (iteratively reweighted least squares). The
 * penalised likelihood is strictly concave, so the fit exists and is unique even for separable data. */
import { invariant } from "@tributary/kernel";
import { sigmoid } from "./sigmoid.ts";

export type LogisticFit = { readonly intercept: number; readonly weights: Float64Array };

/** The data as one array, rows after each other, each beginning with a 1 for the intercept. */
type Design = {
  readonly inputs: Float64Array;
  readonly width: number;
  readonly rows: number;
  readonly right: Uint8Array;
  readonly counts: Float64Array;
  readonly ridge: number;
};

/** Rows of equal length; `ridge` penalises each weight's square by half of it, never the intercept. `counts`: how many
 * observations each row stands for, 1 by default. */
export function fitLogistic(
  rows: readonly ArrayLike<number>[],
  right: readonly boolean[],
  ridge: number,
  counts?: ArrayLike<number>,
): LogisticFit {
  const width = (rows[0]?.length ?? 0) + 1;
  invariant(rows.length > 0 && rows.length === right.length && ridge > 0, "logistic regression without data or ridge");
  const inputs = new Float64Array(rows.length * width);
  rows.forEach((row, i) => {
    inputs[i * width] = 1;
    for (let j = 1; j < width; j++) inputs[i * width + j] = row[j - 1] ?? 0;
  });
  const design: Design = {
    inputs,
    width,
    rows: rows.length,
    right: Uint8Array.from(right, Number),
    counts: Float64Array.from(rows, (_, i) => counts?.[i] ?? 1),
    ridge,
  };
  let weights = new Float64Array(width);
  let objective = penalisedLoss(design, weights);
  for (let iteration = 0; iteration < 100; iteration++) {
    const step = newtonStep(design, weights);
    // Halving keeps every step downhill, which makes Newton's method converge from anywhere here.
    let scale = 1;
    let next = weights;
    let nextObjective = objective;
    do {
      next = weights.map((weight, i) => weight - scale * (step[i] ?? 0));
      nextObjective = penalisedLoss(design, next);
      scale /= 2;
    } while (nextObjective > objective && scale > 1e-6);
    const gained = objective - nextObjective;
    if (gained > 0) {
      weights = next;
      objective = nextObjective;
    }
    if (gained < 1e-9 * (1 + Math.abs(objective))) break;
  }
  return { intercept: weights[0] ?? 0, weights: weights.slice(1) };
}

function penalisedLoss(design: Design, weights: Float64Array): number {
  const { rows, right, counts, ridge } = design;
  let loss = 0;
  for (let i = 0; i < rows; i++) {
    const x = linear(design, i, weights);
    loss += (counts[i] ?? 0) * (Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) - (right[i] ? x : 0));
  }
  for (let j = 1; j < weights.length; j++) loss += 0.5 * ridge * (weights[j] ?? 0) ** 2;
  return loss;
}

function newtonStep(design: Design, weights: Float64Array): Float64Array {
  const { inputs, width, rows, right, counts, ridge } = design;
  const gradient = new Float64Array(width);
  const hessian = new Float64Array(width * width);
  for (let i = 0; i < rows; i++) {
    const probability = sigmoid(linear(design, i, weights));
    const count = counts[i] ?? 0;
    const residual = count * (probability - (right[i] ?? 0));
    const curvature = count * probability * (1 - probability);
    const at = i * width;
    for (let j = 0; j < width; j++) {
      const input = inputs[at + j] ?? 0;
      if (input === 0) continue; // most are: a row has one class
      gradient[j] = (gradient[j] ?? 0) + residual * input;
      const scaled = curvature * input;
      for (let k = 0; k <= j; k++) {
        hessian[j * width + k] = (hessian[j * width + k] ?? 0) + scaled * (inputs[at + k] ?? 0);
      }
    }
  }
  for (let j = 0; j < width; j++) {
    if (j > 0) gradient[j] = (gradient[j] ?? 0) + ridge * (weights[j] ?? 0);
    hessian[j * width + j] = (hessian[j * width + j] ?? 0) + (j > 0 ? ridge : 1e-9);
  }
  return solveCholesky(hessian, gradient);
}

/** Solves A x = b for a symmetric positive definite A given by its lower triangle, row after row. */
function solveCholesky(lower: Float64Array, b: Float64Array): Float64Array {
  const width = b.length;
  const at = (row: number, column: number) => lower[row * width + column] ?? 0;
  for (let j = 0; j < width; j++) {
    for (let i = j; i < width; i++) {
      let sum = at(i, j);
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k);
      lower[i * width + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at(j, j);
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < width; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] ?? 0) - at(i, k) * (x[k] ?? 0);
    x[i] = (x[i] ?? 0) / at(i, i);
  }
  for (let i = width - 1; i >= 0; i--) {
    for (let k = i + 1; k < width; k++) x[i] = (x[i] ?? 0) - at(k, i) * (x[k] ?? 0);
    x[i] = (x[i] ?? 0) / at(i, i);
  }
  return x;
}

function linear({ inputs, width }: Design, row: number, weights: Float64Array): number {
  let sum = 0;
  const at = row * width;
  for (let j = 0; j < width; j++) sum += (weights[j] ?? 0) * (inputs[at + j] ?? 0);
  return sum;
}
