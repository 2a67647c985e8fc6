import { softmax } from "@tributary/inference";

/** The best class by calibrated probability, and how far it leads. */
export function calibrated(
  logits: ArrayLike<number>,
  temperature: number,
): { readonly labelIndex: number; readonly confidence: number; readonly margin: number } {
  const probabilities = softmax(logits, temperature);
  let best = 0;
  let second = -1;
  for (let i = 1; i < probabilities.length; i++) {
    const p = probabilities[i] as number;
    if (p > (probabilities[best] as number)) {
      second = best;
      best = i;
    } else if (second < 0 || p > (probabilities[second] as number)) {
      second = i;
    }
  }
  const confidence = probabilities[best] ?? 0;
  return { labelIndex: best, confidence, margin: confidence - (second < 0 ? 0 : (probabilities[second] as number)) };
}
