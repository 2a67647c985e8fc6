/** Of the trainer's own API: what the gateway forwards to it. */
import {
  type Route,
  trainingCancelBody,
  trainingLogQuery,
  trainingLogSchema,
  trainingRequestBody,
  trainingResumeBody,
  trainingSchema,
} from "@tributary/api";

const routeOf = <const R extends Route>(route: R): R => route;
const run = { kind: "json", description: "The run.", schema: trainingSchema } as const;

export const trainerRoutes = {
  start: routeOf({
    method: "POST",
    path: "/runs",
    summary: "Asks for a training.",
    body: trainingRequestBody,
    status: 201,
    response: run,
    problems: [],
  }),
  cancel: routeOf({
    method: "POST",
    path: "/runs/{runId}/cancel",
    summary: "Cancels a training.",
    body: trainingCancelBody,
    response: run,
    problems: [],
  }),
  resume: routeOf({
    method: "POST",
    path: "/runs/{runId}/resume",
    summary: "Resumes a training that waits for a person.",
    body: trainingResumeBody,
    response: run,
    problems: [],
  }),
  logs: routeOf({
    method: "GET",
    path: "/runs/{runId}/logs",
    summary: "The newest lines of its job.",
    query: trainingLogQuery,
    response: { kind: "json", description: "The lines.", schema: trainingLogSchema },
    problems: [],
  }),
  manifest: routeOf({
    method: "GET",
    path: "/datasets/{model}/{version}/manifest",
    summary: "The lines of a dataset's manifest.",
    response: { kind: "bytes", mediaType: "application/x-ndjson", description: "" },
    problems: [],
  }),
};
