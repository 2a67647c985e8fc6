/** Experiments: routing policies on different devices at once, and which is worth more. rollout-manager carries out what is wanted of them. */
import { z } from "zod";
import { domainDocument, limit, listOf, wholeNumber } from "./parts.ts";
import { namedSchema } from "./rollouts.ts";
import { bytes, json, route } from "./route.ts";

const experimentPhases = ["Running", "Decided", "Stopped"] as const;
const verdicts = ["adopt", "reject", "equivalent", "hold"] as const;

const experimentSchema = z.object({
  uid: z.string(),
  name: z.string(),
  version: z.number().int().describe("Events so far."),
  phase: z.enum(["Unknown", ...experimentPhases]).describe("Decided: by itself. Stopped: by a person."),
  verdict: z
    .enum(["unknown", ...verdicts])
    .nullable()
    .describe(
      "Of a decided one: adopt the winner; reject every other arm than the control; equivalent: none is worth more; hold: undecided at its end, a person decides.",
    ),
  winner: z.string().nullable().describe("Name of the arm that is adopted."),
  message: z.string().describe("Why it stands where it stands."),
  model: namedSchema.describe("The package that its devices run."),
  cloudTarget: z.string().describe("Of its policies."),
  devices: z.number().int().describe("In all arms."),
  generation: z.string(),
  reviewAt: z.string().nullable().describe("Of a decided one: when to look at the decision again, at the latest."),
  rollout: z.string().nullable().describe("Of an adopted arm: uid of the rollout that applies its policy."),
  review: z
    .object({ isDue: z.boolean(), why: z.string().describe("What makes it due, or when it will be.") })
    .nullable()
    .describe("Of a decided one: whether to look at the decision again."),
  createdAt: z.string(),
  changedAt: z.string(),
});
export type ExperimentView = z.output<typeof experimentSchema>;

const experimentDetailSchema = experimentSchema.extend({
  spec: z.looseObject({}).describe("The specification, as people write it, every default filled in."),
  evidence: domainDocument("tributary.experiment/1").describe(
    "While it runs, what it saw at its last look; then the record of its decision.",
  ),
});
export type ExperimentDetail = z.output<typeof experimentDetailSchema>;

const experimentFilter = z.strictObject({
  name: z.string().optional(),
  phase: z.enum(experimentPhases).optional(),
});
export type ExperimentFilter = z.output<typeof experimentFilter>;
const experimentQuery = experimentFilter.extend({ limit: limit(100) });
export type ExperimentQuery = z.output<typeof experimentQuery>;

const eventSchema = z
  .looseObject({
    version: z.number().int(),
    at: z.string(),
    by: z.string().describe("A person's name, or the service's."),
    kind: z.string(),
  })
  .describe("Beside these, what belongs to its kind: spec, arms, verdict, winner, why, evidence.");
export type ExperimentEventView = z.output<typeof eventSchema>;
const eventQuery = z.strictObject({
  after: wholeNumber(0).default(0).describe("Leaves out events up to this version."),
});
export type ExperimentEventQuery = z.output<typeof eventQuery>;

const by = z.string().min(1).max(128).default("gateway").describe("Who wants it; stands in the experiment's history.");
const createBody = z.strictObject({
  spec: z.looseObject({}).describe("kind: Experiment; see docs/guides/is-the-cloud-worth-it.md."),
  by,
});
export type ExperimentRequest = z.output<typeof createBody>;
const stopBody = z.strictObject({
  by,
  why: z.string().trim().min(1).max(500).optional().describe("Stands in the experiment's history."),
});
export type ExperimentStop = z.output<typeof stopBody>;

/** Of what is handed on to rollout-manager. */
const handedOn = [
  [501, "rollout-manager-not-configured"],
  [502, "rollout-manager-refuses, rollout-manager-bad-response"],
  [503, "rollout-manager-unreachable"],
] as const;
const noHistory = [
  [404, "experiment-unknown"],
  [503, "history-bounded, search-busy"],
] as const;

export const experiments = {
  list: route({
    method: "GET",
    path: "/api/v1/experiments",
    summary: "Experiments, newest first.",
    query: experimentQuery,
    response: json("Experiments as they stand.", listOf(experimentSchema)),
    problems: [[400, "request-invalid"]],
  }),
  create: route({
    method: "POST",
    path: "/api/v1/experiments",
    summary: "Starts an experiment, by rollout-manager.",
    body: createBody,
    status: 201,
    response: json("What rollout-manager answers: its uid.", z.looseObject({ uid: z.string() })),
    problems: [
      [400, "request-invalid"],
      [409, "experiment-conflict, rollout-conflict"],
      [422, "experiment-spec-invalid"],
      ...handedOn,
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/experiments/{uid}",
    summary: "One experiment: how it stands, its specification and its evidence.",
    response: json("The experiment.", experimentDetailSchema),
    problems: [[404, "experiment-unknown"]],
  }),
  events: route({
    method: "GET",
    path: "/api/v1/experiments/{uid}/events",
    summary: "What happened to an experiment, in order: only events that count.",
    query: eventQuery,
    response: json("Its events.", listOf(eventSchema)),
    problems: [[400, "request-invalid"], ...noHistory],
  }),
  report: route({
    method: "GET",
    path: "/api/v1/experiments/{uid}/report",
    summary: "A page for people: what the arms were worth, what was decided, and what would flip it.",
    response: bytes("text/html", "One HTML file that needs nothing else."),
    problems: noHistory,
  }),
  stop: route({
    method: "POST",
    path: "/api/v1/experiments/{uid}/stop",
    summary: "Stops an experiment, by rollout-manager: its devices have the policy in force again.",
    body: stopBody,
    response: json("What rollout-manager answers.", z.looseObject({})),
    problems: [[400, "request-invalid"], [404, "experiment-unknown"], [422, "experiment-command-refused"], ...handedOn],
  }),
};
