/** Temperature-scaled probabilities and what routing reads off them. */
import { invariant } from "@tributary/kernel";

export type Calibrated = {
  readonly labelIndex: number;
  /** Calibrated probability of the best class. */
  readonly confidence: number;
  /** Best less second-best probability. */
  readonly margin: number;
  /** Nats. */
  readonly entropy: number;
  /** ln(best / second best), at most `LOGIT_MARGIN_MAX`. */
  readonly logitMargin: number;
};

/** Beyond this the second class is out of the question, and a record's rounded numbers could not reproduce it. */
export const LOGIT_MARGIN_MAX = 12;

export function calibrate(logits: ArrayLike<number>, temperature: number): Calibrated {
  invariant(logits.length >= 2, "a classifier has at least two classes");
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  const top = logits[best] ?? 0;
  let second = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let weighted = 0;
  for (let i = 0; i < logits.length; i++) {
    const scaled = ((logits[i] ?? 0) - top) / temperature;
    if (i !== best) second = Math.max(second, scaled);
    const exponential = Math.exp(scaled);
    sum += exponential;
    weighted += exponential * scaled;
  }
  const confidence = 1 / sum;
  return {
    labelIndex: best,
    confidence,
    margin: confidence - Math.exp(second) / sum,
    entropy: Math.max(0, Math.log(sum) - weighted / sum),
    logitMargin: Math.min(LOGIT_MARGIN_MAX, 0 - second),
  };
}

/** The same, from what a prediction record holds: the second-best probability is `confidence - margin`. */
export function logitMarginOf(confidence: number, margin: number): number {
  const second = confidence - margin;
  return second <= confidence * Math.exp(-LOGIT_MARGIN_MAX) ? LOGIT_MARGIN_MAX : Math.log(confidence / second);
}
