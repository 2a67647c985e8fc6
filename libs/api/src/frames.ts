/** What is known of one frame's decision, in the order in which it was made, and its picture. */
import { z } from "zod";
import { answerSchema } from "./classifications.ts";
import { frameIdParameter } from "./parts.ts";
import { routingPolicySchema } from "./policies.ts";
import { bytes, json, route } from "./route.ts";

const fields = z.record(z.string(), z.unknown());
const stepSchema = z.object({ name: z.string(), values: fields, text: z.string() });
export type ExplanationStep = z.output<typeof stepSchema>;

const explanationSchema = z.object({
  frameId: z.string(),
  prediction: fields.nullable().describe("What the device made of the frame, with its batch's digests and versions."),
  frame: fields.nullable().describe("The frame as it left the device: everything but the picture."),
  request: fields.nullable().describe("The router's request to the cloud: lane, target, deadline; not the picture."),
  result: fields.nullable().describe("The cloud's answer, or why there is none."),
  answer: answerSchema.nullable().describe("The final answer."),
  policy: routingPolicySchema.nullable().describe("The routing policy the device decided by."),
  steps: z.array(stepSchema).describe("The device's decision recomputed from what it logged, step by step."),
  routerSteps: z
    .array(stepSchema)
    .describe("What the router weighed, by the numbers in the final answer; empty if it weighed nothing."),
  timeline: z
    .array(z.object({ at: z.string(), what: z.string() }))
    .describe("By Kafka's timestamps, which are the servers' clock."),
  missing: z
    .array(z.object({ part: z.string(), why: z.string() }))
    .describe("Parts that were looked for and not found, and where was looked."),
});
export type Explanation = z.output<typeof explanationSchema>;

export const frames = {
  explanation: route({
    method: "GET",
    path: "/api/v1/frames/{frameId}/explanation",
    summary: "Every number of one frame's decision, from the device to its final answer.",
    parameters: frameIdParameter,
    response: json("The explanation.", explanationSchema),
    problems: [
      [400, "frame-id-malformed"],
      [404, "frame-unknown"],
      [503, "search-busy"],
    ],
  }),
  image: route({
    method: "GET",
    path: "/api/v1/frames/{frameId}/image",
    summary: "The JPEG of a sent frame, as the camera gave it, while Kafka or the frame archive keeps it.",
    parameters: frameIdParameter,
    response: bytes("image/jpeg"),
    problems: [
      [400, "frame-id-malformed"],
      [404, "picture-unknown"],
      [503, "search-busy, frame-archive-unreachable"],
    ],
  }),
};
