/** An experiment as experiments.v1 and the API show it. Pure: instances with the same state write the same bytes. */
import {
  type ExperimentPhase,
  type Experiment as ExperimentRecord,
  type ExperimentVerdict,
  topics,
} from "@tributary/contracts";
import type { RolloutController } from "@tributary/rollouts";
import { type Experiment, type ExperimentEvidence, writtenExperiment } from "@tributary/rollouts/experiment";
import { adoptionUidOf, isAdoptionDue } from "../creation/plan-experiment.ts";
import type { Policies } from "../policies.ts";
import { type Publishing, StatusPublisher } from "./status-publisher.ts";

const phases = {
  Running: "RUNNING",
  Decided: "DECIDED",
  Stopped: "STOPPED",
} as const satisfies Record<Experiment["phase"], ExperimentPhase>;

const verdicts = {
  adopt: "ADOPT",
  reject: "REJECT",
  equivalent: "EQUIVALENT",
  hold: "HOLD",
} as const satisfies Record<NonNullable<Experiment["verdict"]>, ExperimentVerdict>;

/** Of the rollout of the policy that it adopted: whether it was started, and whether it is still to start. */
type Adopting = { readonly hasRollout: boolean; readonly isDue: boolean };

function recordOf(
  experiment: Experiment,
  evidence: ExperimentEvidence | null,
  { hasRollout, isDue }: Adopting,
): ExperimentRecord {
  const { uid, version, spec, phase, verdict, winner, why, modelDigest, cloudTarget, order, generation } = experiment;
  return {
    uid,
    version: BigInt(version),
    name: spec.metadata.name,
    phase: phases[phase],
    verdict: verdict === null ? null : verdicts[verdict],
    winner,
    message: why === "" ? (evidence?.why ?? "") : why,
    modelDigest,
    cloudTarget,
    devices: order.length,
    generation,
    reviewAt: phase === "Decided" ? experiment.changedAt + spec.spec.reviewAfter : null,
    rollout: hasRollout ? adoptionUidOf(experiment) : null,
    freezesPolicies: phase === "Running" || isDue,
    spec: JSON.stringify(writtenExperiment(spec)),
    evidence: JSON.stringify(evidence),
    createdAt: experiment.createdAt,
    changedAt: experiment.changedAt,
  };
}

/** experiments.v1 */
export const experimentStatus = (
  controller: RolloutController,
  policies: Pick<Policies, "inForce">,
  publishing: Publishing,
): StatusPublisher<ExperimentRecord> =>
  new StatusPublisher({
    ...publishing,
    topic: topics.experiments,
    uids: () => controller.experiments.all.map(({ uid }) => uid),
    recordOf: (uid) => {
      const experiment = controller.experiments.get(uid);
      if (experiment === null) return null;
      const hasRollout = controller.rollout(adoptionUidOf(experiment)) !== null;
      const isDue = !hasRollout && isAdoptionDue(experiment, policies);
      return recordOf(experiment, controller.experiments.evidence(uid), { hasRollout, isDue });
    },
    isActive: ({ phase }) => phase === "RUNNING",
  });
