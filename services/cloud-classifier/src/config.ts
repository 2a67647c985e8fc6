import { sharedBlocks } from "@tributary/config";
import { z } from "zod";
import { kserveKeys, tfServingKeys } from "./backends/remote-config.ts";

const positive = z.number().int().positive();

/** Of every target, whatever its backend. */
const target = {
  /** Frames a call may hold. */
  batchMax: positive.max(256).default(16),
  /** How long a call may wait for company. */
  batchWaitMs: z.number().int().min(0).max(1_000).default(5),
  /** What may wait for the backend; beyond it ordinary frames are shed (G9). */
  queueFramesMax: positive.max(100_000).default(512),
  queueBytesMax: positive.default(128 * 1024 * 1024),
  /** A call lasts no longer; a local model that answers nothing for so long is ended and loaded again. */
  callMsMax: positive.max(600_000).default(10_000),
  /** Millionths of the currency in which costs are told. */
  costMicrosPerCall: z.number().int().min(0).default(0),
};

const targetSchema = z.discriminatedUnion("backend", [
  z.strictObject({
    backend: z.literal("onnx"),
    /** Folder of the model package. */
    package: z.string().min(1),
    threads: positive.max(64).default(1),
    ...target,
  }),
  z.strictObject({ ...kserveKeys, ...target }),
  z
    .strictObject({ ...tfServingKeys, ...target })
    .refine(
      ({ version, versionLabel }) => version === undefined || versionLabel === undefined,
      "version and versionLabel exclude each other",
    ),
]);

export const configSchema = z.strictObject({
  ...sharedBlocks,
  /** By the name that routing policies call `cloudTarget`. */
  targets: z
    .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected a target name"), targetSchema)
    .refine((targets) => Object.keys(targets).length > 0, "expected at least one target"),
  consumer: z
    .strictObject({
      /** Records of one partition taken at a time: how long a normal batch may hold back a high one. */
      recordsMax: positive.max(10_000).default(32),
    })
    .prefault({}),
});

export type ClassifierConfig = z.output<typeof configSchema>;
export type TargetConfig = ClassifierConfig["targets"][string];
