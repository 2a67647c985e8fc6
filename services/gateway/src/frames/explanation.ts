/** What is known of one frame's decision, in the order in which it was made. */
import { z } from "zod";
import { answerSchema } from "../answers/answer.ts";

const json = z.record(z.string(), z.unknown());

export const explanationSchema = z.object({
  frameId: z.string(),
  prediction: json.nullable().describe("What the device made of the frame, with its batch's digests and versions."),
  frame: json.nullable().describe("The frame as it left the device: everything but the picture."),
  request: json.nullable().describe("The router's request to the cloud: lane, target, deadline; not the picture."),
  result: json.nullable().describe("What the cloud said, or why it said nothing."),
  answer: answerSchema.nullable().describe("The final answer."),
  policy: json.nullable().describe("The routing policy the device decided by."),
  steps: z
    .array(z.object({ name: z.string(), values: json, text: z.string() }))
    .describe("The device's decision recomputed from what it logged, step by step."),
  routerSteps: z
    .array(z.object({ name: z.string(), values: json, text: z.string() }))
    .describe("What the router weighed, by the numbers in the final answer; empty if it weighed nothing."),
  timeline: z
    .array(z.object({ at: z.string(), what: z.string() }))
    .describe("By Kafka's timestamps, which are the servers' clock."),
  missing: z
    .array(z.object({ part: z.string(), why: z.string() }))
    .describe("Parts that were looked for and not found, and where was looked."),
});
export type Explanation = z.output<typeof explanationSchema>;
