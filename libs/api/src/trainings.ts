/** Trainings: what asked for one, the labels that it waits for, its job, and what became of the model. The trainer, which owns
 * them, carries out what is wanted of them. */
import { z } from "zod";
import { domainDocument, limit, listOf, wholeNumber } from "./parts.ts";
import { bytes, events, json, route } from "./route.ts";

const trainingTriggers = ["VERDICT", "LABELS", "SCHEDULE", "PERSON"] as const;
export const trainingPhases = [
  "QUEUED",
  "LABELLING",
  "FREEZING",
  "TRAINING",
  "PACKING",
  "PUSHING",
  "GATE",
  "ROLLOUT",
  "HELD",
  "SUCCEEDED",
  "FAILED",
  "REFUSED",
  "CANCELLED",
] as const;
export type TrainingPhaseName = (typeof trainingPhases)[number];

/** A run as the gateway and the trainer show it: the record of training.results.v1, times as RFC 3339. */
const trainingSchema = z.object({
  runId: z.string(),
  version: z.number().int().describe("Transitions so far."),
  model: z.string(),
  trigger: z.enum(["UNKNOWN", ...trainingTriggers]).describe("What asked for it."),
  causeKey: z
    .string()
    .describe("At most one run of a cause is open: verdict:MODEL:SLICE, labels:MODEL, schedule:MODEL, person:MODEL."),
  verdictId: z.string().describe("Of VERDICT: the verdict of drift. Empty otherwise."),
  requestedBy: z.string(),
  reason: z.string().describe("Why it was asked for."),
  slice: z.string().describe("The frames that it is to learn: KEY=VALUE as site=north, or fleet."),
  since: z.string().describe("Frames from this moment on belong to the slice."),
  phase: z.enum(["UNKNOWN", ...trainingPhases]),
  message: z.string().describe("Why it stands where it stands."),
  labelsWanted: z.number().int().describe("Labelled frames of the slice that it needs."),
  labelsHave: z.number().int().describe("Labelled frames of the slice that can be used."),
  backend: z.string().describe("Name of the training backend; empty before TRAINING."),
  jobId: z.string().describe("The backend's name for the job; empty before it started."),
  attempt: z.number().int().describe("Attempts at the present phase, from 1."),
  progress: z.number().describe("Of TRAINING: how much is done, 0 to 1."),
  parentVersion: z.string().describe("Version of the champion that it starts from; empty before FREEZING."),
  parentDigest: z.string(),
  datasetVersion: z.string().describe("Empty before the dataset is frozen."),
  candidateVersion: z.string().describe("Version of the model that came out; empty before PUSHING."),
  candidateDigest: z.string(),
  rolloutUid: z.string().describe("Rollout of the candidate; empty before there is one."),
  metrics: z.record(z.string(), z.number()).describe("What training measured, by name."),
  requestedAt: z.string(),
  changedAt: z.string(),
  endedAt: z.string().nullable().describe("Null while it is open."),
});
export type TrainingView = z.output<typeof trainingSchema>;

export const trainingDetailSchema = trainingSchema.extend({
  devices: z.array(z.string()).describe("Devices whose frames belong to the slice; empty: all."),
  evidence: domainDocument("tributary.training/1").describe(
    "Recipe, blends, accuracies by class, the gate's report, costs.",
  ),
});
export type TrainingDetail = z.output<typeof trainingDetailSchema>;

const trainingFilter = z.strictObject({
  state: z.enum(["open", "ended", "all"]).default("all"),
  phase: z.enum(trainingPhases).optional(),
  model: z.string().optional().describe("Name of the model."),
});
export type TrainingFilter = z.output<typeof trainingFilter>;
const trainingQuery = trainingFilter.extend({ limit: limit(100) });
export type TrainingQuery = z.output<typeof trainingQuery>;

const trainingEventSchema = z.object({
  runId: z.string(),
  version: z.number().int().describe("The run's version after it."),
  at: z.string(),
  by: z.string().describe("A person's name, or the service's."),
  kind: z.string().describe("REQUESTED, LABELS_COMPLETE, FROZEN, JOB_STARTED, …"),
  details: z.looseObject({}).describe("What changed by it: phase, message, and what belongs to its kind."),
});
export type TrainingEventView = z.output<typeof trainingEventSchema>;
const eventQuery = z.strictObject({
  after: wholeNumber(0).default(0).describe("Leaves out events up to this version."),
});
export type TrainingEventQuery = z.output<typeof eventQuery>;

const TRAINING_LOG_LINES_MAX = 10_000;
export const trainingLogQuery = z.strictObject({
  lines: limit(200, TRAINING_LOG_LINES_MAX).describe("At most so many of the newest lines."),
});
export type TrainingLogQuery = z.output<typeof trainingLogQuery>;
export const trainingLogSchema = z.object({
  backend: z.string(),
  jobId: z.string(),
  lines: z.array(z.string()).describe("Oldest first; empty where the backend keeps none."),
});

const by = z.string().trim().min(1).max(128).default("gateway").describe("Who wants it; stands in the run's history.");
const text = (charsMax: number) => z.string().trim().min(1).max(charsMax);
/** Of a person; the trainer's own route takes the same. */
export const trainingRequestBody = z.strictObject({
  model: text(128),
  reason: text(1_000).describe("Why, as a sentence."),
  slice: z
    .string()
    .regex(
      /^(fleet|(site|device|camera|hardware|agentVersion|label:[A-Za-z0-9][A-Za-z0-9._-]{0,62})=\S(.{0,254}\S)?)$/,
      "expected fleet, or KEY=VALUE with site, device, camera (DEVICE/CAMERA), hardware, agentVersion or label:KEY, e.g. site=north",
    )
    .default("fleet")
    .describe("The frames that it is to learn: fleet, or KEY=VALUE, e.g. site=north."),
  since: z.iso
    .datetime({ offset: true })
    .optional()
    .describe(
      "RFC 3339: frames from this moment on belong to the slice; labels.lookbackMs of the trainer ago by default, 90 days.",
    ),
  by,
});
export type TrainingRequest = z.output<typeof trainingRequestBody>;
export const trainingCancelBody = z.strictObject({ by, reason: text(1_000) });
export type TrainingCancelRequest = z.output<typeof trainingCancelBody>;
export const trainingResumeBody = z.strictObject({ by });
export type TrainingResumeRequest = z.output<typeof trainingResumeBody>;

/** Of what is handed on to the trainer. */
const handedOn = [
  [501, "trainer-not-configured"],
  [502, "trainer-refuses, trainer-bad-response"],
  [503, "trainer-unreachable, trainer-standby, training-open"],
] as const;
const unknownRun = [404, "training-unknown"] as const;

export const trainings = {
  list: route({
    method: "GET",
    path: "/api/v1/trainings",
    summary: "Trainings, newest first.",
    query: trainingQuery,
    response: json("Trainings as they stand.", listOf(trainingSchema)),
    problems: [[400, "request-invalid"]],
  }),
  start: route({
    method: "POST",
    path: "/api/v1/trainings",
    summary: "Asks for a training, by the trainer.",
    body: trainingRequestBody,
    status: 201,
    response: json("What the trainer answers: the run.", z.looseObject({ runId: z.string() })),
    problems: [[400, "request-invalid"], [409, "training-lacks, training-open"], [422, "model-unknown"], ...handedOn],
  }),
  watch: route({
    method: "GET",
    path: "/api/v1/trainings/watch",
    summary: "Trainings as they change, as server-sent events.",
    description:
      "Events named `training`: first each one that the filter leaves as it stands, then each change. Comments come as heartbeats. A client that does not read is disconnected; it may connect again.",
    query: trainingFilter,
    response: events("training", trainingSchema),
    problems: [
      [400, "request-invalid"],
      [503, "events-busy"],
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/trainings/{runId}",
    summary: "One training with its numbers.",
    response: json("The training.", trainingDetailSchema),
    problems: [unknownRun],
  }),
  events: route({
    method: "GET",
    path: "/api/v1/trainings/{runId}/events",
    summary: "What happened to a training, in order.",
    query: eventQuery,
    response: json("Its events.", listOf(trainingEventSchema)),
    problems: [[400, "request-invalid"], unknownRun, [503, "history-bounded, search-busy"]],
  }),
  logs: route({
    method: "GET",
    path: "/api/v1/trainings/{runId}/logs",
    summary: "The newest lines of its job, by the trainer.",
    query: trainingLogQuery,
    response: json("The lines.", trainingLogSchema),
    problems: [[400, "request-invalid"], unknownRun, ...handedOn],
  }),
  report: route({
    method: "GET",
    path: "/api/v1/trainings/{runId}/report",
    summary: "A page for people: which frames were chosen and why, accuracies before and after, the gate, the cost.",
    response: bytes("text/html", "One HTML file; its pictures are of this gateway."),
    problems: [unknownRun],
  }),
  cancel: route({
    method: "POST",
    path: "/api/v1/trainings/{runId}/cancel",
    summary: "Cancels a training, by the trainer; its job is ended.",
    body: trainingCancelBody,
    response: json("What the trainer answers: the run.", z.looseObject({ runId: z.string() })),
    problems: [
      [400, "request-invalid"],
      unknownRun,
      [422, "training-ended, training-in-rollout, training-rolled-out"],
      ...handedOn,
    ],
  }),
  resume: route({
    method: "POST",
    path: "/api/v1/trainings/{runId}/resume",
    summary: "Resumes a training that waits for a person, by the trainer.",
    body: trainingResumeBody,
    response: json("What the trainer answers: the run.", z.looseObject({ runId: z.string() })),
    problems: [[400, "request-invalid"], unknownRun, [422, "training-not-held"], ...handedOn],
  }),
};
