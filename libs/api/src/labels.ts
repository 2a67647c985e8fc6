/** Labels as the public API takes and gives them. */
import { z } from "zod";
import { answerSchema } from "./classifications.ts";
import { limit, listOf } from "./parts.ts";
import { json, route } from "./route.ts";

/** Labels of one request. */
export const LABELS_MAX = 1_000;
const text = (charsMax: number) => z.string().max(charsMax);

/** Loose where one bad label must not cost its batch: the gateway judges each by itself. */
const labelSchema = z.strictObject({
  frameId: text(400).describe("deviceId:bootId:cameraId:frameSeq"),
  label: text(256).nullable().describe("The true class; null: it cannot be labelled, so nobody is asked again."),
  source: z.enum(["PERSON", "IMPORT", "MEASUREMENT"]).default("PERSON").describe("Where the label comes from."),
  labelledBy: text(256).default("").describe("Who or what labelled it."),
  labelledAt: z.iso.datetime({ offset: true }).optional().describe("RFC 3339; now by default."),
  labelSet: text(256).nullable().default(null).describe("Name of the list of classes or of the labelling project."),
  comment: text(1_000).nullable().default(null),
});
export type Label = z.output<typeof labelSchema>;

const labelBatchSchema = z.strictObject({
  labels: z.array(labelSchema).min(1).max(LABELS_MAX),
  allowUnknown: z
    .boolean()
    .default(false)
    .describe("Takes labels of frames that Kafka does not hold (any more); their class cannot be checked."),
  dryRun: z.boolean().default(false).describe("Checks everything and writes nothing."),
});
export type LabelBatch = z.output<typeof labelBatchSchema>;

const labelRefusals = [
  "frame-id-malformed",
  "frame-unknown",
  "frame-search-bounded",
  "label-unknown",
  "label-empty",
] as const;
export type LabelRefusal = (typeof labelRefusals)[number];

const labelResultSchema = z.object({
  accepted: z.number().int().describe("Stored in Kafka; with dryRun: would be."),
  repeated: z.number().int().describe("Stored already, so not written again."),
  unchecked: z.number().int().describe("Of the accepted: frames that are unknown here, taken by allowUnknown."),
  refused: z
    .array(
      z.object({
        index: z.number().int().describe("Place in the batch, from 0."),
        frameId: z.string(),
        code: z.enum(labelRefusals).describe("Stable; programs decide by it."),
        message: z.string().describe("What is wrong, by name, and what to do."),
      }),
    )
    .describe("Every label that was not taken; the others were."),
});
export type LabelResult = z.output<typeof labelResultSchema>;

const labelWhys = ["TRAINING", "SAMPLE", "DISAGREEMENT"] as const;
const nextQuery = z.strictObject({
  limit: limit(20),
  deviceId: z.string().optional(),
  why: z.enum(labelWhys).optional(),
  training: z.string().min(1).max(128).optional().describe("Id of a training: only frames that it waits for."),
  by: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe(
      "Who labels: of the frames of a training that somebody else labelled, one in twenty and those that the cloud contradicts are listed a second time, so that it is known how often labels are wrong.",
    ),
});
export type NextLabelQuery = z.output<typeof nextQuery>;

const nextLabelSchema = z.object({
  frameId: z.string(),
  why: z
    .enum(labelWhys)
    .describe(
      "TRAINING: a training waits for labels of such frames. SAMPLE: drawn at random, so its label counts for all frames. DISAGREEMENT: edge and cloud differ.",
    ),
  training: z.string().nullable().describe("Of TRAINING: the id of the training."),
  classes: z.array(z.string()).describe("Of the model's policy; empty when that is not known here."),
  image: z
    .string()
    .describe("Path of the JPEG on this gateway; there as long as Kafka or the frame archive keeps the frame."),
  answer: answerSchema.describe(
    "Of an archived frame that is older than the answers in memory: what the archive recorded, with settledBy UNKNOWN.",
  ),
});
export type NextLabel = z.output<typeof nextLabelSchema>;

export const labels = {
  take: route({
    method: "POST",
    path: "/api/v1/labels",
    summary: "Takes labels of frames, by people or measurements; answers once Kafka has them.",
    description:
      "Each label is judged alone: bad ones are named in the answer, the others are stored. Sending a batch again is safe.",
    body: labelBatchSchema,
    response: json("What became of each.", labelResultSchema),
    problems: [
      [400, "request-invalid"],
      [503, "kafka-unavailable, search-busy"],
    ],
  }),
  next: route({
    method: "GET",
    path: "/api/v1/labels/next",
    summary:
      "The next frames worth a person's label: those that a training waits for, drawn samples, those edge and cloud disagree on.",
    query: nextQuery,
    response: json("Frames without a label, in the order in which they are best labelled.", listOf(nextLabelSchema)),
    problems: [
      [400, "request-invalid"],
      [404, "training-unknown"],
    ],
  }),
};
