/** Verdicts of drift: what changed on the fleet, where, why, since when, and whether frames are lost by it. */
import { z } from "zod";
import { limit, listOf, noQuery } from "./parts.ts";
import { bytes, events, json, route } from "./route.ts";

export const driftCauses = ["PREPROCESSING", "CAMERA", "WORLD", "LABEL_SHIFT", "CONCEPT"] as const;

const lossSchema = z
  .object({
    state: z.enum(["UNKNOWN", "NO_DATA", "UNPROVEN", "LOST"]),
    draws: z.number().int().describe("Labelled random draws since the onset."),
    errorRate: z.number().nullable().describe("Their weighted error rate; null without draws."),
    reference: z.number().describe("Error rate on the validation set."),
    tolerance: z.number().describe("Allowed excess over it."),
  })
  .describe("Whether frames are lost by it.");

const reviewKinds = ["ACCEPT", "CORRECT", "KNOWN", "WITHDRAW"] as const;

const reviewSchema = z
  .object({
    kind: z
      .enum(["UNKNOWN", ...reviewKinds])
      .describe(
        "ACCEPT: the new normal, so its cameras learn anew. CORRECT: the cause is this one. KNOWN: expected until a date. WITHDRAW: the answer before does not hold any more.",
      ),
    by: z.string(),
    reviewedAt: z.string(),
    version: z.number().int().describe("Version of the verdict that was answered."),
    cause: z.enum(["UNKNOWN", ...driftCauses]).describe("Of CORRECT; UNKNOWN otherwise."),
    fault: z.string().describe("Of CORRECT; empty: none was named."),
    until: z.string().nullable().describe("Of KNOWN: then it is unexpected again."),
    note: z.string(),
  })
  .describe("The newest answer of a person to this opening of the verdict.");
export type DriftReviewView = z.output<typeof reviewSchema>;

const verdictSchema = z.object({
  verdictId: z.string(),
  version: z.number().int().describe("Grows with every change."),
  state: z.enum(["UNKNOWN", "OPEN", "CLOSED"]),
  cause: z.enum(["UNKNOWN", ...driftCauses]),
  fault: z.string().describe("The known fault that the evidence is nearest to, e.g. channels-swapped; empty: none."),
  scopeKey: z
    .string()
    .describe(
      "What affected devices have in common: fleet, device, camera, site, hardware, agentVersion, model, label:KEY.",
    ),
  scopeValue: z.string(),
  summary: z.string().describe("The verdict as a sentence."),
  modelDigest: z.string(),
  modelName: z.string(),
  modelVersion: z.string(),
  devicesAffected: z.number().int().describe("Devices with evidence."),
  devicesInScope: z.number().int().describe("Devices of the scope that are compared."),
  pValue: z
    .number()
    .nullable()
    .describe("Probability that the evidence falls there by chance, after Holm's correction; null: not tested."),
  since: z.string().describe("Estimated onset."),
  openedAt: z.string(),
  updatedAt: z.string(),
  closedAt: z.string().nullable(),
  closedBecause: z.string(),
  loss: lossSchema,
  retrain: z.boolean().describe("Whether this is a reason to retrain."),
  review: reviewSchema.nullable().describe("What a person answered; `cause` stays what was found. Null: nothing."),
});
export type DriftVerdictView = z.output<typeof verdictSchema>;

const verdictDetailSchema = verdictSchema.extend({
  devices: z
    .array(z.object({ deviceId: z.string(), cameras: z.array(z.string()), since: z.string() }))
    .describe("Those with evidence, by id, at most 1,000; without cameras it is the whole device."),
  features: z
    .array(
      z.object({
        feature: z.string(),
        before: z.number().describe("Mean of (bin + 1/2)/32 in the baseline; of label:CLASS the share."),
        now: z.number().describe("The same since the onset."),
        alarms: z.number().int().describe("Cameras whose alarm is for this feature."),
        logEvidence: z.number().describe("Largest ln of the e-detector among them."),
        reference: z.array(z.number()).describe("Shares per bin on the validation set."),
        current: z.array(z.number()).describe("Shares per bin since the onset."),
      }),
    )
    .describe("Strongest evidence first."),
  timeline: z
    .array(z.object({ at: z.string(), shifts: z.array(z.number()) }))
    .describe("Shift of each feature over time, in the order of features."),
  mix: z
    .record(z.string(), z.object({ before: z.number(), now: z.number() }))
    .describe("Estimated shares of the classes."),
  steps: z
    .array(z.object({ question: z.string(), answer: z.string(), isCause: z.boolean() }))
    .describe("How the cause was found."),
});
export type DriftVerdictDetail = z.output<typeof verdictDetailSchema>;

const verdictFilter = z.strictObject({
  state: z.enum(["open", "closed", "all"]).default("open"),
  cause: z.enum(driftCauses).optional(),
});
export type DriftFilter = z.output<typeof verdictFilter>;
const verdictQuery = verdictFilter.extend({ limit: limit(100) });
export type DriftQuery = z.output<typeof verdictQuery>;

const answered = {
  by: z.string().trim().min(1).max(128).default("gateway").describe("Who answers; stands in the verdict."),
  note: z.string().trim().max(1_000).default(""),
  version: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe("Counts only while the verdict has this version: what was looked at is what is answered."),
};
const reviewBody = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("ACCEPT"), ...answered }),
  z.strictObject({
    kind: z.literal("CORRECT"),
    cause: z.enum(driftCauses),
    fault: z
      .string()
      .regex(/^([a-z0-9][a-z0-9-]{0,63})?$/, "expected the name of a fault, e.g. channels-swapped")
      .default(""),
    ...answered,
  }),
  z.strictObject({
    kind: z.literal("KNOWN"),
    until: z.iso.datetime({ offset: true }).describe("RFC 3339; at most a year ahead."),
    ...answered,
  }),
  z.strictObject({ kind: z.literal("WITHDRAW"), ...answered }),
]);
export type DriftReviewRequest = z.output<typeof reviewBody>;

const reviewCountSchema = z.object({
  found: z.enum(["UNKNOWN", ...driftCauses]).describe("Cause that was found."),
  kind: z.enum(reviewKinds),
  cause: z.enum(driftCauses).nullable().describe("Of CORRECT: the cause by people; null otherwise."),
  verdicts: z.number().int().describe("Openings of verdicts that were last answered so."),
});
export type DriftReviewCount = z.output<typeof reviewCountSchema>;

const profileSchema = z.object({
  day: z.string(),
  by: z.string(),
  group: z.string().describe("Value of what was grouped by; empty for devices without it."),
  modelDigest: z.string(),
  modelName: z.string().nullable().describe("Null where no record of the model registry has it."),
  modelVersion: z.string().nullable(),
  feature: z.string().describe("A feature of the reference sketch, or `label`: predictions by class."),
  devices: z.number().int(),
  windows: z.number().int().describe("Sketches that were merged."),
  frames: z.number().int(),
  labels: z.array(z.string()).nullable().describe("Of feature `label`: the class of each count; else null."),
  counts: z.array(z.number().int()).describe("Frames per bin of the package's reference sketch, or per class."),
});
export type DriftProfile = z.output<typeof profileSchema>;
const profilesSchema = listOf(profileSchema).extend({
  sketches: z.number().int().describe("Sketches that were merged."),
  repeated: z.number().int().describe("Those that Kafka has twice."),
  malformed: z.number().int().describe("Those that cannot be read."),
});
export type DriftProfiles = z.output<typeof profilesSchema>;
const profileQuery = z.strictObject({
  day: z.iso.date("expected a day in UTC, e.g. 2026-11-28"),
  by: z
    .string()
    .regex(
      /^(site|hardware|agentVersion|model|device|label:[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/,
      "expected site, hardware, agentVersion, model, device or label:KEY",
    )
    .default("site")
    .describe("site, hardware, agentVersion, model, device or label:KEY."),
});
export type DriftProfileQuery = z.output<typeof profileQuery>;

export const drift = {
  list: route({
    method: "GET",
    path: "/api/v1/drift",
    summary: "Verdicts of drift, those that opened last first; open ones unless `state` asks for others.",
    query: verdictQuery,
    response: json("Verdicts.", listOf(verdictSchema)),
    problems: [[400, "request-invalid"]],
  }),
  watch: route({
    method: "GET",
    path: "/api/v1/drift/watch",
    summary: "Verdicts as they change, as server-sent events.",
    description:
      "Events named `verdict`: first each one that the filter leaves as it stands, then each change. Comments come as heartbeats. A client that does not read is disconnected; it may connect again.",
    query: verdictFilter,
    response: events("verdict", verdictSchema),
    problems: [
      [400, "request-invalid"],
      [503, "events-busy"],
    ],
  }),
  profiles: route({
    method: "GET",
    path: "/api/v1/drift/profiles",
    summary: "Sketches that arrived on one day (UTC), merged by group, package and feature.",
    query: profileQuery,
    response: json("Profiles.", profilesSchema),
    problems: [
      [400, "request-invalid"],
      [422, "profiles-exceeded"],
      [503, "profiles-busy, profiles-bounded"],
    ],
  }),
  reviews: route({
    method: "GET",
    path: "/api/v1/drift/reviews",
    summary: "How people answered verdicts in the last year: found causes and theirs, counted.",
    query: noQuery,
    response: json("Counts; answers that were withdrawn are in none.", listOf(reviewCountSchema)),
    problems: [[400, "request-invalid"]],
  }),
  review: route({
    method: "POST",
    path: "/api/v1/drift/{verdictId}/reviews",
    summary:
      "Answers a verdict: accepts it as the new normal, corrects its cause, knows of it until a date, or withdraws.",
    description:
      "Answered once Kafka has it; drift-monitor applies it at its next look, also if it is down now. Of two answers the later one holds. Sending one again is safe.",
    body: reviewBody,
    response: json("The verdict with the answer.", verdictSchema),
    problems: [
      [400, "request-invalid, until-invalid"],
      [404, "verdict-unknown"],
      [409, "verdict-closed, verdict-changed, review-missing"],
      [422, "verdict-not-acceptable"],
      [503, "kafka-unavailable"],
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/drift/{verdictId}",
    summary: "One verdict with its evidence.",
    response: json("The verdict.", verdictDetailSchema),
    problems: [[404, "verdict-unknown"]],
  }),
  report: route({
    method: "GET",
    path: "/api/v1/drift/{verdictId}/report",
    summary: "A page for people: what changed, where, why, and what to do.",
    response: bytes("text/html", "One HTML file that needs nothing else."),
    problems: [[404, "verdict-unknown"]],
  }),
};
