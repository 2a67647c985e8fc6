/** Configuration of the classifier. A backend's keys stand in `backends/*-config.ts`, those of all in `call-settings.ts`. */
import { sharedBlocks } from "@tributary/config";
import { z } from "zod";
import { onnxKeys } from "./backends/onnx-config.ts";
import { kserveKeys, tfServingKeys } from "./backends/remote-config.ts";
import { sagemakerKeys } from "./backends/sagemaker-config.ts";
import { callSettings, positive } from "./call-settings.ts";

const targetName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected a target name");

// The failures of a local model are those of a process beside us: asking again costs nobody anything.
const local = callSettings({ batchMax: 16, callsMax: 1, retryShareMax: 1 });
const remote = callSettings({ batchMax: 16, callsMax: 8, retryShareMax: 0.1 });
const sagemaker = callSettings({ batchMax: 1, callsMax: 16, retryShareMax: 0.1 });

const target = z.discriminatedUnion("backend", [
  z.strictObject({ ...onnxKeys, ...local }),
  z.strictObject({ ...kserveKeys, ...remote }),
  z
    .strictObject({ ...tfServingKeys, ...remote })
    .refine(
      ({ version, versionLabel }) => version === undefined || versionLabel === undefined,
      "version and versionLabel exclude each other",
    ),
  z
    .strictObject({ ...sagemakerKeys, ...sagemaker })
    .refine(({ body, batchMax }) => body === "json" || batchMax === 1, "batchMax: a jpeg body holds one frame"),
]);

export const configSchema = z.strictObject({
  ...sharedBlocks,
  /** By the name that routing policies call `cloudTarget`. */
  targets: z
    .record(targetName, target)
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
/** What every target has. */
export type CallSettings = z.output<z.ZodObject<typeof remote>>;
