/** Rollouts as the public API shows them: the contract's record in the words of Argo Rollouts, times as RFC 3339. */
import type { Rollout, RolloutAnalysis, RolloutPhase } from "@tributary/contracts";
import { analysisEvidence, type RolloutEvent, rolloutSpec, writtenSpec } from "@tributary/rollouts";
import { z } from "zod";
import { isoOf } from "../answers/answer.ts";

const phases = {
  UNKNOWN: "Unknown",
  PROGRESSING: "Progressing",
  PAUSED: "Paused",
  HEALTHY: "Healthy",
  DEGRADED: "Degraded",
} as const satisfies Record<RolloutPhase, string>;
const analyses = {
  UNKNOWN: "Unknown",
  PENDING: "Pending",
  RUNNING: "Running",
  SUCCESSFUL: "Successful",
  FAILED: "Failed",
  INCONCLUSIVE: "Inconclusive",
  NO_DATA: "NoData",
  ERROR: "Error",
} as const satisfies Record<RolloutAnalysis, string>;
const phaseNames = ["Progressing", "Paused", "Healthy", "Degraded"] as const;

const named = z.object({
  digest: z.string(),
  name: z.string().nullable().describe("Null where no record of the registry told."),
  version: z.string().nullable(),
});

export const rolloutSchema = z.object({
  uid: z.string(),
  name: z.string(),
  version: z.number().int().describe("Events so far."),
  slot: z.string(),
  model: named.describe("The package that it rolls out."),
  stable: named.describe("The package that it goes back to."),
  phase: z.enum(["Unknown", ...phaseNames]),
  step: z.number().int().describe("Index of the step at work, from 0; the number of steps when all are done."),
  steps: z.number().int(),
  weight: z.number().describe("Percent of its devices that shall run the model."),
  actualWeight: z.number().describe("Percent of its devices that say that they infer with it."),
  analysis: z.enum(Object.values(analyses)),
  message: z.string().describe("Why it stands where it stands."),
  pausedUntil: z.string().nullable(),
  isBack: z.boolean().describe("Of a degraded one: no device runs the model any more."),
  abandoned: z
    .object({ devices: z.number().int(), some: z.array(z.string()) })
    .nullable()
    .describe("Of one that a person ended on its way back: devices that still ran the model; null: none was left."),
  generation: z.string(),
  devices: z.number().int(),
  reached: z.number().int().describe("Devices that shall run the model now."),
  updated: z.number().int().describe("Of these, how many say that they infer with it."),
  refused: z.number().int().describe("Devices that refused it or went back by themselves."),
  createdAt: z.string(),
  changedAt: z.string(),
});
export type RolloutView = z.output<typeof rolloutSchema>;

export const rolloutDetailSchema = rolloutSchema.extend({
  spec: z.looseObject({}).describe("The specification, as people write it, every default filled in."),
  evidence: z
    .union([analysisEvidence, z.looseObject({})])
    .describe("While an analysis runs, what it saw at its last look; else the numbers behind the last transition."),
});
export type RolloutDetail = z.output<typeof rolloutDetailSchema>;

export const rolloutFilterSchema = z.strictObject({
  name: z.string().optional(),
  uid: z.string().optional(),
  phase: z.enum(phaseNames).optional(),
  model: z.string().optional().describe("Name of the model."),
});
export type RolloutFilter = z.output<typeof rolloutFilterSchema>;

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
    ...{ uid, name, version: Number(record.version), slot },
    model: { digest: record.modelDigest, name: record.modelName, version: record.modelVersion },
    stable: { digest: record.stableDigest, name: stable?.name ?? null, version: stable?.version ?? null },
    phase: phases[record.phase],
    ...{ step, steps, weight, actualWeight: devices === 0 ? 0 : (100 * updated) / devices },
    analysis: analyses[record.analysis],
    message,
    pausedUntil: isoOf(record.pausedUntil),
    isBack,
    abandoned: record.abandonedDevices === 0 ? null : { devices: record.abandonedDevices, some: [...record.abandoned] },
    generation: `${record.generation}`,
    ...{ devices, reached, updated, refused },
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

/** Texts of records are whoever's they are: what is no JSON object is an empty one. */
function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}

export const eventSchema = z
  .looseObject({
    version: z.number().int(),
    at: z.string(),
    by: z.string().describe("A person's name, or the service's."),
    kind: z.string(),
  })
  .describe("Beside these, what belongs to its kind: step, verdict, reason, why, evidence, spec.");

/** The devices of a rollout may be many: they have a path of their own. Their strata and segments are of no use without them. */
export function eventView({ version, at, by, change }: RolloutEvent): z.output<typeof eventSchema> {
  const told = { version, at: isoOf(at) ?? "", by };
  if (change.kind !== "created") return { ...told, ...change };
  const { order, strata: _strata, segments: _segments, spec, ...rest } = change;
  return { ...told, ...rest, devices: order.length, spec: writtenSpec(spec) };
}

const by = z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the rollout's history.");
export const createSchema = z.strictObject({
  spec: z.looseObject({}).describe("kind: ModelRollout; see docs/guides/roll-out-a-model.md."),
  by,
});
export const commandSchema = z.strictObject({
  command: z.enum(["pause", "resume", "promote", "promote-full", "abort", "retry", "undo"]),
  by,
  step: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe("Counts only while this step is at work (index, from 0): sent again, promote passes over no other step."),
});
