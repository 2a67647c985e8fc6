export type VerdictSettings = {
  /** A verdict opens when its first alarm is so old: other devices of the group join first. */
  readonly settleMs: number;
  /** A verdict that opened stays for this long, unless the evidence against it is as strong as what opened it, and is a reason to retrain
   * only then. */
  readonly holdMs: number;
  /** A camera that sent no window for so long (and three of its windows) is not compared any more. */
  readonly silentMs: number;
  /** Allowed excess of a class's error rate over that on the validation set. */
  readonly tolerance: number;
  /** Of wrongly claimed losses. */
  readonly alpha: number;
  /** The smallest propensity that a routing policy of the fleet has. */
  readonly propensityMin: number;
};

export const verdictDefaults: VerdictSettings = {
  settleMs: 5 * 60_000,
  holdMs: 15 * 60_000,
  silentMs: 3_600_000,
  tolerance: 0.02,
  alpha: 0.01,
  propensityMin: 0.005,
};
