/** The trainer's own API: what the CLI sends it, and what the gateway hands on to it. */
import { z } from "zod";
import { trainerDatasets } from "./datasets.ts";
import { modelRegistryApi } from "./model-registry.ts";
import { listOf } from "./parts.ts";
import { json, route } from "./route.ts";
import {
  trainingCancelBody,
  trainingDetailSchema,
  trainingLogQuery,
  trainingLogSchema,
  trainingRequestBody,
  trainingResumeBody,
} from "./trainings.ts";

/** Photos of a base set are uploaded as the files of a package are. */
const { has, put } = modelRegistryApi.blobs;
const run = json("The training.", trainingDetailSchema);
const unknown = [404, "training-unknown"] as const;
/** Another instance owns the trainings, or none does yet. */
const standby = [503, "trainer-standby"] as const;

export const trainerApi = {
  datasets: trainerDatasets,
  blobs: { has, put },
  runs: {
    list: route({
      method: "GET",
      path: "/runs",
      summary: "Trainings, newest first.",
      query: z.strictObject({ model: z.string().optional() }),
      response: json("Trainings as they stand.", listOf(trainingDetailSchema)),
      problems: [],
    }),
    one: route({
      method: "GET",
      path: "/runs/{runId}",
      summary: "One training.",
      response: run,
      problems: [unknown],
    }),
    create: route({
      method: "POST",
      path: "/runs",
      summary: "Starts a training.",
      body: trainingRequestBody,
      status: 201,
      response: run,
      problems: [[409, "training-open, training-lacks"], [422, "model-unknown"], standby],
    }),
    cancel: route({
      method: "POST",
      path: "/runs/{runId}/cancel",
      summary: "Stops a training: its job, and the candidacy of its model. Refused while the model is rolled out.",
      body: trainingCancelBody,
      response: run,
      problems: [
        unknown,
        [409, "training-ended, training-in-rollout, training-rolled-out, training-busy, training-changed"],
        standby,
      ],
    }),
    resume: route({
      method: "POST",
      path: "/runs/{runId}/resume",
      summary: "Lets the candidate of a training pass that waits for a person.",
      body: trainingResumeBody,
      response: run,
      problems: [unknown, [409, "training-not-held, training-busy, training-changed"], standby],
    }),
    logs: route({
      method: "GET",
      path: "/runs/{runId}/logs",
      summary: "The newest lines of its job.",
      query: trainingLogQuery,
      response: json("The lines.", trainingLogSchema),
      problems: [unknown],
    }),
  },
};
