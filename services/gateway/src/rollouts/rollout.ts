/** Rollouts of records as the public API shows them: the contract's record in the words of Argo Rollouts. */
import type { RolloutDetail, RolloutEventView, RolloutFilter, RolloutView } from "@tributary/api";
import type { Rollout, RolloutAnalysis, RolloutPhase } from "@tributary/contracts";
import { type RolloutEvent, rolloutSpec, writtenSpec } from "@tributary/rollouts";
import { isoOf } from "../answers/answer.ts";

const phases = {
  UNKNOWN: "Unknown",
  PROGRESSING: "Progressing",
  PAUSED: "Paused",
  HEALTHY: "Healthy",
  DEGRADED: "Degraded",
} as const satisfies Record<RolloutPhase, RolloutView["phase"]>;
const analyses = {
  UNKNOWN: "Unknown",
  PENDING: "Pending",
  RUNNING: "Running",
  SUCCESSFUL: "Successful",
  FAILED: "Failed",
  INCONCLUSIVE: "Inconclusive",
  NO_DATA: "NoData",
  ERROR: "Error",
} as const satisfies Record<RolloutAnalysis, RolloutView["analysis"]>;

export const matchesRollout = (rollout: RolloutView, { name, uid, phase, model }: RolloutFilter): boolean =>
  (name === undefined || rollout.name === name) &&
  (uid === undefined || rollout.uid === uid) &&
  (phase === undefined || rollout.phase === phase) &&
  (model === undefined || rollout.model.name === model);

export type Naming = (digest: string) => { readonly name: string; readonly version: string } | undefined;

export function viewOf(record: Rollout, naming: Naming): RolloutView {
  const { uid, name, slot, step, steps, weight, message, isBack, devices, reached, updated, refused } = record;
  const stable = naming(record.stableDigest);
  return {
    uid,
    name,
    version: Number(record.version),
    slot,
    model: { digest: record.modelDigest, name: record.modelName, version: record.modelVersion },
    stable: { digest: record.stableDigest, name: stable?.name ?? null, version: stable?.version ?? null },
    phase: phases[record.phase],
    step,
    steps,
    weight,
    actualWeight: devices === 0 ? 0 : (100 * updated) / devices,
    analysis: analyses[record.analysis],
    message,
    pausedUntil: isoOf(record.pausedUntil),
    isBack,
    abandoned: record.abandonedDevices === 0 ? null : { devices: record.abandonedDevices, some: [...record.abandoned] },
    generation: `${record.generation}`,
    devices,
    reached,
    updated,
    refused,
    createdAt: isoOf(record.createdAt) ?? "",
    changedAt: isoOf(record.changedAt) ?? "",
  };
}

export const detailOf = (record: Rollout, naming: Naming): RolloutDetail => ({
  ...viewOf(record, naming),
  spec: specOf(record.spec),
  evidence: objectOf(record.evidence),
});

function specOf(json: string): Record<string, unknown> {
  const read = rolloutSpec.safeParse(objectOf(json));
  return read.success ? writtenSpec(read.data) : objectOf(json);
}

/** Texts of records may come from any writer: what is no JSON object is read as an empty one. */
export function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

/** The devices of a rollout may be many: they have a path of their own. Their strata and segments are of no use without them. */
export function eventView({ version, at, by, change }: RolloutEvent): RolloutEventView {
  const common = { version, at: isoOf(at) ?? "", by };
  if (change.kind !== "created") return { ...common, ...change };
  const { order, strata: _strata, segments: _segments, spec, ...rest } = change;
  return { ...common, ...rest, devices: order.length, spec: writtenSpec(spec) };
}
