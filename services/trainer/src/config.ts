import { ConfigError, httpUrl, sharedBlocks } from "@tributary/config";
import { isPackageName, PACKAGE_EXPECTED } from "@tributary/models";
import { isLoopback } from "@tributary/service-kit";
import { neededSplits, type RunSettings, runDefaults, splitSum, splitWords } from "@tributary/training";
import { Cron } from "croner";
import { z } from "zod";
import { backendSchema } from "./backends/index.ts";
import { mlflowSchema } from "./mlflow/mlflow-log.ts";

const positive = z.number().int().positive();
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const modelName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "expected a model's name");
const { labels: labelDefaults } = runDefaults;

const s3Place = z.strictObject({
  bucket: z.string().min(1),
  prefix: z
    .string()
    .regex(/^([A-Za-z0-9][A-Za-z0-9._=-]*\/)*$/, "expected NAME/ or NAME/NAME/")
    .max(256)
    .default(""),
  region: z.string().min(1).default("us-east-1"),
  /** Of another server than AWS'. */
  endpointUrl: httpUrl.optional(),
});
export type S3Config = z.output<typeof s3Place>;

/** The consumer group. */
export const GROUP = "trainer";

export const configSchema = z.strictObject({
  ...sharedBlocks,
  auth: z
    .strictObject({
      /** Bearer tokens; any of them may start and stop trainings, and read datasets. Trainings are read without one. Empty: all is open,
       * on loopback only, and datasets only if http names no other hosts or origins. */
      tokens: z
        .array(z.string().regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces"))
        .max(100)
        .default([]),
    })
    .prefault({}),
  /** Results of jobs, folders of local ones, and what is made while packing. */
  dataDir: z.string().min(1),
  /** Champions, validation frames and packages come from it, candidates go to it. */
  modelRegistry: z.strictObject({
    url: httpUrl,
    token: z.string().min(1).optional(),
    /** Of one call; it examines a package before it answers. */
    timeoutMs: positive.max(HOUR).default(15 * MINUTE),
  }),
  /** Who trains (backends/README.md). */
  backend: backendSchema.prefault({ kind: "local" }),
  /** Pictures of frames come from it. */
  frameArchive: z
    .strictObject({ url: httpUrl, token: z.string().min(1).optional() })
    .prefault({ url: "http://127.0.0.1:8088" }),
  /** Where jobs leave what they trained. */
  results: z
    .strictObject({
      /** For jobs that reach no folder of the trainer, and for several instances. Left out: `results` in dataDir. */
      s3: s3Place.optional(),
    })
    .prefault({}),
  /** An MLflow that shows trainings; left out: none (src/mlflow/mlflow-log.ts). */
  mlflow: mlflowSchema.optional(),
  /** Dataset versions, as a remote of DVC. */
  datasets: z
    .strictObject({
      /** Left out: `datasets` in dataDir. */
      s3: s3Place.optional(),
      /** Of one base set; and of all uploads that wait to become one. */
      baseSetBytesMax: positive.default(4 * 2 ** 30),
      uploadBytesMax: positive.default(8 * 2 ** 30),
      /** Uploads that became nothing are removed after this time, when another set is pushed. */
      uploadMsMax: positive.default(DAY),
      /** Archived frames, and labels without one, that are known at a time: about 100 bytes each, and 200 more of one that is labelled. Of
       * more, frames without a label are forgotten first, the oldest of them first; the metric tributary_training_frames_evicted_total
       * counts them. */
      framesMax: positive.min(1_000).max(20_000_000).default(2_000_000),
      /** Of decoding the pictures of one set. */
      decodeMsMax: positive.max(HOUR).default(10 * MINUTE),
    })
    .prefault({}),
  /** How many labels a training waits for, and for how long. */
  labels: z
    .strictObject({
      wanted: positive.max(100_000).default(labelDefaults.wanted),
      /** After `waitMs` fewer are used, but at least these to train on, and these to judge with. */
      trainMin: positive.max(100_000).default(labelDefaults.trainMin),
      gateMin: positive.min(100).max(20_000).default(labelDefaults.gateMin),
      waitMs: positive.max(365 * DAY).default(labelDefaults.waitMs),
      /** Of its answers the cloud's probability, from which they count as labels, in trainings without drift. Null: they do not. */
      cloudFloor: z.number().min(0.5).max(1).nullable().default(null),
      /** Age of the oldest frame of a training without drift. */
      lookbackMs: positive.max(365 * DAY).default(labelDefaults.lookbackMs),
    })
    .prefault({}),
  triggers: z
    .strictObject({
      /** New labels of a model since its last dataset. */
      labelsNew: positive.default(labelDefaults.newMin),
      /** Cron, in UTC: of every model that has a champion; quarterly by default. Null: none. */
      schedule: z.string().min(9).max(100).nullable().default("0 3 1 1,4,7,10 *"),
      /** Rest of a cause after its training ended, and after one that was refused. */
      cooldownMs: z.number().int().min(0).default(runDefaults.cooldownMs),
      refusedCooldownMs: z.number().int().min(0).default(runDefaults.refusedCooldownMs),
      /** Of a model, apart from those that a person starts. */
      runsPerWeekMax: positive.max(1_000).default(runDefaults.runsPerWeekMax),
    })
    .prefault({}),
  packing: z
    .strictObject({
      /** By model: the package that its routing policy is learned against, a folder, or NAME@VERSION or NAME@ALIAS of the registry. */
      cloud: z.record(modelName, z.string().min(1).refine(isPackageName, PACKAGE_EXPECTED)).default({}),
      threads: positive.max(64).default(1),
      msMax: positive.max(12 * HOUR).default(30 * MINUTE),
    })
    .prefault({}),
  limits: z
    .strictObject({
      attemptsMax: positive.max(99).default(runDefaults.attemptsMax),
      /** Wait before the second attempt; five times longer before each further one, up to an hour. */
      retryMsMin: positive.max(HOUR).default(runDefaults.backoff.minMs),
      /** A job that runs for longer is cancelled. */
      jobMsMax: positive.max(30 * DAY).default(runDefaults.jobMsMax),
      /** How long the registry or the backend may be unreachable in a phase that needs it. */
      outageMsMax: positive.max(30 * DAY).default(runDefaults.outageMsMax),
      rolloutWaitMs: positive.max(30 * DAY).default(runDefaults.rolloutWaitMs),
      restartsMax: z.number().int().min(0).max(99).default(runDefaults.restartsMax),
      /** What trainings do at a time: freezing, packing, calls. */
      effectsMax: positive.max(64).default(4),
      lookEveryMs: positive.min(20).max(MINUTE).default(500),
      labelsEveryMs: positive.max(HOUR).default(MINUTE),
      jobEveryMs: positive.max(HOUR).default(5_000),
      outageEveryMs: positive.max(HOUR).default(30_000),
      /** Ended trainings are kept for this time. */
      endedDaysMax: positive.max(3_650).default(365),
    })
    .prefault({}),
});
export type TrainerConfig = z.output<typeof configSchema>;

/** Checks the bounds against each other, and who may change something. */
export function checkConfig(config: TrainerConfig): void {
  const { auth, datasets, http, labels, triggers } = config;
  const problems: string[] = [];
  if (auth.tokens.length === 0 && !isLoopback(http.host)) {
    problems.push(
      `auth.tokens: at least one token is needed when http.host is ${http.host}; only loopback may be open`,
    );
  }
  const needed = neededSplits(labels);
  if (labels.wanted < splitSum(needed)) {
    problems.push(`labels.wanted: at least ${splitSum(needed)}, ${splitWords(needed)}`);
  }
  const most = Math.max(labels.wanted, triggers.labelsNew);
  if (most > datasets.framesMax) {
    problems.push(`datasets.framesMax: at least labels.wanted and triggers.labelsNew, ${most}`);
  }
  if (triggers.schedule !== null && scheduleOf(triggers.schedule) === undefined) {
    problems.push(`triggers.schedule: "${triggers.schedule}" is no cron expression of five fields`);
  }
  problems.push(...placeProblems(config));
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}

/** A job of SageMaker reaches S3 alone, a local one leaves its results in a folder. */
function placeProblems({ backend, datasets, results }: TrainerConfig): readonly string[] {
  const { kind } = backend;
  if (kind === "local") {
    return results.s3 === undefined ? [] : ["results.s3: a local training leaves its results in a folder of dataDir"];
  }
  if (kind !== "sagemaker") return [];
  const missing = Object.entries({ datasets, results }).filter(([, { s3 }]) => s3 === undefined);
  return missing.map(([block]) => `${block}.s3: needed, since SageMaker's jobs reach no folder of the trainer`);
}

/** Undefined: it is none. */
export function scheduleOf(expression: string): Cron | undefined {
  try {
    return new Cron(expression, { timezone: "UTC", mode: "5-part", paused: true });
  } catch {
    return undefined;
  }
}

const countsOf = ({ cloudFloor: _, ...counts }: TrainerConfig["labels"]) => counts;

export const runSettingsOf = ({ labels, triggers, limits }: TrainerConfig): RunSettings => ({
  ...runDefaults,
  labels: { ...countsOf(labels), newMin: triggers.labelsNew },
  cooldownMs: triggers.cooldownMs,
  refusedCooldownMs: triggers.refusedCooldownMs,
  runsPerWeekMax: triggers.runsPerWeekMax,
  attemptsMax: limits.attemptsMax,
  backoff: { ...runDefaults.backoff, minMs: limits.retryMsMin },
  jobMsMax: limits.jobMsMax,
  outageMsMax: limits.outageMsMax,
  rolloutWaitMs: limits.rolloutWaitMs,
  restartsMax: limits.restartsMax,
});
