/** How honest probabilities are: expected calibration error and negative log-likelihood. */

/** ECE over `bins` bins of equal width: the mean gap between confidence and accuracy, weighted by frames. */
export function expectedCalibrationError(
  confidences: readonly number[],
  right: readonly boolean[],
  bins = 15,
): number | null {
  if (confidences.length === 0) return null;
  const confidenceSums = new Float64Array(bins);
  const rightCounts = new Float64Array(bins);
  confidences.forEach((confidence, i) => {
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    confidenceSums[bin] = (confidenceSums[bin] ?? 0) + confidence;
    rightCounts[bin] = (rightCounts[bin] ?? 0) + (right[i] ? 1 : 0);
  });
  let gaps = 0;
  for (let bin = 0; bin < bins; bin++) gaps += Math.abs((confidenceSums[bin] ?? 0) - (rightCounts[bin] ?? 0));
  return gaps / confidences.length;
}

/** -mean ln p(label) of temperature-scaled logits; null without frames. */
export function negativeLogLikelihood(
  logits: readonly Float32Array[],
  labels: readonly number[],
  temperature: number,
): number | null {
  if (logits.length === 0) return null;
  let sum = 0;
  logits.forEach((row, i) => {
    let top = Number.NEGATIVE_INFINITY;
    for (const value of row) top = Math.max(top, value);
    let exponentials = 0;
    for (const value of row) exponentials += Math.exp((value - top) / temperature);
    sum += Math.log(exponentials) - ((row[labels[i] ?? -1] ?? Number.NaN) - top) / temperature;
  });
  return sum / logits.length;
}

/** The temperature of least negative log-likelihood (Guo et al. 2017), by golden-section search on ln T; the likelihood
 * is convex in 1/T, so there is one minimum. */
export function fitTemperature(logits: readonly Float32Array[], labels: readonly number[]): number {
  const loss = (logTemperature: number) => negativeLogLikelihood(logits, labels, Math.exp(logTemperature)) ?? 0;
  const ratio = (Math.sqrt(5) - 1) / 2;
  let low = Math.log(0.05);
  let high = Math.log(20);
  let left = high - ratio * (high - low);
  let right = low + ratio * (high - low);
  let lossLeft = loss(left);
  let lossRight = loss(right);
  while (high - low > 1e-4) {
    if (lossLeft < lossRight) {
      high = right;
      right = left;
      lossRight = lossLeft;
      left = high - ratio * (high - low);
      lossLeft = loss(left);
    } else {
      low = left;
      left = right;
      lossLeft = lossRight;
      right = low + ratio * (high - low);
      lossRight = loss(right);
    }
  }
  return Math.exp((low + high) / 2);
}
