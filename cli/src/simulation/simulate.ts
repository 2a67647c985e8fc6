/**
 * Replays logged frames under a policy: escalation share against accuracy, with intervals, and what it costs.
 *
 * S1. One edge model at a time: another's confidences mean something else.
 * S2. Estimates rest on the random sample alone (routing/off-policy.ts); a cloud answer or label of any other frame is
 *     not looked at, except for the mean cost of a call.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import { calibratedOf, type LoggedFrame, type OffPolicyPoint, simulateFrontier } from "@tributary/routing";
import type { LoggedLine } from "./logged-line.ts";

export type SimulationPoint = OffPolicyPoint & {
  /** Of a thousand frames, in the configured currency; null where no call was seen. */
  readonly costPer1000: number | null;
};

export type Simulation = {
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
};

export type SimulatedBy = Pick<
  RoutingPolicy,
  "cloudTarget" | "labels" | "features" | "edgeRight" | "cloudRight" | "priorityLabels" | "scoreMin"
> & { readonly policyVersion: string | null };

export class LoggedFrames {
  readonly #labels: readonly string[];
  readonly frames: LoggedFrame[] = [];
  /** Of a class that the policy does not know. */
  leftOut = 0;
  #calls = 0;
  #costMicros = 0;

  constructor(labels: readonly string[]) {
    this.#labels = labels;
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
    this.frames.push({
      calibrated: calibratedOf(line, labelIndex),
      propensity: line.propensity,
      drawn: line.drawn,
      triggered: line.reason === "PRIORITY",
      edgeRight: truth === null ? null : truth === line.label,
      cloudRight: truth === null || line.cloudLabel === null ? null : truth === line.cloudLabel,
    });
  }
}

export function simulate(
  logged: LoggedFrames,
  policy: SimulatedBy,
  modelDigest: string,
  shares: readonly number[],
): Simulation {
  const { points, own, ...counts } = simulateFrontier(logged.frames, policy, shares);
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
    ...counts,
    leftOut,
    costPerCall,
    points: points.map(priced),
    own: own === null ? null : priced(own),
  };
}
