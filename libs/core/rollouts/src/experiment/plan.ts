/** How well an experiment will know an arm, computed before it starts. */
import { momentsOf, quantileOf } from "@tributary/statistics";
import { type ArmVerdict, ExperimentJudge, type ExperimentSettings } from "./judge.ts";
import { type LaneName, laneNames, type Rates, type Weights } from "./lanes.ts";

export type ExperimentPlan = {
  /** Devices of the control, and of the arm. */
  readonly devices: readonly [control: number, arm: number];
  /** Rates that are expected. */
  readonly rates: Rates;
  /** Frames of one device in each lane by the moment at which evidence should grow fastest, on average; of `correct` those with a label. */
  readonly frames: Readonly<Record<LaneName, number>>;
  /** Standard deviations between devices that their past does not explain. */
  readonly deviceSd: Rates;
};

/** Between devices, what their past does not explain: usual in fleets of one kind, and stated with a plan. */
export const deviceSdAssumed = { correct: 0.01, escalated: 0.02, late: 0.002 } as const satisfies Rates;

/** Variances of the comparisons of utility, in currency per frame squared, and of the late share. Lanes count as independent. */
export function plannedVariances(
  plan: ExperimentPlan,
  weights: Weights,
): { readonly utility: number; readonly late: number } {
  const [a, b] = plan.devices;
  const of = (lane: LaneName) => {
    const rate = plan.rates[lane];
    const least = 1 / plan.frames[lane] / Math.min(a, b); // Of the smaller arm's frames one may have the outcome.
    return plan.deviceSd[lane] ** 2 + Math.max(rate * (1 - rate), least) / plan.frames[lane];
  };
  const utility = laneNames.reduce((sum, lane) => sum + weights[lane] ** 2 * of(lane), 0);
  return { utility: utility * (1 / a + 1 / b), late: of("late") * (1 / a + 1 / b) };
}

/** A gain that is foreseen: in utility, in currency per frame, and what the late share rises by. */
export type Foreseen = { readonly gain: number; readonly rise: number };

/** From one hour, in steps of a tenth, up to a year. */
const [STEP, HOURS_MAX] = [1.1, 8_766] as const;

/** Standard errors by which the estimate was ahead of the truth at some look until half of the experiments are decided, as `npm run bench -- experiments`
 * measures it: the first look that suffices ends an experiment. */
const AHEAD = 0.4;

/**
 * Hours until an experiment with an arm of this gain has a verdict, if all goes as foreseen: by then half of such experiments are decided, about.
 * Null: not within a year; more devices, or more labels, would help.
 *
 * @param perHour - Frames of one device and hour in each lane; of `correct` those with a label, as many as they are worth (`withUnequalLabels`).
 */
export function hoursToDecide(
  { devices, rates, deviceSd }: Omit<ExperimentPlan, "frames">,
  perHour: Readonly<Record<LaneName, number>>,
  settings: Omit<ExperimentSettings, "planned">,
  { gain, rise }: Foreseen,
): { readonly hours: number; readonly verdict: Exclude<ArmVerdict, "undecided"> } | null {
  const variancesAfter = (hours: number) => {
    const frames = { correct: 0, escalated: 0, late: 0 };
    for (const lane of laneNames) frames[lane] = hours * perHour[lane];
    return plannedVariances({ devices, rates, frames, deviceSd }, settings.weights);
  };
  const judge = new ExperimentJudge({ ...settings, planned: variancesAfter(PLANNED_HOURS) });
  const freedom = devices[0] + devices[1] - 2;
  const burnInHours = settings.burnInMs / 3_600_000;
  for (let hours = Math.max(1, burnInHours); hours <= HOURS_MAX; hours *= STEP) {
    const { utility, late } = variancesAfter(hours);
    const ahead = Math.abs(gain) > settings.rope ? Math.sign(gain) * AHEAD * Math.sqrt(utility) : 0;
    const { verdict } = judge.judged(
      { harm: -gain - ahead, variance: utility, freedom },
      { harm: -rise, variance: late, freedom },
    );
    if (verdict !== "undecided") return { hours, verdict };
  }
  return null;
}

/** A device counts as its labels do, up to so many times the median's, as where arms are compared. */
const DEVICE_SHARE_MAX = 4;

/**
 * The plan where labels of the random sample are of unequal weight, and more from some devices than from others.
 *
 * Labels of unequal weight are worth fewer of equal weight (Kish 1965). An arm's accuracy is a ratio of sums over its devices, so one with many
 * labels counts more: what devices differ by counts as that of fewer devices, by the same formula. Counts that differ by chance alone (Poisson) are
 * no reason for that.
 *
 * @param design - Labels that are worth one of equal weight.
 * @param byDevice - Labels of each device in some time; 0 of those without.
 */
export function withUnequalLabels<P extends Pick<ExperimentPlan, "deviceSd">>(
  plan: P,
  perHour: Readonly<Record<LaneName, number>>,
  { design, byDevice }: { readonly design: number; readonly byDevice: readonly number[] },
): { readonly plan: P; readonly perHour: Readonly<Record<LaneName, number>> } {
  const most = DEVICE_SHARE_MAX * (quantileOf(byDevice, 0.5) ?? 0);
  const { n, mean, squares } = momentsOf(most > 0 ? byDevice.map((labels) => Math.min(labels, most)) : byDevice);
  const excess = n < 2 || mean === 0 ? 0 : Math.max(0, squares / (n - 1) - mean) / (mean * mean);
  const correct = plan.deviceSd.correct * Math.sqrt(1 + excess);
  return {
    plan: { ...plan, deviceSd: { ...plan.deviceSd, correct } },
    perHour: { ...perHour, correct: perHour.correct / design },
  };
}

/** Evidence grows fastest about then: a day's frames. */
const PLANNED_HOURS = 24;
