/** Logistic regression with a ridge penalty, fitted by Newton's method (iteratively reweighted least squares). The
 * penalised likelihood is strictly concave, so the fit exists and is unique even for separable data. */
import { invariant } from "@tributary/kernel";
import { sigmoid } from "./sigmoid.ts";

export type LogisticFit = { readonly intercept: number; readonly weights: Float64Array };

/** Rows of equal length; `ridge` penalises each weight's square by half of it, never the intercept. */
export function fitLogistic(rows: readonly ArrayLike<number>[], right: readonly boolean[], ridge: number): LogisticFit {
  const width = (rows[0]?.length ?? 0) + 1;
  invariant(rows.length > 0 && rows.length === right.length && ridge > 0, "logistic regression without data or ridge");
  let weights = new Float64Array(width);
  let objective = penalisedLoss(rows, right, weights, ridge);
  for (let iteration = 0; iteration < 100; iteration++) {
    const step = newtonStep(rows, right, weights, ridge);
    // Halving keeps every step downhill, which makes Newton's method converge from anywhere here.
    let scale = 1;
    let next = weights;
    let nextObjective = objective;
    do {
      next = weights.map((weight, i) => weight - scale * (step[i] ?? 0));
      nextObjective = penalisedLoss(rows, right, next, ridge);
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

function penalisedLoss(
  rows: readonly ArrayLike<number>[],
  right: readonly boolean[],
  weights: Float64Array,
  ridge: number,
): number {
  let loss = 0;
  rows.forEach((row, i) => {
    const x = linear(row, weights);
    loss += Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) - (right[i] ? x : 0);
  });
  for (let j = 1; j < weights.length; j++) loss += 0.5 * ridge * (weights[j] ?? 0) ** 2;
  return loss;
}

function newtonStep(
  rows: readonly ArrayLike<number>[],
  right: readonly boolean[],
  weights: Float64Array,
  ridge: number,
): Float64Array {
  const width = weights.length;
  const gradient = new Float64Array(width);
  const hessian = Array.from({ length: width }, () => new Float64Array(width));
  const inputs = new Float64Array(width);
  inputs[0] = 1;
  rows.forEach((row, i) => {
    for (let j = 1; j < width; j++) inputs[j] = row[j - 1] ?? 0;
    const probability = sigmoid(linear(row, weights));
    const residual = probability - (right[i] ? 1 : 0);
    const curvature = probability * (1 - probability);
    for (let j = 0; j < width; j++) {
      const input = inputs[j] ?? 0;
      gradient[j] = (gradient[j] ?? 0) + residual * input;
      const hessianRow = hessian[j] as Float64Array;
      for (let k = 0; k <= j; k++) hessianRow[k] = (hessianRow[k] ?? 0) + curvature * input * (inputs[k] ?? 0);
    }
  });
  for (let j = 0; j < width; j++) {
    const hessianRow = hessian[j] as Float64Array;
    if (j > 0) gradient[j] = (gradient[j] ?? 0) + ridge * (weights[j] ?? 0);
    hessianRow[j] = (hessianRow[j] ?? 0) + (j > 0 ? ridge : 1e-9);
  }
  return solveCholesky(hessian, gradient);
}

/** Solves A x = b for a symmetric positive definite A given by its lower triangle. */
function solveCholesky(lower: Float64Array[], b: Float64Array): Float64Array {
  const width = b.length;
  const at = (row: number, column: number) => lower[row]?.[column] ?? 0;
  for (let j = 0; j < width; j++) {
    for (let i = j; i < width; i++) {
      let sum = at(i, j);
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k);
      (lower[i] as Float64Array)[j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at(j, j);
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

function linear(row: ArrayLike<number>, weights: Float64Array): number {
  let sum = weights[0] ?? 0;
  for (let j = 1; j < weights.length; j++) sum += (weights[j] ?? 0) * (row[j - 1] ?? 0);
  return sum;
}
