/** Watches one metric of a canary over its looks: evidence of harm, and of safety where the metric has a margin.
 *
 * Nothing is judged before the burn-in: devices that have just restarted are not themselves. The mixture's variance is fixed
 * before the first look, for the planned harm; a tenth of the mixture is wide enough for harm that nobody planned for, such as
 * a model that is late on every second frame of some devices (Robbins 1970). Segments are for large harm: their mixture is as
 * wide, and a segment may by default lose what the validation gate lets a class lose. Safety is the whole metric's: a promotion
 * needs of segments only that they show no harm.
 *
 * W1. Evidence of harm is that of the whole and of each segment (a class, a site), merged by a weighted mean, half or more
 *     to the whole. The weights add up to one and are fixed beforehand, so the mean is an e-value however the segments
 *     depend on each other (Vovk and Wang 2021). Harm on one class hides from the whole where devices have classes of their
 *     own: what they lose then differs from device to device, and that variance does not shrink with time.
 * W2. Where the analysis has an end, most of what is the whole's goes to a group-sequential test until then, and the rest to the
 *     process without an end, which goes on alone. A crossed bound is enough by itself. */
import type { Compared } from "./comparison.ts";
import { type Band, bandOf, type Comparison, logEvidence, logSum, mixtureVariance } from "./evidence.ts";
import { type Forecast, forecast } from "./forecast.ts";
import { type GroupSequential, type GroupSequentialState, groupSequentialUntil } from "./group-sequential.ts";
import { type Counts, type HarmLook, HarmProcess, type HarmProcessState, type MixtureShare } from "./harm-process.ts";
import { LABELS_MIN } from "./plan.ts";

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
  /** When the analysis ends, ms since the canary's start; null: that is not known. */
  readonly endMs: number | null;
  /** Variance of the comparison at the planned moment, see `plannedVariance`. */
  readonly plannedVariance: number;
  /** Harm that is tolerated in one segment; never less than `tolerated`. */
  readonly perSegment?: number;
  /** Weights of the segments, in the order in which looks give them; the rest of 1 is the whole's. */
  readonly segments?: readonly number[];
};

export const metricDefaults = {
  alpha: 0.02,
  beta: 0.05,
  tolerated: 0.0025,
  perSegment: 0.03,
  margin: 0.01,
  burnInMs: 3 * 60_000,
  restartMs: 30 * 60_000,
} as const satisfies Omit<MetricSettings, "plannedVariance" | "endMs">;

/** What a restarted instance needs beside the settings. */
export type MetricWatchState = {
  readonly whole: HarmProcessState;
  readonly group: GroupSequentialState | null;
  readonly segments: readonly HarmProcessState[];
};

export type SegmentLook = HarmLook & { readonly band: Band };

export type MetricLook = {
  readonly comparison: Compared;
  /** ln e for harm above what is tolerated, of the whole and its segments together. */
  readonly logHarm: number;
  /** Null: too little to compare, e = 1. */
  readonly segments: readonly (SegmentLook | null)[];
  /** The segment that is most of `logHarm`; null: the whole is. */
  readonly leading: number | null;
  /** At which planned look the group-sequential test found harm, ms since the start; null: at none, or there is no such test. */
  readonly crossedMs: number | null;
  /** ln e for harm below the margin; null without one. */
  readonly logSafe: number | null;
  readonly band: Band;
  readonly isHarmful: boolean;
  readonly isSafe: boolean;
};

/** Share and standard deviation, in units of the metric, of the mixture's wide part. */
const [WIDE_SHARE, WIDE_SD] = [0.1, 0.1];
const SEGMENT_MIXTURE = 0.4 ** 2;
/** W2; of the whole's share. */
const GROUP_SHARE = 0.8;
/** Fewer devices of an arm, or frames of a device, are no evidence on a segment. */
export const SEGMENT_LEAST = { devices: 4, frames: 2, labels: LABELS_MIN } as const;

/** Weights of segments of several kinds: a half goes to the kinds that have any, alike, and within a kind alike. */
export function segmentWeights(kinds: readonly number[]): readonly number[] {
  const there = kinds.filter((segments) => segments > 0).length;
  return kinds.flatMap((segments) => Array.from({ length: segments }, () => 0.5 / there / segments));
}

export class MetricWatch {
  readonly #settings: MetricSettings;
  readonly #mixture: number;
  readonly #safeMixture: number;
  readonly #whole: HarmProcess;
  /** Weights of the process without an end, and of the test with one, in the evidence of harm. */
  readonly #weights: { readonly whole: number; readonly group: number };
  readonly #group: GroupSequential | null;
  readonly #segments: readonly { readonly weight: number; readonly process: HarmProcess }[];

  constructor(settings: MetricSettings) {
    const { tolerated, perSegment = metricDefaults.perSegment, restartMs, alpha, beta, segments = [] } = settings;
    const { endMs, burnInMs } = settings;
    this.#settings = settings;
    this.#mixture = mixtureVariance(settings.plannedVariance, alpha);
    this.#safeMixture = mixtureVariance(settings.plannedVariance, beta);
    const share = segments.reduce((left, weight) => left - weight, 1);
    this.#group = endMs === null ? null : groupSequentialUntil(alpha * share * GROUP_SHARE, burnInMs, endMs);
    const group = this.#group === null ? 0 : share * GROUP_SHARE;
    this.#weights = { whole: share - group, group };
    const least = { labels: LABELS_MIN };
    this.#whole = new HarmProcess({ tolerated, restartMs, mixture: widened(this.#mixture), least });
    const mixture = [{ share: 1, variance: SEGMENT_MIXTURE }];
    const own = { tolerated: Math.max(tolerated, perSegment), restartMs, mixture, least: SEGMENT_LEAST };
    this.#segments = segments.map((weight) => ({ weight, process: new HarmProcess(own) }));
  }

  state(): MetricWatchState {
    const group = this.#group?.state() ?? null;
    return { whole: this.#whole.state(), group, segments: this.#segments.map(({ process }) => process.state()) };
  }

  restore({ whole, group, segments }: MetricWatchState): void {
    this.#whole.restore(whole);
    if (group !== null) this.#group?.restore(group);
    for (const [i, { process }] of this.#segments.entries())
      if (segments[i] !== undefined) process.restore(segments[i]);
  }

  /** `sinceMs`: since the canary's start. `segments`: counts of each, as many as there are weights. Null during the burn-in,
   * and while there is too little to compare. */
  look(sinceMs: number, counts: Counts, segments: readonly Counts[] = []): MetricLook | null {
    const { alpha, beta, margin, tolerated, burnInMs } = this.#settings;
    const isJudged = sinceMs >= burnInMs;
    const whole = this.#whole.look(sinceMs, counts, isJudged);
    const looks = this.#segments.map(({ process }, i) => process.look(sinceMs, segments[i] as Counts, isJudged));
    if (whole === null) return null;
    const { comparison } = whole;
    this.#group?.look(sinceMs, { ...comparison, harm: comparison.harm - tolerated });
    const crossedMs = this.#group?.crossedMs ?? null;
    const logs = [
      // A crossed bound is worth one over its level.
      logSum([
        Math.log(this.#weights.whole) + whole.logHarm,
        crossedMs === null ? Number.NEGATIVE_INFINITY : -Math.log(alpha),
      ]),
      ...this.#segments.map(({ weight }, i) => Math.log(weight) + (looks[i]?.logHarm ?? 0)),
    ];
    const logHarm = logSum(logs);
    const leading = logs.indexOf(Math.max(...logs)) - 1;
    const logSafe = margin === null ? null : this.#logSafe(comparison, margin);
    return {
      comparison,
      logHarm,
      leading: leading < 0 ? null : leading,
      crossedMs,
      segments: looks.map((look) => look && { ...look, band: bandOf(look.comparison, SEGMENT_MIXTURE, alpha) }),
      logSafe,
      band: bandOf(comparison, this.#mixture, alpha),
      isHarmful: logHarm >= -Math.log(alpha),
      isSafe: logSafe !== null && logSafe >= -Math.log(beta),
    };
  }

  /** What is missing to show that harm is below the margin, or that it is above what is tolerated, if the estimate stays; of
   * the whole. */
  forecast({ comparison }: MetricLook, sinceMs: number, of: "harm" | "safety"): Forecast {
    const { alpha, beta, margin, tolerated } = this.#settings;
    if (of === "safety") {
      if (margin === null) return { moreMs: null, timesDevices: null };
      return forecast(comparison, sinceMs, (one) => this.#logSafe(one, margin), -Math.log(beta));
    }
    const logHarm = (one: Comparison) => logEvidence({ ...one, harm: one.harm - tolerated }, this.#mixture);
    return forecast(comparison, sinceMs, logHarm, -Math.log(alpha * (this.#weights.whole + this.#weights.group)));
  }

  #logSafe(comparison: Comparison, margin: number): number {
    return logEvidence({ ...comparison, harm: margin - comparison.harm }, this.#safeMixture);
  }
}

/** `unit`: 1 for a rate. */
export const widened = (mixture: number, unit = 1): readonly MixtureShare[] =>
  mixture >= (unit * WIDE_SD) ** 2
    ? [{ share: 1, variance: mixture }]
    : [
        { share: 1 - WIDE_SHARE, variance: mixture },
        { share: WIDE_SHARE, variance: (unit * WIDE_SD) ** 2 },
      ];
