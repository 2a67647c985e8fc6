/** rollout-manager's own API: what the gateway hands on to it. */
import { z } from "zod";
import { listOf } from "./parts.ts";
import { rolloutCommands } from "./rollouts.ts";
import { json, route } from "./route.ts";

const experimentSchema = z
  .looseObject({ uid: z.string() })
  .describe("The record of experiments.v1, its JSON parts as JSON.");
const recordSchema = z.looseObject({ uid: z.string() }).describe("The record of rollouts.v1, its JSON parts as JSON.");
const by = z.string().trim().min(1).max(128);
const createBody = z.strictObject({ spec: z.unknown(), by });
export type CreationRequest = z.output<typeof createBody>;
const commandBody = z.strictObject({
  command: z.enum(rolloutCommands),
  by,
  step: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe(
      "Counts only while this is the current step, so a command that is sent again does not pass over the next one.",
    ),
});
export type CommandRequest = z.output<typeof commandBody>;
export type ExperimentCreationRequest = CreationRequest;
const stopBody = z.strictObject({ by, why: z.string().trim().min(1).max(500).optional() });
export type ExperimentStopRequest = z.output<typeof stopBody>;

export const rolloutManagerApi = {
  rollouts: {
    list: route({
      method: "GET",
      path: "/rollouts",
      summary: "The rollouts that it holds.",
      response: json("Their records.", listOf(recordSchema)),
      problems: [[503, "rollout-manager-starting"]],
    }),
    one: route({
      method: "GET",
      path: "/rollouts/{uid}",
      summary: "One rollout.",
      response: json("Its record.", recordSchema),
      problems: [
        [404, "rollout-unknown"],
        [503, "rollout-manager-starting"],
      ],
    }),
    create: route({
      method: "POST",
      path: "/rollouts",
      summary: "Starts a rollout.",
      body: createBody,
      status: 201,
      response: json("Its uid.", z.object({ uid: z.string() })),
      problems: [[422, "rollout-spec-invalid"]],
    }),
    command: route({
      method: "POST",
      path: "/rollouts/{uid}/commands",
      summary: "Sends a rollout a command.",
      body: commandBody,
      response: json(
        "How it stands.",
        z.object({ uid: z.string(), version: z.number(), phase: z.string(), isFinished: z.boolean() }),
      ),
      problems: [
        [404, "rollout-unknown"],
        [409, "rollout-changed"],
        [422, "rollout-command-refused"],
      ],
    }),
  },
  experiments: {
    list: route({
      method: "GET",
      path: "/experiments",
      summary: "The experiments that it holds.",
      response: json("Their records.", listOf(experimentSchema)),
      problems: [[503, "rollout-manager-starting"]],
    }),
    one: route({
      method: "GET",
      path: "/experiments/{uid}",
      summary: "One experiment.",
      response: json("Its record.", experimentSchema),
      problems: [
        [404, "experiment-unknown"],
        [503, "rollout-manager-starting"],
      ],
    }),
    create: route({
      method: "POST",
      path: "/experiments",
      summary: "Starts an experiment.",
      body: createBody,
      status: 201,
      response: json("Its uid.", z.object({ uid: z.string() })),
      problems: [
        [409, "experiment-conflict, rollout-conflict"],
        [422, "experiment-spec-invalid"],
      ],
    }),
    stop: route({
      method: "POST",
      path: "/experiments/{uid}/stop",
      summary: "Stops an experiment.",
      body: stopBody,
      response: json("How it stands.", z.object({ uid: z.string(), version: z.number(), phase: z.string() })),
      problems: [
        [404, "experiment-unknown"],
        [422, "experiment-command-refused"],
      ],
    }),
  },
};
