/** Judges a drawn fleet as the rollout-manager would: labels count once they are known, frames of before the start are the past. */
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type ArmVerdict,
  ExperimentJudge,
  type ExperimentSettings,
  plannedVariances,
  type Weights,
} from "@tributary/rollouts/experiment";
import { type Arm, MetricWatch, metricDefaults, plannedVariance } from "@tributary/rollouts/judge";
import { type ArmDraw, drawFleet, type FleetDraw, type Scenario } from "./fleet.ts";

export const HOUR = 3_600_000;
const MEAN_PI = 0.02;

/** How a device's labels are counted: as they are now, or a rate of each device and their mean, as they were. */
export type Estimator = "ratio of sums" | "mean of ratios";

/** Counts of an arm's labelled frames, hour by hour. */
export class Labelled {
  readonly arm: Arm;
  readonly #draw: ArmDraw;
  readonly #columns: Readonly<Record<"good" | "frames" | "labels" | "squares" | "badSquares", Float64Array>>;
  #next = 0;

  constructor(draw: ArmDraw, estimator: Estimator) {
    this.#draw = draw;
    const column = () => new Float64Array(draw.devices);
    const columns = { good: column(), frames: column(), labels: column(), squares: column(), badSquares: column() };
    this.#columns = columns;
    const { good, frames, labels, squares, badSquares } = columns;
    const arm = { good, frames, before: beforeOf(draw) };
    this.arm = estimator === "ratio of sums" ? { ...arm, sample: { labels, squares, badSquares } } : arm;
  }

  /** Adds the labels that are known by this moment. */
  to(ms: number): void {
    const { good, frames, labels, squares, badSquares } = this.#columns;
    const add = (column: Float64Array, device: number, by: number) => {
      column[device] = (column[device] as number) + by;
    };
    for (; this.#next < this.#draw.frames.length; this.#next++) {
      const frame = this.#draw.frames[this.#next];
      if (frame === undefined || frame.labelledAt > ms) return;
      if (frame.at < 0) continue;
      const weight = MEAN_PI / frame.pi;
      add(frames, frame.device, weight);
      add(labels, frame.device, 1);
      add(squares, frame.device, weight * weight);
      if (frame.isRight) add(good, frame.device, weight);
      else add(badSquares, frame.device, weight * weight);
    }
  }
}

/** Of each device's frames of before that are labelled by the start; the mean where there are none. */
function beforeOf({ devices, frames }: ArmDraw): Float64Array {
  const [good, all] = [new Float64Array(devices), new Float64Array(devices)];
  for (const { device, at, labelledAt, pi, isRight } of frames) {
    if (at >= 0 || labelledAt > 0) continue;
    all[device] = (all[device] as number) + 1 / pi;
    if (isRight) good[device] = (good[device] as number) + 1 / pi;
  }
  const rates = good.map((ok, i) => (all[i] === 0 ? Number.NaN : ok / (all[i] as number)));
  const known = rates.filter((rate) => !Number.isNaN(rate));
  const mean = known.length === 0 ? 0 : known.reduce((sum, rate) => sum + rate, 0) / known.length;
  return rates.map((rate) => (Number.isNaN(rate) ? mean : rate));
}

export type CanaryRun = { readonly harmfulAt: number | null; readonly safeAt: number | null; readonly truth: number };

/** A canary and its control, judged for accuracy with the defaults of a rollout; hours of the verdicts. */
export function judgeCanary(scenario: Scenario, draw: FleetDraw, arm: number, estimator: Estimator): CanaryRun {
  const [control, canary] = [draw.arms[0] as ArmDraw, draw.arms[arm] as ArmDraw].map(
    (one) => new Labelled(one, estimator),
  );
  const [a, b] = [control as Labelled, canary as Labelled];
  const watch = new MetricWatch({
    ...metricDefaults,
    endMs: 24 * scenario.days * HOUR,
    plannedVariance: plannedVariance({
      canaries: b.arm.frames.length,
      controls: a.arm.frames.length,
      rate: 0.85,
      frames: (scenario.labels.aDay * scenario.days) / 4,
      deviceSd: 0.03,
    }),
  });
  let [harmfulAt, safeAt]: [number | null, number | null] = [null, null];
  for (let hour = 1; hour <= 24 * scenario.days; hour++) {
    for (const one of [a, b]) one.to(hour * HOUR);
    const look = watch.look(hour * HOUR, { control: a.arm, canary: b.arm });
    if (look?.isHarmful === true) harmfulAt ??= hour;
    if (look?.isSafe === true) safeAt ??= hour;
    if (harmfulAt !== null) break;
  }
  const { accuracy } = draw.truth;
  return { harmfulAt, safeAt, truth: (accuracy[0] as number) - (accuracy[arm] as number) };
}

export type ExperimentRun = { readonly verdict: ArmVerdict; readonly hours: number | null; readonly gain: number };

const WEIGHTS: Weights = { correct: 1, escalated: 0.05, late: 1 };
const ROPE = 0.01;

export function judgeExperiment(scenario: Scenario, draw: FleetDraw, arm: number, estimator: Estimator): ExperimentRun {
  const arms = [draw.arms[0] as ArmDraw, draw.arms[arm] as ArmDraw];
  const [a, b] = arms.map((one) => new Labelled(one, estimator)) as [Labelled, Labelled];
  const day = Math.min(24, 12 * scenario.days);
  const frames = { correct: (scenario.labels.aDay * day) / 24, escalated: 1e4, late: 1e4 };
  const devices = arms.map((one) => one.devices) as [number, number];
  const planned = plannedVariances(
    {
      devices,
      rates: { correct: 0.88, escalated: 0.1, late: 0.01 },
      frames,
      deviceSd: { correct: 0.02, escalated: 0.01, late: 0.001 },
    },
    WEIGHTS,
  );
  const settings: ExperimentSettings = {
    alpha: 0.05,
    lateMargin: 0.5,
    burnInMs: HOUR,
    weights: WEIGHTS,
    rope: ROPE,
    planned,
    arms: draw.arms.length - 1,
  };
  const judge = new ExperimentJudge(settings);
  const { accuracy, escalated, late } = draw.truth;
  const worth = (i: number) =>
    (accuracy[i] as number) - WEIGHTS.escalated * (escalated[i] as number) - WEIGHTS.late * (late[i] as number);
  const gain = worth(arm) - worth(0);
  for (let hour = 2; hour <= 24 * scenario.days; hour += 2) {
    const lanes = [a, b].map((one, i) => {
      one.to(hour * HOUR);
      const { frames: all, escalated: sent, late: lates } = (arms[i] as ArmDraw).lanesAt(hour * HOUR);
      const before = new Float64Array(all.length);
      return {
        correct: one.arm,
        escalated: { good: sent, frames: all, before },
        late: { good: lates, frames: all, before },
      };
    });
    const look = judge.look(hour * HOUR, lanes[0] as never, lanes[1] as never);
    if (look !== null && look.verdict !== "undecided") return { verdict: look.verdict, hours: hour, gain };
  }
  return { verdict: "undecided", hours: null, gain };
}

export const isWrong = ({ verdict, gain }: ExperimentRun): boolean =>
  (verdict === "adopt" && gain <= 1e-4) ||
  (verdict === "reject" && gain >= -1e-4) ||
  (verdict === "equivalent" && Math.abs(gain) >= ROPE);

export const drawn = (scenario: Scenario, seed: number, withLanes: boolean): FleetDraw =>
  drawFleet(scenario, seededRandom(seed) as Random, withLanes);
