/** A running experiment as it is counted: its arms, their lanes, and what is missing to judge them. */
import type { Instant } from "@tributary/kernel";
import type { DeviceEntry } from "../device-slots.ts";
import type { FleetAnalysis } from "../fleet-metrics/analysis.ts";
import { type Arm, effectiveSampleSizes } from "../judge/comparison.ts";
import { DEVICES_MIN, LABELS_MIN } from "../judge/plan.ts";
import type { ArmJudged, ExperimentProposal } from "./events.ts";
import type { ExperimentEvidence } from "./evidence.ts";
import type { Experiment } from "./experiment.ts";
import { type ArmLook, ExperimentJudge, type ExperimentSettings } from "./judge.ts";
import type { LabelledShare } from "./labelled-share.ts";
import { type ArmLanes, type LaneName, laneNames, type Rates } from "./lanes.ts";
import type { Latencies } from "./latencies.ts";
import { deviceSdAssumed, plannedVariances } from "./plan.ts";
import type { SampleRatio } from "./sample-ratio.ts";
import { weightsOf } from "./spec.ts";

/** Metrics of FleetMetrics, under the version of the policy that decided: the lanes of an experiment. `in-time` is the complement of `late`. */
export const policyMetrics = ["system-accuracy", "escalated", "in-time"] as const;

/** Evidence grows fastest then, or half way through a shorter experiment. */
const PLANNED_MS = 86_400_000;
const RATES_ASSUMED: Rates = { correct: 0.9, escalated: 0.1, late: 0.01 };

export type TrackedArm = {
  readonly name: string;
  readonly policyVersion: string;
  readonly entries: readonly DeviceEntry[];
  readonly latencies: Latencies;
  costMicros: number;
  /** Devices that have sent frames in its name, decided by its policy, and when the newest of these were. (X4) */
  readonly reported: Map<string, Instant>;
  /** Devices whose newest frames name another arm or policy. */
  readonly elsewhere: Set<string>;
  /** X3. The first that a look found here; the log's counts. */
  found: ArmJudged | null;
  look: ArmLook | null;
};

export type Tracked = {
  experiment: Experiment;
  readonly arms: readonly TrackedArm[];
  /** One for each arm but the control; null: too many analyses run. */
  readonly analyses: readonly (FleetAnalysis | null)[];
  readonly armOf: ReadonlyMap<string, TrackedArm>;
  /** X2 */
  judge: ExperimentJudge | null;
  readonly ratio: SampleRatio;
  readonly labelled: LabelledShare;
  lookedAt: Instant;
  /** Why no verdict was taken at the last look; null: it was. */
  held: string | null;
  /** Made once a look, and kept until the next: a fleet's lanes are long. */
  shown: ExperimentEvidence | null;
  decided: ExperimentProposal | null;
};

export const analysisOf = (uid: string, arm: string): string => `${uid}/${arm}`;

export type Lanes = { readonly control: ArmLanes; readonly canary: ArmLanes };

export function lanesOf(analysis: FleetAnalysis): Lanes {
  const [accuracy, escalated, inTime] = policyMetrics.map((metric) => analysis.counts(metric));
  const of = (which: "control" | "canary"): ArmLanes => ({
    correct: accuracy?.[which] as Arm,
    escalated: escalated?.[which] as Arm,
    late: complementOf(inTime?.[which] as Arm),
  });
  return { control: of("control"), canary: of("canary") };
}

function complementOf({ good, frames, before }: Arm): Arm {
  return {
    good: Float64Array.from(frames, (all, i) => all - (good[i] as number)),
    frames,
    before: Float64Array.from(before, (rate) => 1 - rate),
  };
}

/** What arm `i` has counted, the control being 0; null: nothing does. */
export const ofArm = (lanes: readonly (Lanes | null)[], i: number): ArmLanes | null =>
  i === 0 ? (lanes.find((one) => one !== null)?.control ?? null) : (lanes[i - 1]?.canary ?? null);

export const countOf = (arm: Arm | undefined): number => {
  let count = 0;
  for (let i = 0; i < (arm?.frames.length ?? 0); i++) if ((arm?.frames[i] as number) > 0) count += 1;
  return count;
};

const laneWords: Readonly<Record<LaneName, string>> = {
  correct: "labelled frames of the random sample",
  escalated: "frames",
  late: "final answers",
};

/** Why nothing can be compared yet; null: it can. (X2) */
export function missingOf(arms: readonly TrackedArm[], lanes: readonly (Lanes | null)[]): string | null {
  if (lanes.includes(null)) return "too many comparisons run at once: end some rollouts or experiments";
  for (const [i, { name }] of arms.entries()) {
    const own = ofArm(lanes, i);
    for (const lane of laneNames) {
      const devices = countOf(own?.[lane]);
      if (devices >= DEVICES_MIN) continue;
      return `${devices} devices of arm ${name} have ${laneWords[lane]} by its policy, and ${DEVICES_MIN} are needed`;
    }
  }
  for (const [i, one] of (lanes as readonly Lanes[]).entries()) {
    const sizes = effectiveSampleSizes(one.control.correct, one.canary.correct);
    if (sizes === null) continue;
    const few = (["control", "canary"] as const).find((which) => sizes[which] < LABELS_MIN);
    if (few === undefined) continue;
    const { name } = arms[few === "control" ? 0 : i + 1] as TrackedArm;
    return `labels of arm ${name} are worth ${Math.floor(sizes[few])} of equal weight, and ${LABELS_MIN} are needed`;
  }
  return null;
}

/** J2: from the past, and from how many frames there were. */
export function judgeOf(experiment: Experiment, lanes: readonly Lanes[], sinceMs: number): ExperimentJudge {
  const { spec } = experiment.spec;
  const weights = weightsOf(experiment.spec);
  const plannedMs = Math.min(PLANNED_MS, spec.duration / 2);
  const [first] = lanes as readonly [Lanes];
  const [rates, frames] = [{ ...RATES_ASSUMED }, { ...RATES_ASSUMED }];
  for (const lane of laneNames) {
    const { frames: counts, before } = first.control[lane];
    const sizes = effectiveSampleSizes(first.control[lane], first.canary[lane]);
    const framesOfOne = (sizes?.control ?? sumOf(counts)) / countOf(first.control.late);
    frames[lane] = (framesOfOne * plannedMs) / sinceMs;
    const past = sumOf(before) / Math.max(1, before.length);
    if (past > 0 && past < 1) rates[lane] = past;
  }
  const planned = plannedVariances(
    {
      devices: [countOf(first.control.late), Math.min(...lanes.map(({ canary }) => countOf(canary.late)))],
      rates,
      frames,
      deviceSd: deviceSdAssumed,
    },
    weights,
  );
  return judgeWith(experiment, planned);
}

export function judgeWith({ spec, arms }: Experiment, planned: ExperimentSettings["planned"]): ExperimentJudge {
  const { alpha, rope, lateMargin, burnIn: burnInMs } = spec.spec;
  return new ExperimentJudge({
    alpha,
    weights: weightsOf(spec),
    rope,
    lateMargin,
    burnInMs,
    planned,
    arms: arms.length - 1,
  });
}

export const sumOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum;
};
