/** Conversion of events from and to records of `rollouts.events.v1`, whose `details` are JSON. A record that is no valid
 * event is refused with an error code, so every reader passes over the same ones. The specification is stored as people
 * write it, with every default filled in: later defaults change no old rollout. */
import type { RolloutEvent as EventRecord, RolloutChangeKind, RolloutVerdict } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { z } from "zod";
import { STRATA_DEVICES_MAX } from "./cohorts.ts";
import { ABANDONED_NAMED_MAX, type LogEvent, type Verdict } from "./events.ts";
import { type ExperimentEvidence, experimentEvidenceOf } from "./experiment/evidence.ts";
import { experimentSpec, writtenExperiment } from "./experiment/spec.ts";
import { CLASSES_MAX, SITES_MAX } from "./segments.ts";
import { rolloutSpec, writtenSpec } from "./spec.ts";

type Change = LogEvent["change"];

const kinds = {
  created: "CREATED",
  "step-started": "STEP_STARTED",
  "step-finished": "STEP_FINISHED",
  analysed: "ANALYSED",
  paused: "PAUSED",
  resumed: "RESUMED",
  promoted: "PROMOTED",
  aborted: "ABORTED",
  "rolled-back": "ROLLED_BACK",
  abandoned: "ABANDONED",
  retried: "RETRIED",
  completed: "COMPLETED",
  "experiment-created": "EXPERIMENT_CREATED",
  "experiment-arm-judged": "EXPERIMENT_ARM_JUDGED",
  "experiment-decided": "EXPERIMENT_DECIDED",
  "experiment-stopped": "EXPERIMENT_STOPPED",
} as const satisfies Record<Change["kind"], RolloutChangeKind>;

const verdicts = {
  Successful: "SUCCESSFUL",
  Failed: "FAILED",
  Inconclusive: "INCONCLUSIVE",
  NoData: "NO_DATA",
  Error: "ERROR",
} as const satisfies Record<Verdict, RolloutVerdict>;

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const step = z.number().int().min(0).max(63);
const evidence = z.record(z.string(), z.unknown());
const why = z.string().max(1_000);
const order = z.array(z.string().min(1).max(64)).max(1_000_000);
/** ln e; JSON has no infinity. */
const log = z.number();
/** Whatever it is, the event counts for every reader alike. */
const strata = z.array(z.number().int().nonnegative()).max(STRATA_DEVICES_MAX).optional().catch(undefined);
/** For people: what it says decides nothing. */
const experimentEvidence = z.custom<ExperimentEvidence>((value) => experimentEvidenceOf(value) !== null);

const change = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("created"),
    spec: rolloutSpec,
    modelDigest: digest,
    stableDigest: digest,
    order,
    strata,
    segments: z
      .object({
        classes: z.array(z.string().max(256)).max(CLASSES_MAX),
        sites: z.array(z.string().max(128)).max(SITES_MAX),
        siteOf: z.array(z.number().int().min(-1)).max(STRATA_DEVICES_MAX),
      })
      .optional()
      .catch(undefined),
    latencyMsMax: z.number().positive().optional().catch(undefined),
  }),
  z.object({ kind: z.literal("step-started"), step }),
  z.object({ kind: z.literal("step-finished"), step, evidence }),
  z.object({
    kind: z.literal("analysed"),
    step,
    verdict: z.enum(["Successful", "Failed", "Inconclusive", "NoData", "Error"]),
    suspicion: z.string().min(1).max(500).optional().catch(undefined),
    evidence,
  }),
  z.object({
    kind: z.literal("paused"),
    reason: z.enum(["step", "person", "inconclusive", "no-data", "silent", "error"]),
    untilMs: z.number().nullable(),
    evidence,
  }),
  z.object({ kind: z.literal("resumed"), evidence }),
  z.object({ kind: z.literal("promoted"), full: z.boolean(), evidence }),
  z.object({ kind: z.literal("aborted"), why, evidence }),
  z.object({ kind: z.literal("rolled-back"), evidence }),
  z.object({
    kind: z.literal("abandoned"),
    devices: z.number().int().positive(),
    some: z.array(z.string().min(1).max(64)).max(ABANDONED_NAMED_MAX),
    evidence,
  }),
  z.object({ kind: z.literal("retried"), evidence }),
  z.object({ kind: z.literal("completed"), evidence }),
  z.object({
    kind: z.literal("experiment-created"),
    spec: experimentSpec,
    arms: z.array(z.object({ policyVersion: digest, devices: z.number().int().positive() })).min(2),
    order,
    strata,
    modelDigest: digest,
    cloudTarget: z.string().min(1).max(256),
    deadlineMs: z.number().int().positive(),
  }),
  z.object({
    kind: z.literal("experiment-arm-judged"),
    arm: z.string().min(1).max(64),
    verdict: z.enum(["adopt", "reject", "equivalent"]),
    because: z.enum(["utility", "late"]).nullable(),
    logs: z.object({ better: log, worse: log, same: log, lateWithin: log, lateBeyond: log }),
    lookedAt: z.number(),
  }),
  z.object({
    kind: z.literal("experiment-decided"),
    verdict: z.enum(["adopt", "reject", "equivalent", "hold"]),
    winner: z.string().max(64).nullable(),
    why,
    evidence: experimentEvidence,
  }),
  z.object({ kind: z.literal("experiment-stopped"), why, evidence: experimentEvidence.nullable().catch(null) }),
]) satisfies z.ZodType<Change>;

export type { EventRecord };

export function recordOfEvent({ uid, version, at, by, change }: LogEvent): EventRecord {
  const { kind, ...rest } = change;
  const { step = null, ...more } = rest as { step?: number };
  const verdict = change.kind === "analysed" ? change.verdict : null;
  // Of an analysis it is a field of the record.
  const details = { ...more, ...(verdict !== null && { verdict: undefined }), ...specWritten(change) };
  return {
    uid,
    version: BigInt(version),
    at,
    by,
    kind: kinds[kind],
    step,
    verdict: verdict === null ? null : verdicts[verdict],
    details: JSON.stringify(details),
  };
}

function specWritten(change: Change): object {
  if (change.kind === "created") return { spec: writtenSpec(change.spec) };
  return change.kind === "experiment-created" ? { spec: writtenExperiment(change.spec) } : {};
}

/** False: only a later version of this code, or none, writes it. */
export const isEventKind = (kind: string): boolean => (Object.values(kinds) as readonly string[]).includes(kind);

/** @throws Failure `rollout-event-unusable` */
export function eventOfRecord(record: EventRecord): LogEvent {
  const { uid, version, at, by, step, verdict } = record;
  const refuse = (why: string): never => {
    throw new Failure("rollout-event-unusable", "give-up", `event ${version} of rollout ${uid}: ${why}`);
  };
  const kind = Object.entries(kinds).find(([, wire]) => wire === record.kind)?.[0];
  if (kind === undefined) return refuse(`its kind ${record.kind} is not known here`);
  if (version < 1n || version > BigInt(Number.MAX_SAFE_INTEGER)) return refuse("its version is no count from 1");
  const read = change.safeParse({
    ...objectOf(record.details),
    kind,
    ...(step !== null && { step }),
    ...(verdict !== null && { verdict: Object.entries(verdicts).find(([, wire]) => wire === verdict)?.[0] }),
  });
  if (!read.success) {
    const [issue] = read.error.issues;
    return refuse(`${issue?.path.join(".") || "details"}: ${issue?.message}`);
  }
  return { uid, version: Number(version), at, by, change: read.data } as LogEvent;
}

function objectOf(json: string): object {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
