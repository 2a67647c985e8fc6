/**
 * From a specification to the event that creates its experiment: which policies, which devices, in which arm. Pure.
 *
 * What cannot work is refused before anything runs, with the path and what to write instead. The arms' policies are for one edge model,
 * the one that every device of the experiment runs, one cloud target and one deadline: of policies that differ in more than
 * what they send one could not say what made the difference. Arms are consecutive parts of the order that rollouts use
 * (cohorts.ts), so each is the fleet in small.
 */
import { PERCEPTION, POLICY, type RoutingPolicy } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { type RolloutChange, rolloutSpec, type SpecPath, type SpecProblem } from "@tributary/rollouts";
import {
  type Experiment,
  type ExperimentChange,
  type ExperimentSpec,
  readExperiment,
} from "@tributary/rollouts/experiment";
import { smallestArms } from "@tributary/rollouts/judge";
import type { FleetMember, FleetTable } from "../fleet/fleet-table.ts";
import type { Policies } from "../policies.ts";
import { cohortsOf, devicesOf, some } from "./plan-rollout.ts";
import { SpecRefused } from "./spec-problems.ts";

export type ExperimentParts = {
  readonly fleet: FleetTable;
  readonly policies: Pick<Policies, "all">;
  /** Those that run. */
  readonly running: readonly Experiment[];
  /** The system's accuracy in the past, 0 to 1; null: unknown. */
  readonly accuracyBefore: (deviceId: string) => number | null;
  /** Draws the arms: the experiment's uid. */
  readonly salt: string;
};

export type PlannedExperiment = {
  readonly change: Extract<ExperimentChange, { kind: "experiment-created" }>;
  readonly policies: readonly RoutingPolicy[];
};

/** Throws SpecRefused, naming everything that is wrong. */
export function experimentSpecOf(written: unknown): ExperimentSpec {
  const { spec, problems } = readExperiment(written);
  if (spec === null) throw new SpecRefused(problems, INVALID);
  return spec;
}

const INVALID = "experiment-spec-invalid";
const refuse = (path: SpecPath, message: string): never => {
  throw new SpecRefused([{ path, message }], INVALID);
};

export function planExperiment(spec: ExperimentSpec, parts: ExperimentParts): PlannedExperiment {
  refuseAgain(spec, parts.running);
  const policies = policiesOf(spec, parts.policies.all);
  refuseDifferent(spec, policies);
  const { modelDigest, cloudTarget, deadlineMs } = policies[0] as RoutingPolicy;
  const devices = devicesOf(spec.spec.selector, parts.fleet, INVALID);
  refuseOtherModels(devices, modelDigest);
  const { order, strata } = cohortsOf(devices, parts);
  const sizes = armSizes(spec, order.length);
  refuseSmallArms(spec, sizes, order.length);
  const arms = policies.map(({ policyVersion }, i) => ({ policyVersion, devices: sizes[i] as number }));
  const what = { spec, arms, order, ...(strata && { strata }), modelDigest, cloudTarget, deadlineMs };
  return { change: { kind: "experiment-created", ...what }, policies };
}

/** A running one has its weights and margins: whoever applies the file again must not believe that it took effect. */
function refuseAgain({ metadata }: ExperimentSpec, running: readonly Experiment[]): void {
  const same = running.find(({ spec }) => spec.metadata.name === metadata.name);
  if (same === undefined) return;
  const message = `experiment ${metadata.name} (${same.uid}) is running, with the policies, weights and margins that it was created with; they are fixed before the first look: stop it, and create another`;
  throw new Failure("experiment-conflict", "ask-a-person", message);
}

function policiesOf({ spec }: ExperimentSpec, known: readonly RoutingPolicy[]): readonly RoutingPolicy[] {
  const problems: SpecProblem[] = [];
  const found = spec.arms.map(({ policy: version }, i) => {
    const those = known.filter(({ policyVersion }) => policyVersion.startsWith(version));
    const path = ["spec", "arms", i, "policy"];
    if (those.length > 1)
      problems.push({ path, message: `${those.length} policies start with ${version}; give more digits` });
    if (those.length === 0) {
      const there = known.map(({ policyVersion }) => policyVersion.slice(0, 12));
      const advice = there.length === 0 ? "" : `; there are ${some(there, 10)}`;
      const message = `there is no policy ${version}${advice}. Add one: tributary policy push -f policy.json --model NAME@VERSION`;
      problems.push({ path, message });
    }
    return those[0];
  });
  if (problems.length > 0) throw new SpecRefused(problems, INVALID);
  return found as readonly RoutingPolicy[];
}

function refuseDifferent({ spec }: ExperimentSpec, policies: readonly RoutingPolicy[]): void {
  const [control] = policies as readonly [RoutingPolicy];
  const problems = policies.flatMap((policy, i): SpecProblem[] => {
    const at = (message: string) => ({ path: ["spec", "arms", i, "policy"], message });
    const name = spec.arms[0]?.name;
    if (policy.modelDigest !== control.modelDigest) {
      const what = `is for model ${policy.modelDigest.slice(0, 12)}, and that of ${name} for ${control.modelDigest.slice(0, 12)}`;
      return [at(`${what}: compare models by a rollout, and policies of one model here`)];
    }
    if (policy.cloudTarget !== control.cloudTarget) {
      const what = `is for target ${policy.cloudTarget}, and that of ${name} for ${control.cloudTarget}`;
      return [at(`${what}: the router sends the frames of all devices to one target`)];
    }
    if (policy.deadlineMs !== control.deadlineMs) {
      const what = `has a deadline of ${policy.deadlineMs} ms, and that of ${name} ${control.deadlineMs} ms`;
      return [
        at(`${what}: an answer that is late by one and not by the other cannot be compared; the deadline is the SLA`),
      ];
    }
    if (policy.labels.join("\n") === control.labels.join("\n")) return [];
    return [at(`has other classes, or another order of them, than that of ${name}`)];
  });
  if (problems.length > 0) throw new SpecRefused(problems, INVALID);
}

function refuseOtherModels(devices: readonly FleetMember[], modelDigest: string): void {
  const others = devices.filter(({ slots }) => slots[PERCEPTION] !== modelDigest).map(({ deviceId }) => deviceId);
  if (others.length === 0) return;
  const what = `the policies are for model ${modelDigest.slice(0, 12)}, and ${others.length} of ${devices.length} devices run another: ${some(others)}`;
  const path = others.length === devices.length ? ["spec", "arms", 0, "policy"] : ["spec", "selector"];
  refuse(path, `${what}; select devices that run it, or push policies for theirs`);
}

/** By largest remainder. */
function armSizes({ spec }: ExperimentSpec, devices: number): readonly number[] {
  const total = spec.arms.reduce((sum, { weight }) => sum + weight, 0);
  const exact = spec.arms.map(({ weight }) => (devices * weight) / total);
  const sizes = exact.map(Math.floor);
  const left = devices - sizes.reduce((sum, size) => sum + size, 0);
  const byRemainder = exact.map((share, i) => ({ i, rest: share - Math.floor(share) })).sort((a, b) => b.rest - a.rest);
  for (const { i } of byRemainder.slice(0, left)) sizes[i] = (sizes[i] as number) + 1;
  return sizes;
}

function refuseSmallArms({ spec }: ExperimentSpec, sizes: readonly number[], devices: number): void {
  const needed = smallestArms(spec.alpha / (2 * (sizes.length - 1)));
  const problems = spec.arms.flatMap(({ name }, i): SpecProblem[] => {
    const size = sizes[i] as number;
    if (size >= needed) return [];
    const least = Math.ceil((needed * devices) / Math.max(1, size));
    const message = `arm ${name} has ${size} of ${devices} devices, and at alpha ${spec.alpha} each arm needs ${needed} to decide anything: about ${least} devices would do, or fewer arms`;
    return [{ path: ["spec", "arms", i, "weight"], message }];
  });
  if (problems.length > 0) throw new SpecRefused(problems, "arms-too-small");
}

/** Uid of the rollout that applies the policy that an experiment adopts: one for each, whichever instance starts it. */
export const adoptionUidOf = ({ uid }: Pick<Experiment, "uid">): string => `adopt-${uid}`;

const CANARY_PERCENT = 5;
/** As `deadline-met` has by default. */
const CANARY_ALPHA = 0.015;
const ANALYSIS_MS_MAX = 6 * 3_600_000;

export type Adoption = Extract<RolloutChange, { kind: "created" }>;

type InForce = { readonly policies: Pick<Policies, "inForce"> };

/** The version that an experiment adopted, and the policy in force in its place; null: it is in force, or nothing was adopted. */
function adoptedOf({ arms, winner, modelDigest, cloudTarget }: Experiment, { policies }: InForce) {
  const adopted = arms.find(({ name }) => name === winner)?.policyVersion;
  const standing = policies.inForce(modelDigest, cloudTarget);
  return adopted === undefined || standing === undefined || adopted === standing.policyVersion
    ? null
    : { adopted, standing };
}

/** Months later the adopted policy may have been replaced by one that was learned since: nothing compared these. */
const isReplaced = ({ createdAt }: RoutingPolicy, { changedAt }: Experiment): boolean => createdAt > changedAt;

/** Whether the rollout of what an experiment adopted is to start, if it has not. */
export function isAdoptionDue(experiment: Experiment, policies: InForce["policies"]): boolean {
  const both = adoptedOf(experiment, { policies });
  return both !== null && !isReplaced(both.standing, experiment);
}

/** The rollout of the policy that an experiment adopted: to a canary first, whose answers are judged by the deadline alone, since the
 * experiment has judged what they are worth. Null: that policy is in force already. Throws Failure where it cannot start. */
export function planAdoption(
  experiment: Experiment,
  parts: Pick<ExperimentParts, "fleet" | "accuracyBefore"> & InForce,
): Adoption | null {
  const both = adoptedOf(experiment, parts);
  if (both === null) return null;
  const { adopted, standing } = both;
  const { spec, modelDigest } = experiment;
  if (isReplaced(standing, experiment)) {
    const what = `policy ${standing.policyVersion.slice(0, 12)} came in force after experiment ${spec.metadata.name} was decided`;
    const advice = "it stays: compare it with the adopted one in another experiment";
    throw new Failure("adoption-outdated", "ask-a-person", `${what}; ${advice}`);
  }
  const { selector, lateMargin, burnIn, duration } = spec.spec;
  const devices = devicesOf(selector, parts.fleet, INVALID).filter(({ slots }) => slots[PERCEPTION] === modelDigest);
  const { order, strata } = cohortsOf(devices, { ...parts, salt: adoptionUidOf(experiment) });
  const needed = smallestArms(CANARY_ALPHA);
  const percent = Math.max(CANARY_PERCENT, Math.ceil((1_000 * needed) / Math.max(1, order.length)) / 10);
  const seconds = (ms: number) => `${Math.ceil(ms / 1_000)}s`;
  const canary = [
    { setWeight: percent },
    { pause: { duration: seconds(burnIn) } },
    { analysis: { duration: seconds(Math.min(ANALYSIS_MS_MAX, Math.max(2 * burnIn, duration / 4))) } },
  ];
  // An experiment's arms are large enough for a canary and its control; devices that have left since may leave too few.
  const steps = percent <= 50 ? [...canary, { setWeight: 100 }] : [{ setWeight: 100 }];
  const rollout = rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: spec.metadata.name.slice(0, 55).concat("-policy") },
    spec: {
      model: `${POLICY}@${adopted.slice(0, 12)}`,
      slot: POLICY,
      selector,
      strategy: { canary: { steps } },
      metrics: [
        {
          name: "in-time",
          alpha: CANARY_ALPHA,
          tolerated: lateMargin,
          perSegment: 1,
          margin: Math.min(0.5, 2 * lateMargin),
        },
      ],
      burnIn: seconds(burnIn),
    },
  });
  return {
    kind: "created",
    spec: rollout,
    modelDigest: adopted,
    stableDigest: standing.policyVersion,
    order,
    ...(strata && { strata }),
  };
}
