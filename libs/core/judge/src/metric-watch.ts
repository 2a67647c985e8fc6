/** Watches one metric of a canary over its looks.
 *
 * W1. Harm may begin late: every `restartMs` another e-process starts from the counts of that moment, with weight
 *     1/(j(j+1)), so the weights of all that will ever start add up to one and the sum stays an e-value.
 *     Only the last `STARTS_MAX` of these are kept (G9): what is dropped counts as 0 from then on, which claims less.
 * W2. Nothing is judged before the burn-in: devices that have just restarted are not themselves.
 * W3. The mixture's variance is fixed before the first look; choosing it later would be looking.
 * W4. Harm that nobody planned for, such as a model that is late on every second frame of some devices, comes with a variance
 *     that nobody planned for. A tenth of the mixture is wide enough for it; a mixture of mixtures is one (Robbins 1970). */
import { type Arm, compare, type Start, type Started } from "./comparison.ts";
import { type Band, bandOf, type Comparison, logEvidence, logSum, mixtureVariance } from "./evidence.ts";

export type MetricSettings = {
  /** False rollbacks allowed to this metric alone. */
  readonly alpha: number;
  /** Wrong promotions allowed. */
  readonly beta: number;
  /** Harm that is tolerated without a rollback, in units of the metric. */
  readonly tolerated: number;
  /** Harm that a promotion must exclude; null: this metric promotes nothing. */
  readonly margin: number | null;
  readonly burnInMs: number;
  readonly restartMs: number;
  /** Variance of the comparison at the planned moment, see `plannedVariance`. */
  readonly plannedVariance: number;
};

export const metricDefaults = {
  alpha: 0.02,
  beta: 0.05,
  tolerated: 0.0025,
  margin: 0.01,
  burnInMs: 3 * 60_000,
  restartMs: 30 * 60_000,
} as const satisfies Omit<MetricSettings, "plannedVariance">;

export type Counts = { readonly control: Arm; readonly canary: Arm };

export type MetricLook = {
  readonly comparison: Comparison;
  /** ln e for harm above what is tolerated. */
  readonly logHarm: number;
  /** ln e for harm below the margin; null without one. */
  readonly logSafe: number | null;
  readonly band: Band;
  readonly isHarmful: boolean;
  readonly isSafe: boolean;
};

/** W4: share and standard deviation, in units of the metric, of the mixture's wide part. */
const [WIDE_SHARE, WIDE_SD] = [0.1, 0.1];

/** Six hours of late starts. */
const STARTS_MAX = 12;

export class MetricWatch {
  readonly #settings: MetricSettings;
  readonly #mixture: number;
  readonly #safeMixture: number;
  /** Counts at the later starts, the j-th after the first, which starts from nothing. */
  readonly #starts: { readonly j: number; readonly at: Start }[] = [];
  #started = 0;

  constructor(settings: MetricSettings) {
    this.#settings = settings;
    this.#mixture = mixtureVariance(settings.plannedVariance, settings.alpha); // W3
    this.#safeMixture = mixtureVariance(settings.plannedVariance, settings.beta);
  }

  /** `sinceMs`: since the canary's start. Null during the burn-in, and while there is too little to compare. */
  look(sinceMs: number, counts: Counts): MetricLook | null {
    const { alpha, beta, tolerated, margin, burnInMs, restartMs } = this.#settings;
    const comparison = sinceMs < burnInMs ? null : compare(counts.control, counts.canary); // W2
    const logs: number[] = [];
    if (comparison !== null) {
      const add = (one: Comparison | null, j: number) => {
        const evidence = one === null ? 0 : this.#logHarm({ ...one, harm: one.harm - tolerated });
        logs.push(evidence - Math.log((j + 1) * (j + 2)));
      };
      add(comparison, 0);
      for (const { j, at } of this.#starts) add(compare(counts.control, counts.canary, at), j);
      logs.push(-Math.log(this.#started + 2)); // W1: those still to start are worth 1 each.
    }
    if (sinceMs >= restartMs * (this.#started + 1)) {
      this.#started += 1;
      this.#starts.push({ j: this.#started, at: { control: copy(counts.control), canary: copy(counts.canary) } });
      if (this.#starts.length > STARTS_MAX) this.#starts.shift();
    }
    if (comparison === null) return null;
    const logHarm = logSum(logs);
    const logSafe =
      margin === null ? null : logEvidence({ ...comparison, harm: margin - comparison.harm }, this.#safeMixture);
    return {
      comparison,
      logHarm,
      logSafe,
      band: bandOf(comparison, this.#mixture, alpha),
      isHarmful: logHarm >= -Math.log(alpha),
      isSafe: logSafe !== null && logSafe >= -Math.log(beta),
    };
  }

  /** W4. */
  #logHarm(comparison: Comparison): number {
    const planned = logEvidence(comparison, this.#mixture);
    if (this.#mixture >= WIDE_SD ** 2) return planned;
    const wide = logEvidence(comparison, WIDE_SD ** 2);
    return logSum([Math.log(1 - WIDE_SHARE) + planned, Math.log(WIDE_SHARE) + wide]);
  }
}

const copy = ({ good, frames }: Arm): Started => ({ good: Float64Array.from(good), frames: Float64Array.from(frames) });
