/** Conversion of events from and to records of `rollouts.events.v1`, whose `details` are JSON. A record that is no valid
 * event is refused with an error code, so every reader passes over the same ones. The specification is stored as people
 * write it, with every default filled in: later defaults change no old rollout. */
import type { RolloutEvent as EventRecord, RolloutChangeKind, RolloutVerdict } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { z } from "zod";
import { STRATA_DEVICES_MAX } from "./cohorts.ts";
import { ABANDONED_NAMED_MAX, type RolloutChange, type RolloutEvent, type Verdict } from "./events.ts";
import { CLASSES_MAX, SITES_MAX } from "./segments.ts";
import { rolloutSpec, writtenSpec } from "./spec.ts";

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
} as const satisfies Record<RolloutChange["kind"], RolloutChangeKind>;

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

const change = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("created"),
    spec: rolloutSpec,
    modelDigest: digest,
    stableDigest: digest,
    order: z.array(z.string().min(1).max(64)).max(1_000_000),
    /** Whatever it is, the event counts for every reader alike. */
    strata: z.array(z.number().int().nonnegative()).max(STRATA_DEVICES_MAX).optional().catch(undefined),
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
]) satisfies z.ZodType<RolloutChange>;

export type { EventRecord };

export function recordOfEvent({ uid, version, at, by, change }: RolloutEvent): EventRecord {
  const { kind, ...rest } = change;
  const { step = null, verdict = null, ...more } = rest as { step?: number; verdict?: Verdict };
  const details = change.kind === "created" ? { ...more, spec: writtenSpec(change.spec) } : more;
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

/** @throws Failure `rollout-event-unusable` */
export function eventOfRecord(record: EventRecord): RolloutEvent {
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
  return { uid, version: Number(version), at, by, change: read.data };
}

function objectOf(json: string): object {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
