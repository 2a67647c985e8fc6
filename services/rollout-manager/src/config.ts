import { ConfigError, sharedBlocks } from "@tributary/config";
import { Failure } from "@tributary/kernel";
import { type ControllerSettings, controllerDefaults, EPOCH_MAX, pathText } from "@tributary/rollouts";
import { isLoopback } from "@tributary/service-kit";
import { z } from "zod";
import { refuseUnprovided, SpecRefused, specOf } from "./creation/spec-problems.ts";

const positive = z.number().int().positive();
const MINUTE = 60_000;
const DAY = 86_400_000;

/** Defaults of the judge; evidence names the settings that differ. */
export const judgeDefaults = {
  lookEveryMs: MINUTE,
  settleMs: 5_000,
  preperiodHours: 24,
  silenceMs: controllerDefaults.silenceMs,
  heardShareMin: controllerDefaults.heardShareMin,
  exposureShare: controllerDefaults.exposureShare,
  plannedMs: 30 * MINUTE,
  propensityMean: 0.02,
} as const;

export const configSchema = z.strictObject({
  ...sharedBlocks,
  auth: z
    .strictObject({
      /** Bearer tokens; a change needs one of them. Empty: changes are open, on loopback only. */
      tokens: z
        .array(z.string().regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces"))
        .max(100)
        .default([]),
    })
    .prefault({}),
  /** Raise it by one after Kafka was restored from a backup: devices have seen generations that the log no longer has. */
  epoch: z.number().int().min(0).max(EPOCH_MAX).default(0),
  /** By model name: the specification of the rollout that starts when a version becomes challenger. `spec.model` is replaced. */
  defaults: z.record(z.string().min(1).max(128), z.unknown()).default({}),
  /** With it, a model whose rollout reached every device becomes champion. */
  modelRegistry: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }),
      token: z.string().min(1).optional(),
      timeoutMs: positive.max(60_000).default(5_000),
    })
    .optional(),
  /** For metrics with `provider: { prometheus }`: Prometheus, or a server with its HTTP API. */
  prometheus: z
    .strictObject({
      /** The address without /api/v1/query. */
      url: z.url({ protocol: /^https?$/, error: "expected http:// or https://" }),
      /** Credentials, if the server needs them: one of the two. */
      token: z.string().min(1).optional(),
      basic: z.strictObject({ user: z.string().min(1), password: z.string() }).optional(),
      /** E.g. X-Scope-OrgID. */
      headers: z
        .record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "expected the name of a header"), z.string().max(4_096))
        .default({}),
      /** Interval of the queried moments; best a multiple of the scrape interval. */
      everyMs: positive.min(250).max(600_000).default(MINUTE),
      /** Delay of the query of a moment: the samples scraped by then must be stored. */
      delayMs: z.number().int().min(0).max(600_000).default(15_000),
      timeoutMs: positive.max(60_000).default(10_000),
      answerBytesMax: positive.max(1024 ** 3).default(64 * 1024 * 1024),
      seriesMax: positive.max(1_000_000).default(100_000),
    })
    .optional(),
  judge: z
    .strictObject({
      /** Interval of looks, of record time; every instance looks at the same moments. */
      lookEveryMs: positive.min(250).max(3_600_000).default(judgeDefaults.lookEveryMs),
      /** Time that a look waits for records that are not in Kafka yet. */
      settleMs: z.number().int().min(0).max(600_000).default(judgeDefaults.settleMs),
      /** How far back metrics are read, for what devices did before the rollout. */
      preperiodHours: z.number().min(0).max(168).default(judgeDefaults.preperiodHours),
      /** A device of an arm that sends no frame for this time is silent. */
      silenceMs: positive.max(DAY).default(judgeDefaults.silenceMs),
      /** Share of the canary that must report, relative to the control's. */
      heardShareMin: z.number().min(0.5).max(1).default(judgeDefaults.heardShareMin),
      /** Share of an analysis' duration before which it cannot succeed: crashes take time. */
      exposureShare: z.number().min(0).max(1).default(judgeDefaults.exposureShare),
      /** Time after the start of a canary at which evidence of harm shall grow fastest. */
      plannedMs: positive.max(DAY).default(judgeDefaults.plannedMs),
      /** Propensity of the random sample at which a label weighs one frame: about the policies' sample budget. */
      propensityMean: z.number().min(1e-4).max(1).default(judgeDefaults.propensityMean),
    })
    .prefault({}),
  updates: z
    .strictObject({
      /** Frames that a new model runs on beside the old one, where a device has headroom. */
      shadowFrames: z.number().int().min(0).max(100_000).default(20),
      /** Frames that it must answer before the device commits to it. */
      probationFrames: z.number().int().min(0).max(100_000).default(50),
    })
    .prefault({}),
  fleet: z
    .strictObject({
      /** A report is inconsistent if frames that are later by more than this are of another model. */
      lieAfterMs: positive.max(DAY).default(MINUTE),
      /** A rollout does not wait for a device that has been silent for this time. */
      goneMs: positive.default(controllerDefaults.goneMs),
      /** A device that follows an older generation for this time is sent its desired state again. */
      resendMs: positive.min(1_000).default(15 * MINUTE),
    })
    .prefault({}),
  checkpoints: z
    .strictObject({
      /** Least time between two checkpoints of what is counted. An instance that starts again folds the topics from the last. */
      everyMs: positive
        .min(1_000)
        .max(DAY)
        .default(5 * MINUTE),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Finished rollouts that can still be undone. */
      finishedMax: positive.max(10_000).default(controllerDefaults.finishedMax),
      /** Time within which an appended event must be read back. */
      readBackMsMax: positive.max(600_000).default(10_000),
      /** Drawn frames in memory, without a label, and as many with one. Later labels and corrections need the log to be read again. */
      drawnFramesMax: positive.max(10_000_000).default(200_000),
      /** Labels that wait for a frame that did not come yet. */
      labelsWaitingMax: positive.max(10_000_000).default(50_000),
      /** Frames of which it is remembered that they were labelled, in 4 bytes each. */
      labelledFramesMax: positive.max(100_000_000).default(8_000_000),
      /** If nothing can be read for this time, an analysis ends with what was read by then; never with success. */
      foldBehindMsMax: positive.default(10 * MINUTE),
      /** Least interval of two records of one rollout in rollouts.v1. */
      statusEveryMs: positive.max(600_000).default(2_000),
      devicesMax: positive.max(10_000_000).default(1_000_000),
    })
    .prefault({}),
});

export type RolloutManagerConfig = z.output<typeof configSchema>;

export function checkConfig({ auth, http, defaults, judge, limits, prometheus }: RolloutManagerConfig): void {
  const problems: string[] = [];
  if (prometheus !== undefined) problems.push(...prometheusProblems(prometheus, judge));
  if (auth.tokens.length === 0 && !isLoopback(http.host)) {
    problems.push(
      `auth.tokens: at least one token is needed when http.host is ${http.host}; only loopback may be open`,
    );
  }
  if (judge.settleMs > judge.lookEveryMs * 10) {
    problems.push("judge.settleMs: at most 10 x judge.lookEveryMs, or looks are always late");
  }
  if (limits.foldBehindMsMax < 2 * judge.lookEveryMs + judge.settleMs) {
    problems.push("limits.foldBehindMsMax: at least 2 x judge.lookEveryMs + judge.settleMs");
  }
  for (const [name, written] of Object.entries(defaults)) {
    try {
      refuseUnprovided(specOf(defaultSpecOf(written, `${name}@challenger`)), { prometheus });
    } catch (error) {
      if (error instanceof SpecRefused) {
        problems.push(...error.problems.map(({ path, message }) => `defaults.${name}.${pathText(path)}: ${message}`));
      } else if (error instanceof Failure) problems.push(`defaults.${name}: ${error.message}`);
      else throw error;
    }
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}

function prometheusProblems(
  { url, token, basic, everyMs, delayMs }: NonNullable<RolloutManagerConfig["prometheus"]>,
  judge: RolloutManagerConfig["judge"],
): readonly string[] {
  const problems: string[] = [];
  const { username, password, search, hash } = new URL(url);
  if (username !== "" || password !== "") {
    problems.push("prometheus.url: credentials do not belong into it, since addresses are logged; use token or basic");
  } else if (search !== "" || hash !== "") problems.push("prometheus.url: expected an address without ? and #");
  if (token !== undefined && basic !== undefined) problems.push("prometheus: token or basic, not both");
  if (2 * everyMs + delayMs > judge.silenceMs) {
    problems.push(
      "prometheus.everyMs: 2 x it and delayMs are at most judge.silenceMs, or its samples are always stale",
    );
  }
  return problems;
}

/** The default specification of a model, for one of its versions. */
export function defaultSpecOf(written: unknown, model: string): unknown {
  if (typeof written !== "object" || written === null) return written;
  const { spec, ...rest } = written as { readonly spec?: unknown };
  return { ...rest, spec: { ...(typeof spec === "object" ? spec : {}), model } };
}

export function controllerSettingsOf({ judge, fleet, limits }: RolloutManagerConfig): Partial<ControllerSettings> {
  const settings = {
    lookEveryMs: judge.lookEveryMs,
    silenceMs: judge.silenceMs,
    heardShareMin: judge.heardShareMin,
    exposureShare: judge.exposureShare,
    plannedMs: judge.plannedMs,
    goneMs: fleet.goneMs,
    resendMs: fleet.resendMs,
    finishedMax: limits.finishedMax,
  };
  return settings;
}

/** Settings of the judge that are not the defaults, for the evidence. */
export function settingsThatDiffer({
  judge,
}: Pick<RolloutManagerConfig, "judge">): { name: string; value: string; default: string }[] {
  return Object.entries(judgeDefaults).flatMap(([name, usual]) => {
    const value = judge[name as keyof typeof judgeDefaults];
    return value === usual ? [] : [{ name: `judge.${name}`, value: `${value}`, default: `${usual}` }];
  });
}
