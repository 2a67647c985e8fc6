/** Whether and when the demo's cohorts reach a verdict: the production analysis on simulated devices with the demo's
 * settings, without starting anything.
 *
 * Devices differ from each other, and a retrained model does better on one and worse on another, as in the demo. The analysis
 * has a minute of labels as each device's past, as in the demo. */

import { type Random, seededRandom } from "@tributary/kernel";
import { type Arm, MetricWatch, metricDefaults, plannedVariance } from "@tributary/rollouts/judge";
import { quantilesOf } from "@tributary/testing";
import { settings } from "./settings.ts";

export type PlannedCase = {
  readonly name: string;
  /** Accuracy of the model on all devices, and of the candidate. */
  readonly champion: number;
  readonly candidate: number;
  /** Standard deviation, over devices, of what the candidate gains or loses. */
  readonly effectSd: number;
};

/** Accuracies as the demo's packages have them on what cameras see. */
export const plannedCases: readonly PlannedCase[] = [
  { name: "better", champion: 0.72, candidate: 0.87, effectSd: 0.02 },
  { name: "identical", champion: 0.87, candidate: 0.87, effectSd: 0 },
  { name: "mislabelled-forced", champion: 0.87, candidate: 0.48, effectSd: 0.03 },
  { name: "wrong-preprocessing", champion: 0.87, candidate: 0.57, effectSd: 0.03 },
];

export type Planned = {
  readonly name: string;
  readonly runs: number;
  /** Seconds since the canary's start by which half and nine tenths of the runs had the verdict; null: fewer had it. */
  readonly safe: Quantiles;
  readonly harmful: Quantiles;
};
type Quantiles = { readonly runs: number; readonly half: number | null; readonly most: number | null };

const DEVICE_SD = 0.04;
/** As in libs/core/rollouts: when evidence should grow fastest. */
const PLANNED_MS = 30 * 60_000;

export function plan(of: PlannedCase, runs: number): Planned {
  const found = Array.from({ length: runs }, (_, i) => watch(of, seededRandom(i + 1)));
  const quantiles = (kind: "safe" | "harmful"): Quantiles => {
    const at = found.map((verdict) => (verdict?.kind === kind ? verdict.atMs / 1_000 : Number.POSITIVE_INFINITY));
    const [half, most] = quantilesOf(at, 0.5, 0.9);
    const orNever = (value: number) => (Number.isFinite(value) ? value : null);
    return { runs: at.filter(Number.isFinite).length, half: orNever(half), most: orNever(most) };
  };
  return { name: of.name, runs, safe: quantiles("safe"), harmful: quantiles("harmful") };
}

type Verdict = { readonly kind: "safe" | "harmful"; readonly atMs: number } | null;

function watch({ champion, candidate, effectSd }: PlannedCase, random: Random): Verdict {
  const { devices, canaryPercent, controlsPerCanary, fps, sampling, beforeMs, burnInMs, analysisMs, lookEveryMs } =
    settings;
  const canaries = Math.ceil((devices * canaryPercent) / 100);
  const controls = canaries * controlsPerCanary;
  const labels = (ms: number) => Math.round((fps * sampling * ms) / 1_000);
  const metric = new MetricWatch({
    ...metricDefaults,
    burnInMs,
    endMs: analysisMs,
    plannedVariance: plannedVariance({
      canaries,
      controls,
      rate: champion,
      frames: labels(PLANNED_MS),
      deviceSd: Math.sqrt((champion * (1 - champion)) / labels(beforeMs)),
    }),
  });
  const arm = (count: number, gain: number, gainSd: number) => {
    const own = Array.from({ length: count }, () => DEVICE_SD * normal(random));
    const before = own.map((value) => draws(champion + value, labels(beforeMs), random) / labels(beforeMs));
    const rate = own.map((value) => champion + value + gain + gainSd * normal(random));
    return { before, rate, good: new Float64Array(count), frames: new Float64Array(count) } satisfies Arm & {
      rate: number[];
    };
  };
  const control = arm(controls, 0, 0);
  const canary = arm(canaries, candidate - champion, effectSd);
  for (let atMs = lookEveryMs; atMs <= analysisMs; atMs += lookEveryMs) {
    for (const { rate, good, frames } of [control, canary]) {
      for (const [i, one] of rate.entries()) {
        const count = labels(lookEveryMs);
        frames[i] = (frames[i] as number) + count;
        good[i] = (good[i] as number) + draws(one, count, random);
      }
    }
    const look = metric.look(atMs, { control, canary });
    if (look?.isHarmful) return { kind: "harmful", atMs };
    if (look?.isSafe) return { kind: "safe", atMs };
  }
  return null;
}

function draws(rate: number, count: number, random: Random): number {
  let good = 0;
  for (let i = 0; i < count; i++) if (random() < rate) good += 1;
  return good;
}

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
