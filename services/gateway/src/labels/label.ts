/** Labels as the public API takes and gives them. */
import { GROUND_TRUTH_SOURCES } from "@tributary/contracts";
import { z } from "zod";
import { answerSchema } from "../answers/answer.ts";

export const LABELS_MAX = 1_000;
const text = (charsMax: number) => z.string().max(charsMax);

/** Loose where one bad label must not cost its batch: what it is judged by is in check-label.ts. */
export const labelSchema = z.strictObject({
  frameId: text(400).describe("deviceId:bootId:cameraId:frameSeq"),
  label: text(256).nullable().describe("The true class; null: it cannot be labelled, so nobody is asked again."),
  source: z.enum(GROUND_TRUTH_SOURCES).default("PERSON").describe("Where the label comes from."),
  labelledBy: text(256).default("").describe("Who or what labelled it."),
  labelledAt: z.iso.datetime({ offset: true }).optional().describe("RFC 3339; now unless told."),
  labelSet: text(256).nullable().default(null).describe("Name of the list of classes or of the labelling project."),
  comment: text(1_000).nullable().default(null),
});
export type Label = z.output<typeof labelSchema>;

export const labelBatchSchema = z.strictObject({
  labels: z.array(labelSchema).min(1).max(LABELS_MAX),
  allowUnknown: z
    .boolean()
    .default(false)
    .describe("Takes labels of frames that Kafka does not hold (any more); their class cannot be checked."),
  dryRun: z.boolean().default(false).describe("Checks everything and writes nothing."),
});
export type LabelBatch = z.output<typeof labelBatchSchema>;

export const labelRefusals = [
  "frame-id-malformed",
  "frame-unknown",
  "frame-search-bounded",
  "label-unknown",
  "label-empty",
] as const;
export type LabelRefusal = (typeof labelRefusals)[number];

export const labelResultSchema = z.object({
  accepted: z.number().int().describe("Stored in Kafka; with dryRun: would be."),
  repeated: z.number().int().describe("Said already, so not written again."),
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

export const nextQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(20),
  deviceId: z.string().optional(),
  why: z.enum(["SAMPLE", "DISAGREEMENT"]).optional(),
});

export const nextLabelSchema = z.object({
  frameId: z.string(),
  why: z
    .enum(["SAMPLE", "DISAGREEMENT"])
    .describe("SAMPLE: drawn at random, so its label counts for all frames. DISAGREEMENT: edge and cloud differ."),
  classes: z.array(z.string()).describe("Of the model's policy; empty when that is not known here."),
  image: z.string().describe("Path of the JPEG on this gateway; there as long as Kafka keeps the frame."),
  answer: answerSchema,
});
export type NextLabel = z.output<typeof nextLabelSchema>;
