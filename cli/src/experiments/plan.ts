/**
 * What an experiment is likely to find, from frames that were logged: what each arm's policy would have been worth, the arm that is expected
 * to win, and how long the experiment would take on these devices.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import { parseFrameId } from "@tributary/kernel";
import {
  deviceSdAssumed,
  type ExperimentSpec,
  hoursToDecide,
  weightsOf,
  withUnequalLabels,
} from "@tributary/rollouts/experiment";
import {
  comparePolicies,
  isLate,
  type LoggedFrame,
  type PolicyEstimate,
  type Winner,
  winnerOf,
} from "@tributary/routing";
import type { LoggedLine } from "../simulation/logged-line.ts";

export type PlannedArm = PolicyEstimate & {
  readonly policyVersion: string;
  /** Of final answers, in ms from capture; null where none were seen. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Of a thousand frames, as calls were charged; null where no call was seen. */
  readonly costPer1000: number | null;
  /** What an experiment would find, and when; null: for the control, or not within a year. */
  readonly experiment: { readonly hours: number; readonly verdict: string } | null;
};

export type ExperimentForecast = {
  readonly name: string;
  readonly currency: string;
  readonly frames: number;
  readonly labelled: number;
  readonly devices: number;
  /** That logged the frames: the units of the intervals. */
  readonly loggedDevices: number;
  /** Of one device and hour. */
  readonly framesPerHour: number;
  readonly labelsPerHour: number;
  readonly arms: readonly PlannedArm[];
  readonly lateMargin: number;
  /** Frames that were sent, by which lateness is known. */
  readonly sent: number;
  readonly winner: Winner;
};

export type PlanInput = {
  readonly spec: ExperimentSpec;
  /** Of each arm, in the specification's order. */
  readonly policies: readonly Pick<RoutingPolicy, "policyVersion" | keyof PolicyFields>[];
  readonly lines: readonly LoggedLine[];
  readonly frames: readonly LoggedFrame[];
  readonly costPerCall: number | null;
  /** Instead of what was logged. */
  readonly devices: number | null;
  readonly labelsPerDay: number | null;
};

type PolicyFields = Pick<
  RoutingPolicy,
  "features" | "edgeRight" | "cloudRight" | "labels" | "priorityLabels" | "scoreMin" | "escalationShareMax"
>;

/** Rates of a moment are no rates; nor are those of a file without times. */
const HOURS_MIN = 1;
const isAsked = (settledBy: string): boolean => settledBy === "CLOUD_ANSWER" || isLate(settledBy);

/** Null: of the drawn frames none has a known outcome. */
export function forecastOf(input: PlanInput): ExperimentForecast | null {
  const { spec, policies, lines, frames, costPerCall } = input;
  const { arms, rope, lateMargin, alpha, burnIn: burnInMs, utility } = spec.spec;
  const weights = weightsOf(spec);
  const seen = latenessOf(lines);
  const compared = comparePolicies(
    frames,
    arms.map(({ name }, i) => ({ name, policy: policies[i] as PolicyFields, seen })),
    weights,
  );
  if (compared === null) return null;
  const labelsOf = new Map(lines.map(({ frameId }) => [parseFrameId(frameId).deviceId, 0]));
  for (const { deviceId = "", drawn, edgeRight } of frames)
    if (drawn && edgeRight !== null) labelsOf.set(deviceId, (labelsOf.get(deviceId) ?? 0) + 1);
  const logged = labelsOf.size;
  const hours = hoursOf(lines);
  const labelled = frames.filter(({ drawn, edgeRight }) => drawn && edgeRight !== null).length;
  const framesPerHour = lines.length / logged / hours;
  const labelsPerHour = input.labelsPerDay === null ? labelled / logged / hours : input.labelsPerDay / 24;
  const devices = input.devices ?? logged;
  const total = arms.reduce((sum, { weight }) => sum + weight, 0);
  const devicesOf = (i: number) => Math.floor((devices * (arms[i]?.weight ?? 0)) / total);
  const [control] = compared as [PolicyEstimate];
  const latencies = latenciesOf(lines);
  const planned = compared.map((one, i): PlannedArm => {
    // What a frame leaves to chance is the mean of what it does in both.
    const mean = (of: (arm: PolicyEstimate) => number) => (of(control) + of(one)) / 2;
    const rates = {
      correct: mean(({ accuracy }) => accuracy),
      escalated: mean(({ escalated }) => escalated),
      late: mean(({ late }) => late),
    };
    const settings = { alpha, weights, rope, lateMargin, burnInMs, arms: arms.length - 1 };
    const unequal = { design: mean(({ labelDesign }) => labelDesign), byDevice: [...labelsOf.values()] };
    const perHour = { correct: labelsPerHour, escalated: framesPerHour, late: framesPerHour };
    const foreseen = { gain: one.lead?.difference ?? 0, rise: one.late - control.late };
    const devices = [devicesOf(0), devicesOf(i)] as const;
    const planned = withUnequalLabels({ devices, rates, deviceSd: deviceSdAssumed }, perHour, unequal);
    const isPossible = i > 0 && Math.min(...devices) >= 2 && labelsPerHour > 0;
    return {
      ...one,
      policyVersion: policies[i]?.policyVersion ?? "",
      p50Ms: quantileOf(latencies, one.escalated, 0.5),
      p99Ms: quantileOf(latencies, one.escalated, 0.99),
      costPer1000: costPerCall === null ? null : 1_000 * one.escalated * costPerCall,
      experiment: isPossible ? hoursToDecide(planned.plan, planned.perHour, settings, foreseen) : null,
    };
  });
  const winner = winnerOf(compared, lateMargin);
  const { name } = spec.metadata;
  const { currency } = utility;
  return {
    name,
    currency,
    frames: lines.length,
    labelled,
    devices,
    loggedDevices: logged,
    framesPerHour,
    labelsPerHour,
    arms: planned,
    lateMargin,
    sent: seen.sent,
    winner,
  };
}

/** Of frames that were sent to the cloud, or would have been but for their deadline. */
function latenessOf(lines: readonly LoggedLine[]): { readonly sent: number; readonly late: number } {
  const count = (of: (settledBy: string) => boolean) =>
    lines.filter(({ settledBy }) => settledBy !== null && of(settledBy)).length;
  return { sent: count(isAsked), late: count(isLate) };
}

type Latencies = { readonly kept: readonly number[]; readonly sent: readonly number[] };

function latenciesOf(lines: readonly LoggedLine[]): Latencies {
  const of = (wanted: (settledBy: string) => boolean) =>
    lines
      .flatMap(({ settledBy, latencyMs }) =>
        settledBy !== null && latencyMs !== null && wanted(settledBy) ? [latencyMs] : [],
      )
      .sort((a, b) => a - b);
  return { kept: of((by) => by === "KEPT"), sent: of(isAsked) };
}

/** Of a mixture in which `share` of the frames are sent. */
function quantileOf({ kept, sent }: Latencies, share: number, level: number): number | null {
  const weighted = [
    ...kept.map((ms) => ({ ms, weight: (1 - share) / kept.length })),
    ...sent.map((ms) => ({ ms, weight: share / sent.length })),
  ].sort((a, b) => a.ms - b.ms);
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  for (const { ms, weight } of weighted) {
    below += weight;
    if (weight > 0 && below >= level * total - 1e-12) return ms;
  }
  return null;
}

function hoursOf(lines: readonly LoggedLine[]): number {
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { at } of lines) {
    if (at === null) continue;
    first = Math.min(first, at);
    last = Math.max(last, at);
  }
  return Math.max(HOURS_MIN, (last - first) / 3_600_000 || 0);
}
