/** A final answer as the public API shows it. 64-bit numbers are decimal strings, as in Protobuf's JSON. */
import { ANSWER_SOURCES, type Classifications, type FinalAnswer, SETTLED_BY } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";
import { z } from "zod";

const long = z.string().regex(/^\d+$/);
const probability = z.number();

export const answerSchema = z.object({
  frameId: z.string().describe("deviceId:bootId:cameraId:frameSeq"),
  deviceId: z.string(),
  bootId: long,
  cameraId: z.string(),
  frameSeq: long,
  label: z.string().describe("The final class."),
  source: z.enum(["UNKNOWN", ...ANSWER_SOURCES]).describe("Whose label it is."),
  confidence: probability.describe("Calibrated probability of the label by its source, 0 to 1."),
  reason: z.string().describe("Why the device wanted a cloud answer; NONE for a kept frame."),
  settledBy: z.enum(["UNKNOWN", ...SETTLED_BY]).describe("What settled it."),
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
  capturedAt: z.string().nullable().describe("By the device's clock, if it knew."),
  latencyMs: z.number().describe("Capture to this answer."),
  costMicros: z.number(),
  traceparent: z.string().nullable(),
  answeredAt: z.string().describe("When Kafka stored the answer."),
  partition: z.number().int(),
  offset: long.describe("Of its record; a frame's final answer is the one with the lowest."),
});
export type Answer = z.output<typeof answerSchema>;

export type Stored = { readonly partition: number; readonly offset: bigint; readonly timestamp: number };

export const answersOf = (record: Classifications, at: Stored): Answer[] =>
  record.answers.map((answer) => answerOf(record, answer, at));

function answerOf(record: Classifications, answer: FinalAnswer, at: Stored): Answer {
  const { deviceId, bootId } = record;
  return {
    ...answer,
    frameId: formatFrameId({ deviceId, bootId, cameraId: answer.cameraId, frameSeq: answer.frameSeq }),
    deviceId,
    bootId: `${bootId}`,
    frameSeq: `${answer.frameSeq}`,
    costMicros: Number(answer.costMicros),
    capturedAt: isoOf(answer.capturedAt),
    answeredAt: new Date(at.timestamp).toISOString(),
    partition: at.partition,
    offset: `${at.offset}`,
  };
}

/** Null also for what no date can be: a device's clock may say anything. */
export const isoOf = (ms: number | null): string | null =>
  ms === null || Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString();
