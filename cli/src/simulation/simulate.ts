/**
 * Replays logged frames under a policy: escalation share against accuracy, with intervals, and the cost.
 *
 * One edge model at a time: confidences of two models are not comparable. Estimates use the random sample alone
 * (routing/off-policy.ts); cloud answers and labels of other frames are ignored, except for the mean cost of a call.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import {
  calibratedOf,
  points as differenceInPoints,
  type LoggedFrame,
  type OffPolicyFrontier,
  type OffPolicyPoint,
  priorityOf,
  simulateFrontier,
} from "@tributary/routing";
import type { LoggedLine } from "./logged-line.ts";

export type SimulationPoint = OffPolicyPoint & {
  /** Of a thousand frames, in the configured currency; null where no call was seen. */
  readonly costPer1000: number | null;
};

export type Simulation = Pick<OffPolicyFrontier, "alternatives" | "cloudGain"> & {
  readonly modelDigest: string;
  readonly policyVersion: string | null;
  readonly cloudTarget: string;
  readonly frames: number;
  readonly drawn: number;
  readonly labelled: number;
  readonly leftOut: number;
  readonly sampleShare: number;
  readonly costPerCall: number | null;
  readonly points: readonly SimulationPoint[];
  readonly own: SimulationPoint | null;
  /** Warnings about the policy. */
  readonly warnings: readonly string[];
};

export type SimulatedBy = Pick<
  RoutingPolicy,
  "cloudTarget" | "labels" | "features" | "edgeRight" | "cloudRight" | "priorityLabels" | "scoreMin"
> & { readonly policyVersion: string | null };

/** What logged frames were decided by. */
type LoggedBy = Pick<RoutingPolicy, "policyVersion" | "labels" | "priorityLabels">;

/**
 * Frames as simulations take them.
 *
 * P1. A frame of reason PRIORITY is sent by another policy, too, only if something outside of the policy asked for it. If the policy that decided
 *     it is known, its rules say which frames it asked for itself. If not, the log does: a rule takes every frame of its class from a
 *     confidence on, so a frame was asked for from outside if one of the same version and class, as confident or more, is no PRIORITY.
 */
export class LoggedFrames {
  readonly #labels: readonly string[];
  readonly #policies: ReadonlyMap<string, LoggedBy>;
  readonly #frames: LoggedFrame[] = [];
  /** P1. Of each frame of reason PRIORITY. */
  readonly #asked = new Map<LoggedFrame, LoggedLine>();
  /** P1. By version and class: the highest confidence of a frame of another reason. */
  readonly #notAsked = new Map<string, number>();
  /** Of a class that the policy does not know. */
  leftOut = 0;
  #calls = 0;
  #costMicros = 0;

  /** @param policies - Those by which frames may have been decided, as far as they are known. */
  constructor(labels: readonly string[], policies: readonly LoggedBy[]) {
    this.#labels = labels;
    this.#policies = new Map(policies.map((policy) => [policy.policyVersion, policy]));
  }

  /** The frames are all that were added. */
  get frames(): readonly LoggedFrame[] {
    return this.#frames.map((frame) => {
      const line = this.#asked.get(frame);
      return line === undefined ? frame : { ...frame, triggered: this.#isTriggered(line) };
    });
  }

  get costPerCall(): number | null {
    return this.#calls === 0 ? null : this.#costMicros / this.#calls / 1e6;
  }

  add(line: LoggedLine): void {
    if (line.costMicros !== null) {
      this.#calls++;
      this.#costMicros += line.costMicros;
    }
    const labelIndex = this.#labels.indexOf(line.label);
    if (labelIndex < 0) {
      this.leftOut++;
      return;
    }
    const truth = line.drawn && line.truth !== null && this.#labels.includes(line.truth) ? line.truth : null;
    const frame = {
      calibrated: calibratedOf(line, labelIndex),
      propensity: line.propensity,
      drawn: line.drawn,
      triggered: false,
      edgeRight: truth === null ? null : truth === line.label,
      cloudRight: truth === null || line.cloudLabel === null ? null : truth === line.cloudLabel,
      deviceId: line.frameId.split(":", 1)[0] as string,
    };
    this.#frames.push(frame);
    if (line.reason === "PRIORITY") this.#asked.set(frame, line);
    else this.#notAsked.set(ruleKey(line), Math.max(this.#notAsked.get(ruleKey(line)) ?? 0, line.confidence));
  }

  /** P1 */
  #isTriggered(line: LoggedLine): boolean {
    const policy = this.#policies.get(line.policyVersion);
    if (policy === undefined) return (this.#notAsked.get(ruleKey(line)) ?? -1) >= line.confidence;
    const labelIndex = policy.labels.indexOf(line.label);
    return labelIndex < 0 || priorityOf(policy, calibratedOf(line, labelIndex)) === null;
  }
}

const ruleKey = ({ policyVersion, label }: LoggedLine): string => `${policyVersion}\n${label}`;

export function simulate(
  logged: LoggedFrames,
  policy: SimulatedBy,
  modelDigest: string,
  shares: readonly number[],
): Simulation {
  const frontier = simulateFrontier(logged.frames, policy, shares);
  const { points, own, cloudWorseOn: _, ...facts } = frontier;
  const { costPerCall, leftOut } = logged;
  const priced = (point: OffPolicyPoint): SimulationPoint => ({
    ...point,
    costPer1000: costPerCall === null ? null : 1_000 * point.share * costPerCall,
  });
  const { policyVersion, cloudTarget } = policy;
  return {
    modelDigest,
    policyVersion,
    cloudTarget,
    ...facts,
    leftOut,
    costPerCall,
    points: points.map(priced),
    own: own === null ? null : priced(own),
    warnings: warningsOf(frontier, policy.labels),
  };
}

function warningsOf(
  { own, alternatives, cloudGain, cloudWorseOn, labelled }: OffPolicyFrontier,
  labels: readonly string[],
): readonly string[] {
  const warnings: string[] = [];
  if (own?.share === 0) warnings.push("the policy sends nothing: every answer is the edge's");
  if (cloudGain !== null && cloudGain.lower <= 0) {
    const { difference, lower } = cloudGain;
    const needed = Math.ceil(labelled * ((difference - lower) / difference) ** 2);
    const more = difference > 0 ? `; about ${Number(needed.toPrecision(2))} labelled draws would, if it is so` : "";
    warnings.push(
      cloudGain.upper <= 0
        ? `the cloud is worse than the edge (${differenceInPoints(cloudGain)}): sending frames to it costs accuracy`
        : `the labels do not show that the cloud is better than the edge (${differenceInPoints(cloudGain)})${more}`,
    );
  }
  for (const gain of cloudWorseOn) {
    const answered = `where the edge answers "${labels[gain.labelIndex]}" (${gain.frames} frames)`;
    warnings.push(`${answered} the cloud is worse than the edge: ${differenceInPoints(gain)}`);
  }
  for (const { name, lead } of alternatives) {
    if (name === "edge" || name === "cloud" || lead.upper >= 0) continue;
    warnings.push(`sending by ${name} would be better at the same share: the policy has ${differenceInPoints(lead)}`);
  }
  return warnings;
}
