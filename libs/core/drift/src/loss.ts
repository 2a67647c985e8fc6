/** Whether frames are lost: labelled random draws against the error rate on the validation set (Podkopaev & Ramdas 2022). */
import { lossRateExceeds, type WeighedDraw } from "@tributary/statistics";

export type LossVerdict = {
  /** LOST: "the error rate is at most reference + tolerance" is refuted at level alpha. */
  readonly state: "NO_DATA" | "UNPROVEN" | "LOST";
  readonly draws: number;
  /** Weighted; null without draws. */
  readonly errorRate: number | null;
};

/** Weights are smallest propensity / propensity, in (0, 1]. Valid at whatever moment one looks while draws are only added. */
export function lossOf(
  draws: readonly WeighedDraw[],
  reference: number,
  tolerance: number,
  alpha: number,
): LossVerdict {
  if (draws.length === 0) return { state: "NO_DATA", draws: 0, errorRate: null };
  const weight = draws.reduce((sum, draw) => sum + draw.weight, 0);
  const lost = draws.reduce((sum, draw) => sum + (draw.loss ? draw.weight : 0), 0);
  const isLost = lossRateExceeds(draws, reference + tolerance, alpha);
  return { state: isLost ? "LOST" : "UNPROVEN", draws: draws.length, errorRate: lost / weight };
}
