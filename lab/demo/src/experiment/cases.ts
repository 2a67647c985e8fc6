/** The cases of `demo -- experiment`, each on devices of its own: which policy is compared with the one in force, what a late answer costs,
 * and how it must end. */
import type { Policy } from "@tributary/api";
import { settings } from "./settings.ts";

export type Case = {
  readonly name: string;
  readonly summary: string;
  readonly devices: number;
  /** The arm beside the control, which is `hybrid`, the policy in force. */
  readonly arm: string;
  readonly policyOf: (inForce: Policy) => Policy;
  /** What a late answer costs, in euros. */
  readonly late: number;
  /** Worth of a frame that makes no difference, in euros. */
  readonly rope: number;
  readonly ending: "adopt" | "reject" | "equivalent";
};

export const CONTROL = "hybrid";

/** A score is a gain in probability, so none is above 1: only frames of priority labels are sent. */
const edgeHeavy = (inForce: Policy): Policy => ({ ...inForce, scoreMin: 1 });

/** Another version, which decides alike. */
const again = (inForce: Policy): Policy => ({ ...inForce, scoreMin: inForce.scoreMin + 1e-12 });

export const cases: readonly Case[] = [
  {
    name: "sla",
    summary: "late answers cost ten times what a right one is worth: the cloud breaks the SLA, and the edge is adopted",
    devices: 36,
    arm: "edge-heavy",
    policyOf: edgeHeavy,
    late: 10 * settings.correct,
    rope: 0.01 * settings.correct,
    ending: "adopt",
  },
  {
    name: "free-lateness",
    summary:
      "the same policies, and late answers cost nothing: the decision flips, since the cloud is right more often",
    devices: 44,
    arm: "edge-heavy",
    policyOf: edgeHeavy,
    late: 0,
    rope: 0.01 * settings.correct,
    ending: "reject",
  },
  {
    name: "a-a",
    summary: "two versions of a policy that decide alike: they are worth the same",
    devices: 40,
    arm: "hybrid-again",
    policyOf: again,
    late: 0.5 * settings.correct,
    rope: 0.05 * settings.correct,
    ending: "equivalent",
  },
];

export const fleet = cases.flatMap(({ name: site, devices }) =>
  Array.from({ length: devices }, (_, i) => ({ deviceId: `${site}-${String(i + 1).padStart(2, "0")}`, site })),
);

/** `versions`: of the control's policy, and of the arm's. */
export const specificationOf = (
  { name, arm, late, rope }: Case,
  versions: readonly [control: string, arm: string],
): Record<string, unknown> => ({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name },
  spec: {
    selector: { sites: [name] },
    arms: [
      { name: CONTROL, policy: versions[0] },
      { name: arm, policy: versions[1] },
    ],
    utility: { correct: settings.correct, escalated: settings.callCostMicros / 1e6, late, currency: "EUR" },
    rope,
    burnIn: `${settings.burnInMs / 1_000}s`,
    duration: `${settings.durationMs / 1_000}s`,
  },
});
