/** Rollouts, in the words of Argo Rollouts, times as RFC 3339. What is wanted of them, rollout-manager carries out. */
import { z } from "zod";
import { updatePhases, updateSchema } from "./devices.ts";
import { domainDocument, limit, listOf, wholeNumber } from "./parts.ts";
import { bytes, events, json, route } from "./route.ts";

const rolloutPhases = ["Progressing", "Paused", "Healthy", "Degraded"] as const;
const analyses = ["Unknown", "Pending", "Running", "Successful", "Failed", "Inconclusive", "NoData", "Error"] as const;
export const rolloutCommands = ["pause", "resume", "promote", "promote-full", "abort", "retry", "undo"] as const;
export type RolloutCommand = (typeof rolloutCommands)[number];

export const namedSchema = z.object({
  digest: z.string(),
  name: z.string().nullable().describe("Null where no record of the model registry has it."),
  version: z.string().nullable(),
});
export type NamedPackage = z.output<typeof namedSchema>;

const rolloutSchema = z.object({
  uid: z.string(),
  name: z.string(),
  version: z.number().int().describe("Events so far."),
  slot: z.string(),
  model: namedSchema.describe("The package that it rolls out."),
  stable: namedSchema.describe("The package that it rolls back to."),
  phase: z.enum(["Unknown", ...rolloutPhases]),
  step: z.number().int().describe("Index of the current step, from 0; the number of steps when all are done."),
  steps: z.number().int(),
  weight: z.number().describe("Percent of its devices that shall run the model."),
  actualWeight: z.number().describe("Percent of its devices that report that they infer with it."),
  analysis: z.enum(analyses),
  message: z.string().describe("Why it stands where it stands."),
  pausedUntil: z.string().nullable(),
  isBack: z.boolean().describe("Of a degraded one: no device runs the model any more."),
  abandoned: z
    .object({ devices: z.number().int(), some: z.array(z.string()) })
    .nullable()
    .describe("Of one whose rollback a person ended early: devices that still ran the model; null: none was left."),
  generation: z.string(),
  devices: z.number().int(),
  reached: z.number().int().describe("Devices that shall run the model now."),
  updated: z.number().int().describe("Of these, how many report that they infer with it."),
  refused: z.number().int().describe("Devices that refused it or reverted it by themselves."),
  createdAt: z.string(),
  changedAt: z.string(),
});
export type RolloutView = z.output<typeof rolloutSchema>;

const rolloutDetailSchema = rolloutSchema.extend({
  spec: z.looseObject({}).describe("The specification, as people write it, every default filled in."),
  evidence: domainDocument("tributary.analysis/1").describe(
    "While an analysis runs, what it saw at its last look; else the numbers behind the last transition.",
  ),
});
export type RolloutDetail = z.output<typeof rolloutDetailSchema>;

const rolloutFilter = z.strictObject({
  name: z.string().optional(),
  uid: z.string().optional(),
  phase: z.enum(rolloutPhases).optional(),
  model: z.string().optional().describe("Name of the model."),
});
export type RolloutFilter = z.output<typeof rolloutFilter>;
const rolloutQuery = rolloutFilter.extend({ limit: limit(100) });
export type RolloutQuery = z.output<typeof rolloutQuery>;

const eventSchema = z
  .looseObject({
    version: z.number().int(),
    at: z.string(),
    by: z.string().describe("A person's name, or the service's."),
    kind: z.string(),
  })
  .describe("Beside these, what belongs to its kind: step, verdict, reason, why, evidence, spec.");
export type RolloutEventView = z.output<typeof eventSchema>;
const eventQuery = z.strictObject({
  after: wholeNumber(0).default(0).describe("Leaves out events up to this version."),
});
export type RolloutEventQuery = z.output<typeof eventQuery>;

const arms = ["canary", "control", "rest"] as const;
const runs = ["model", "stable", "other", "unknown"] as const;
const rolloutDeviceSchema = z.object({
  deviceId: z.string(),
  place: z.number().int().describe("In the order in which the rollout reaches its devices, from 0."),
  arm: z.enum(arms).describe("As assigned to the last analysis; rest: in neither."),
  reached: z.boolean().describe("Whether it shall run the model now."),
  runs: z.enum(runs).describe("What it reports that it infers with."),
  modelDigest: z.string().nullable(),
  goldenPassed: z.boolean().nullable(),
  update: updateSchema.nullable().describe("How far its last desired state is."),
  reportedAt: z.string().nullable(),
});
export type RolloutDevice = z.output<typeof rolloutDeviceSchema>;

const armSummarySchema = z.object({
  devices: z.number().int(),
  onModel: z.number().int().describe("Report that they infer with the model."),
  phases: z.record(z.string(), z.number().int()).describe("Devices by the phase of their last update."),
});
const rolloutDevicesSchema = z.object({
  items: z.array(rolloutDeviceSchema),
  total: z.number().int().describe("That the filter leaves, on all pages."),
  arms: z.record(z.enum(arms), armSummarySchema),
});
export type RolloutDevices = z.output<typeof rolloutDevicesSchema>;
const rolloutDevicesQuery = z.strictObject({
  arm: z.enum(arms).optional(),
  runs: z.enum(runs).optional(),
  updatePhase: z.enum(updatePhases).optional(),
  from: wholeNumber(0).default(0).describe("Leaves out so many of the first."),
  limit: limit(1_000, 10_000),
});
export type RolloutDevicesQuery = z.output<typeof rolloutDevicesQuery>;

const by = z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the rollout's history.");
const createBody = z.strictObject({
  spec: z.looseObject({}).describe("kind: ModelRollout; see docs/guides/roll-out-a-model.md."),
  by,
});
export type RolloutRequest = z.output<typeof createBody>;
const commandBody = z.strictObject({
  command: z.enum(rolloutCommands),
  by,
  step: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe(
      "Counts only while this is the current step (index, from 0): sent again, promote passes over no other step.",
    ),
});
export type RolloutCommandRequest = z.output<typeof commandBody>;

/** Of what is handed on to rollout-manager. */
const handedOn = [
  [501, "rollout-manager-not-configured"],
  [502, "rollout-manager-refuses, rollout-manager-bad-response"],
  [503, "rollout-manager-unreachable"],
] as const;
const noHistory = [
  [404, "rollout-unknown"],
  [503, "history-bounded, search-busy"],
] as const;

export const rollouts = {
  list: route({
    method: "GET",
    path: "/api/v1/rollouts",
    summary: "Rollouts, newest first.",
    query: rolloutQuery,
    response: json("Rollouts as they stand.", listOf(rolloutSchema)),
    problems: [[400, "request-invalid"]],
  }),
  create: route({
    method: "POST",
    path: "/api/v1/rollouts",
    summary: "Starts a rollout, by rollout-manager.",
    body: createBody,
    status: 201,
    response: json("What rollout-manager answers: its uid.", z.looseObject({ uid: z.string() })),
    problems: [[400, "request-invalid"], [409, "rollout-conflict"], ...handedOn],
  }),
  watch: route({
    method: "GET",
    path: "/api/v1/rollouts/watch",
    summary: "Rollouts as they change, as server-sent events.",
    description:
      "Events named `rollout`: first each one that the filter leaves as it stands, then each change. Comments come as heartbeats. A client that does not read is disconnected; it may connect again.",
    query: rolloutFilter,
    response: events("rollout", rolloutSchema),
    problems: [
      [400, "request-invalid"],
      [503, "events-busy"],
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/rollouts/{uid}",
    summary: "One rollout: how it stands, its specification and its evidence.",
    response: json("The rollout.", rolloutDetailSchema),
    problems: [[404, "rollout-unknown"]],
  }),
  events: route({
    method: "GET",
    path: "/api/v1/rollouts/{uid}/events",
    summary: "What happened to a rollout, in order: only events that count.",
    query: eventQuery,
    response: json("Its events.", listOf(eventSchema)),
    problems: [[400, "request-invalid"], ...noHistory],
  }),
  devicesOf: route({
    method: "GET",
    path: "/api/v1/rollouts/{uid}/devices",
    summary: "The devices of a rollout: order, arm, and the model that each reports.",
    query: rolloutDevicesQuery,
    response: json("Its devices, in the order in which it reaches them.", rolloutDevicesSchema),
    problems: [[400, "request-invalid"], ...noHistory],
  }),
  report: route({
    method: "GET",
    path: "/api/v1/rollouts/{uid}/report",
    summary: "A page for people: what was seen, what was decided, and why.",
    response: bytes("text/html", "One HTML file that needs nothing else."),
    problems: noHistory,
  }),
  command: route({
    method: "POST",
    path: "/api/v1/rollouts/{uid}/commands",
    summary: "Sends a rollout a command, by rollout-manager: pause, resume, promote, abort, retry, undo.",
    body: commandBody,
    response: json("What rollout-manager answers.", z.looseObject({})),
    problems: [
      [400, "request-invalid"],
      [404, "rollout-unknown"],
      [409, "rollout-changed"],
      [422, "rollout-command-refused"],
      ...handedOn,
    ],
  }),
};
