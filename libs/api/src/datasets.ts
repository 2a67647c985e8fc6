/** Dataset versions: labelled frames of one model, frozen before anything is trained on them. */
import { z } from "zod";
import { limit, listOf } from "./parts.ts";
import { bytes, json, route } from "./route.ts";

export const datasetKinds = ["BASE", "RETRAINING"] as const;

const counts = z.record(z.string(), z.number().int());

export const datasetSchema = z.object({
  model: z.string(),
  version: z.string().describe("The first 12 digits of md5."),
  kind: z
    .enum(["UNKNOWN", ...datasetKinds])
    .describe("BASE: labelled photos that a person pushed. RETRAINING: frames of devices, chosen for one training."),
  md5: z.string().describe("MD5 of DVC's list of files, without the suffix .dir."),
  frames: z.number().int(),
  bytes: z.number(),
  createdAt: z.string(),
  createdBy: z.string(),
  runId: z.string().describe("Training that it was frozen for; empty of BASE."),
  verdictId: z.string().describe("Verdict of drift that it is about; empty if none."),
  baseVersion: z.string().describe("Version of the base set that is replayed with it; empty of BASE."),
  parts: z
    .array(
      z.object({
        slice: z.string().describe("base, or KEY=VALUE as site=north."),
        split: z.enum(["UNKNOWN", "TRAIN", "TUNE", "GATE"]),
        frames: z.number().int(),
        classes: counts.describe("Frames by class."),
      }),
    )
    .describe("What it consists of."),
  labelSources: counts.describe("Frames by source of their label: PERSON, IMPORT, MEASUREMENT, CLOUD."),
  devices: z.number().int().describe("Devices that the frames come from."),
  leftOut: counts.describe("Frames that were asked for and left out, by reason."),
});
export type DatasetView = z.output<typeof datasetSchema>;

export const datasetDetailSchema = datasetSchema.extend({
  query: z.looseObject({}).describe("Which frames were asked for."),
});
export type DatasetDetail = z.output<typeof datasetDetailSchema>;

const datasetQuery = z.strictObject({
  model: z.string().min(1).max(256).optional(),
  kind: z.enum(datasetKinds).optional(),
  limit: limit(100),
});
export type DatasetQuery = z.output<typeof datasetQuery>;

/** Of both: what the gateway has from the trainer, byte for byte. */
const documents = {
  manifest: {
    summary: "Its frames, a JSON object a line: file, sha256, label, labelSource, slice, split, frameId, deviceId.",
    response: bytes("application/x-ndjson", "manifest.jsonl of the dataset."),
  },
  dvc: {
    summary: "The .dvc file by which `dvc pull` gets its frames.",
    response: bytes("application/yaml", "MODEL-VERSION.dvc."),
  },
} as const;

const FROM_TRAINER = [
  [404, "dataset-unknown"],
  [501, "trainer-not-configured"],
  [502, "trainer-refuses, trainer-bad-response"],
  [503, "trainer-unreachable"],
] as const;

export const datasets = {
  list: route({
    method: "GET",
    path: "/api/v1/datasets",
    summary: "Dataset versions, the newest first.",
    query: datasetQuery,
    response: json("Dataset versions.", listOf(datasetSchema)),
    problems: [[400, "request-invalid"]],
  }),
  one: route({
    method: "GET",
    path: "/api/v1/datasets/{model}/{version}",
    summary: "One dataset version: its parts, label sources and lineage.",
    response: json("The dataset version.", datasetDetailSchema),
    problems: [[404, "dataset-unknown"]],
  }),
  manifest: route({
    method: "GET",
    path: "/api/v1/datasets/{model}/{version}/manifest",
    ...documents.manifest,
    problems: FROM_TRAINER,
  }),
  dvc: route({
    method: "GET",
    path: "/api/v1/datasets/{model}/{version}/dvc",
    ...documents.dvc,
    problems: FROM_TRAINER,
  }),
};

const pushBody = z.strictObject({
  manifestDigest: z.string().regex(/^[0-9a-f]{64}$/, "expected a SHA-256: 64 lower-case hex digits"),
  by: z
    .string()
    .trim()
    .min(1)
    .max(128)
    .regex(/^\P{Cc}*$/u, "expected one line of text"),
});
export type BaseSetRequest = z.output<typeof pushBody>;

/** The trainer's own, see `trainerApi`. */
export const trainerDatasets = {
  push: route({
    method: "PUT",
    path: "/datasets/{model}",
    summary:
      "Makes an uploaded set of labelled photos the base set of a model; answers 201 once it is frozen, 200 where it is that set already.",
    body: pushBody,
    response: json("The dataset version.", datasetDetailSchema),
    problems: [],
  }),
  manifest: route({
    method: "GET",
    path: "/datasets/{model}/{version}/manifest",
    ...documents.manifest,
    problems: [[404, "dataset-unknown"]],
  }),
  dvc: route({
    method: "GET",
    path: "/datasets/{model}/{version}/dvc",
    ...documents.dvc,
    problems: [[404, "dataset-unknown"]],
  }),
};
