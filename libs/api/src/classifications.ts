/** Final answers. 64-bit numbers are decimal strings, as in Protobuf's JSON. */
import { z } from "zod";
import { frameIdParameter, limit, listOf } from "./parts.ts";
import { events, json, route } from "./route.ts";

const long = z.string().regex(/^\d+$/);
const probability = z.number();

export const answerSources = ["EDGE", "CLOUD"] as const;
export const settledBy = [
  "KEPT",
  "CLOUD_ANSWER",
  "DEADLINE",
  "DEADLINE_UNREACHABLE",
  "FLEET_BUDGET",
  "CLOUD_UNHEALTHY",
  "CLOUD_FAILED",
  "FRAME_REFUSED",
  "DEVICE_DROPPED",
] as const;

export const answerSchema = z.object({
  frameId: z.string().describe("deviceId:bootId:cameraId:frameSeq"),
  deviceId: z.string(),
  bootId: long,
  cameraId: z.string(),
  frameSeq: long,
  label: z.string().describe("The final class."),
  source: z.enum(["UNKNOWN", ...answerSources]).describe("Whose label it is."),
  confidence: probability.describe("Calibrated probability of the label by its source, 0 to 1."),
  reason: z.string().describe("Why the device wanted a cloud answer; NONE for a kept frame."),
  settledBy: z.enum(["UNKNOWN", ...settledBy]).describe("What settled it."),
  edgeLabel: z.string(),
  edgeConfidence: probability,
  edgeMargin: probability,
  score: z.number().describe("Estimated gain of the cloud, as the device logged it."),
  admission: z
    .object({
      lambda: z.number().describe("Price of a cloud call at that moment, in the unit of utility."),
      utility: z.number().describe("Expected worth of asking the cloud; above lambda it pays."),
      reachProbability: probability.describe("Estimated probability of an answer in time."),
      tokens: z.number().describe("Cloud calls the fleet's budget held."),
    })
    .nullable()
    .describe("What the router weighed; null where it weighed nothing: kept, dropped, or never came."),
  cloudLabel: z.string().nullable(),
  cloudTarget: z.string().nullable(),
  modelDigest: z.string(),
  policyVersion: z.string(),
  arm: z.string(),
  sampleCorrectness: probability.describe("q"),
  samplePropensity: probability.describe("pi"),
  sampleDrawn: z.boolean(),
  level: z
    .enum(["UNKNOWN", "FULL", "LITE", "STALE", "CLOUD"])
    .describe("What answered it on the device: its model, LITE, or the camera's last label (STALE, CLOUD)."),
  capturedAt: z.string().nullable().describe("By the device's clock, if it knew."),
  latencyMs: z.number().describe("Capture to this answer."),
  costMicros: z.number(),
  traceparent: z.string().nullable(),
  answeredAt: z.string().describe("When Kafka stored the answer."),
  partition: z.number().int(),
  offset: long.describe("Of its record; a frame's final answer is the one with the lowest."),
});
export type Answer = z.output<typeof answerSchema>;

const answerFilter = z.strictObject({
  deviceId: z.string().optional(),
  source: z.enum(answerSources).optional(),
  settledBy: z.enum(settledBy).optional(),
});
export type AnswerFilter = z.output<typeof answerFilter>;
const answerQuery = answerFilter.extend({ limit: limit(100) });
export type AnswerQuery = z.output<typeof answerQuery>;

export const classifications = {
  list: route({
    method: "GET",
    path: "/api/v1/classifications",
    summary: "The newest final answers, newest first.",
    query: answerQuery,
    response: json("Final answers.", listOf(answerSchema)),
    problems: [[400, "request-invalid"]],
  }),
  events: route({
    method: "GET",
    path: "/api/v1/classifications/events",
    summary: "Final answers as they come, as server-sent events.",
    description:
      "Events named `classification` carry one answer each; comments come as heartbeats. A client that does not read is disconnected; it may connect again and ask for what it missed by the list above.",
    query: answerFilter,
    response: events("classification", answerSchema),
    problems: [
      [400, "request-invalid"],
      [503, "events-busy"],
    ],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/classifications/{frameId}",
    summary: "The final answer of one frame: its record with the lowest offset.",
    parameters: frameIdParameter,
    response: json("The final answer.", answerSchema),
    problems: [
      [400, "frame-id-malformed"],
      [404, "answer-unknown"],
      [503, "search-busy"],
    ],
  }),
};
