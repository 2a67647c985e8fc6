import { ConfigError, sharedBlocks } from "@tributary/config";
import { packageLimits } from "@tributary/inference";
import { CORRUPTIONS, marginsSchema } from "@tributary/model-packaging";
import { isLoopback } from "@tributary/service-kit";
import { z } from "zod";

const positive = z.number().int().positive();
const folder = z.string().min(1);
const modelName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "expected a model's name");

export const configSchema = z.strictObject({
  ...sharedBlocks,
  auth: z
    .strictObject({
      /** Bearer tokens; any of them may change something, and read pictures and validation sets. Devices read packages without one.
       * Empty: changes are open, on loopback only, and pictures too, if http names no other hosts or origins. */
      tokens: z
        .array(z.string().regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces"))
        .max(100)
        .default([]),
    })
    .prefault({}),
  /** Signed metadata, the online keys, and packages under validation; blobs too, unless they are in S3. */
  dataDir: folder,
  blobs: z
    .strictObject({
      /** Left out: `blobs` in dataDir. */
      s3: z
        .strictObject({
          bucket: z.string().min(1),
          prefix: z.string().max(512).default(""),
          region: z.string().min(1).default("us-east-1"),
          /** Of another server than AWS'. */
          endpointUrl: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }).optional(),
        })
        .optional(),
      /** Of one file of a package. */
      bytesMax: positive.max(packageLimits.fileBytesMax).default(256 << 20),
      /** Of the folder as a whole. */
      totalBytesMax: positive.default(64 * 2 ** 30),
      uploadsMax: positive.max(100).default(8),
      downloadsMax: positive.max(10_000).default(200),
      /** A download is cut off when the device takes nothing of it for so long. */
      downloadIdleMsMax: positive.max(3_600_000).default(60_000),
      /** What no model names is removed when it is so old; an upload that takes longer starts again. */
      unusedHoursMax: positive.default(7 * 24),
    })
    .prefault({}),
  tuf: z
    .strictObject({
      /** Folder with targets.pem, snapshot.pem, timestamp.pem; left out: `keys/online` in dataDir. */
      keys: folder.optional(),
      /** Folder with N.root.json that are put into the metadata where it lacks them, e.g. a mounted secret. */
      roots: folder.optional(),
      /** Folder of the metadata; left out: `metadata` in dataDir. */
      metadata: folder.optional(),
      /** How often it checks whether metadata must be signed again. */
      refreshMs: positive.max(6 * 3_600_000).default(600_000),
    })
    .prefault({}),
  checks: z
    .strictObject({
      packageBytesMax: positive.max(packageLimits.packageBytesMax).default(512 << 20),
      /** All frames of a validation set that is pushed. */
      validationBytesMax: positive.default(2 * 2 ** 30),
      /** How many times slower than this machine each hardware class is: golden frames are timed here. */
      hardwareClasses: z.record(z.string().min(1).max(256), z.number().positive().max(10_000)).default({ generic: 1 }),
      threads: positive.max(64).default(1),
      msMax: positive.default(300_000),
      /** Packages that wait to be examined. */
      waitingMax: positive.max(1_000).default(16),
    })
    .prefault({}),
  /** Folder of validation frames by model name, as for `tributary models gate`, until a set is pushed for the name
   * (`tributary validation push`). Without either a challenger is not evaluated. */
  validation: z.record(modelName, folder).default({}),
  gate: z
    .strictObject({
      margins: marginsSchema.prefault({}),
      /** What the fleet needs of a model: ms for a frame on its hardware, p99, by name. Without it: the champion's times. */
      latencySlaMs: z.record(modelName, positive).default({}),
      /** Frames damaged in each way; 0: none. */
      corrupted: z.number().int().min(0).default(500),
      /** Kinds of damage by name of model; by default those that its validation frames suggest. */
      robustness: z.record(modelName, z.array(z.enum(CORRUPTIONS)).min(1)).default({}),
      threads: positive.max(64).default(1),
      msMax: positive.default(1_800_000),
      /** Attempts of a gate that does not finish. */
      attemptsMax: positive.max(100).default(3),
    })
    .prefault({}),
  /** A model that gets the alias challenger in MLflow is imported. */
  mlflow: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }),
      /** Bearer token, where the server wants one. */
      token: z.string().min(1).optional(),
      /** Our name by MLflow's. */
      models: z.record(z.string().min(1).max(256), modelName),
      pollMs: positive.min(100).default(15_000),
      /** Package of the cloud model by our name: what is packed here then gets a routing policy learned against it. */
      cloud: z.record(modelName, folder).default({}),
      timeoutMs: positive.default(30_000),
    })
    .optional(),
});

export type RegistryConfig = z.output<typeof configSchema>;

/** Whoever can reach an open registry can list a model and read pictures, so an open one listens on loopback only. */
export function checkConfig(config: RegistryConfig): void {
  const problems: string[] = [];
  if (config.auth.tokens.length === 0 && !isLoopback(config.http.host)) {
    problems.push(
      `auth.tokens: at least one token is needed when http.host is ${config.http.host}; only loopback may be open`,
    );
  }
  if (config.blobs.bytesMax > config.blobs.totalBytesMax) {
    problems.push("blobs.bytesMax: one blob cannot be larger than blobs.totalBytesMax");
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}
