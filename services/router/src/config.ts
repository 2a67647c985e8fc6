import { ConfigError, sharedBlocks } from "@tributary/config";
import { packageBlocks, packageName, problemsOfPackages } from "@tributary/followed-packages";
import {
  admissionBudgetDefaults,
  type Experiment,
  noExperiment,
  type RelearnSettings,
  relearnDefaults,
} from "@tributary/routing";
import {
  type AdmissionSettings,
  admissionDefaults,
  cloudHealthDefaults,
  fallbackDefaults,
  type SettlementLimits,
  settlementLimits,
  shareDefaults,
} from "@tributary/routing/settlement";
import { z } from "zod";

const share = z.number().min(0).max(1);
const positive = z.number().int().positive();
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** The consumer group. */
export const GROUP = "router";

export const configSchema = z.strictObject({
  ...sharedBlocks,
  ...packageBlocks,
  /** Cloud target that shall answer. */
  target: z.string().regex(NAME, "expected a target name").default("default"),
  /** Edge packages whose first policy is published if there is none: folders, or NAME@VERSION or NAME@ALIAS of the model registry. */
  packages: z.array(packageName).max(100).default([]),
  budget: z
    .strictObject({
      /** Share of the fleet's frames the cloud may be asked about, the random sample apart. */
      fleetShareMax: share.default(admissionBudgetDefaults.share),
      burstMs: positive.max(3_600_000).default(admissionBudgetDefaults.burstMs),
      /** Share of the burst that only PRIORITY frames may use. */
      priorityReserve: share.default(admissionBudgetDefaults.reserve),
      priceStep: z.number().min(0).max(1).default(admissionBudgetDefaults.eta),
      answerValue: z.number().positive().default(admissionBudgetDefaults.value),
      missCost: z.number().min(0).default(admissionBudgetDefaults.missCost),
      /** Least probability of an answer in time for which a frame is sent. */
      inTimeMin: share.default(admissionBudgetDefaults.meetMin),
    })
    .prefault({}),
  /** Limits of one device's share of the fleet's budget. */
  fairness: z
    .strictObject({
      /** Frames of a device that count for the budget; frames above this rate do not. */
      framesPerSecondMax: positive.max(100_000).default(shareDefaults.framesPerSecondMax),
      /** Share of its frames that a device may send as drawn, past the budget. */
      drawShareMax: share.default(shareDefaults.drawShareMax),
      /** The same of draws that its key does not confirm: those of agents of earlier versions. */
      unverifiedDrawShareMax: share.default(shareDefaults.unverifiedShareMax),
      devicesMax: positive.default(shareDefaults.devicesMax),
    })
    .prefault({}),
  /** FALLBACK frames, of devices whose hardware is degraded or that have no model, beside the budget. Devices that ask have equal parts. */
  fallback: z
    .strictObject({
      fleetShareMax: share.default(fallbackDefaults.fleetShareMax),
      perDevicePerSecondMax: z.number().positive().max(1_000).default(fallbackDefaults.perSecondMax),
    })
    .prefault({}),
  cloud: z
    .strictObject({
      /** Time after which a call without a result is given up; frames are settled by their own deadline. */
      lostAfterMs: positive.max(600_000).default(admissionDefaults.lostAfterMs),
      callsMax: positive.default(admissionDefaults.callsMax),
      latencyHalfLifeMs: positive.default(admissionDefaults.latencyHalfLifeMs),
      failuresMin: positive.default(cloudHealthDefaults.failuresMin),
      failureShareMin: share.default(cloudHealthDefaults.failureShareMin),
      failureHalfLifeMs: positive.default(cloudHealthDefaults.halfLifeMs),
      probeEveryMs: positive.default(cloudHealthDefaults.probeEveryMs),
    })
    .prefault({}),
  /** A/B arms. Requests carry the arm, and the cloud-classifier's targets may map it to another backend. While there is an
   * experiment, policies are frozen: labels are counted, nothing is relearned. */
  experiment: z
    .strictObject({
      /** What is assigned: whole devices, or frame by frame. */
      unit: z.enum(["device", "frame"]).default("device"),
      /** A new salt assigns the arms again. */
      salt: z.string().min(1).max(256),
      arms: z
        .array(
          z.strictObject({ name: z.string().regex(NAME, "expected an arm's name"), weight: z.number().positive() }),
        )
        .min(2)
        .max(16),
    })
    .optional(),
  /** Score and threshold relearned from ground-truth.v1. The router that holds partition 0 does it, for the whole fleet. */
  learning: z
    .strictObject({
      enabled: z.boolean().default(true),
      everyMs: positive.min(100).max(86_400_000).default(30_000),
      /** Labels and frames older than this are not used, nor are frames that Kafka no longer retains. */
      windowDays: z.number().positive().max(365).default(7),
      /** Target loss rate: frames where the system is wrong and the cloud right. By default 2 %, or a quarter of
       * what keeping every frame would lose, whichever is less. */
      lossRateMax: z.number().positive().max(0.5).optional(),
      /** Probability that the guarantee fails. */
      doubt: z.number().min(1e-6).max(0.5).default(relearnDefaults.delta),
      /** Labelled frames of the random sample that a change needs. */
      labelsMin: positive.default(relearnDefaults.labelsMin),
      /** A threshold that changes the share of frames sent by less is not published. */
      shareStepMin: share.default(relearnDefaults.shareStepMin),
    })
    .prefault({}),
  limits: z
    .strictObject({
      framesPerDeviceMax: positive.min(16).max(4_096).default(settlementLimits.framesMax),
      bootsPerDeviceMax: positive.max(16).default(settlementLimits.bootsMax),
      deadlineMsMax: positive.max(3_600_000).default(settlementLimits.deadlineMsMax),
      lateFrameMsMax: positive.default(settlementLimits.lateFrameMsMax),
      /** Answers between two saves of the state: a restart reads them again. */
      answersUnsavedMax: positive.max(2_048).default(1_024),
      /** A device that is silent for this time is forgotten; its records have left the topics by then. */
      deviceIdleDaysMax: positive.default(14),
    })
    .prefault({}),
});

export type RouterConfig = z.output<typeof configSchema>;

/** Checks the bounds against each other. */
export function checkConfig(config: RouterConfig): void {
  const { lateFrameMsMax, deadlineMsMax, answersUnsavedMax, framesPerDeviceMax } = config.limits;
  const problems: string[] = [];
  const named = Object.fromEntries(config.packages.map((name, i) => [`packages[${i}]`, name]));
  problems.push(...problemsOfPackages(config, named));
  const arms = config.experiment?.arms.map(({ name }) => name) ?? [];
  if (new Set(arms).size < arms.length) problems.push("experiment.arms: two arms have one name");
  if (deadlineMsMax > 2 * lateFrameMsMax) problems.push("limits.deadlineMsMax: at most 2 x limits.lateFrameMsMax");
  if (answersUnsavedMax > framesPerDeviceMax) {
    problems.push("limits.answersUnsavedMax: at most limits.framesPerDeviceMax, or a restart forgets answers");
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}

export const experimentOf = ({ experiment }: RouterConfig): Experiment => experiment ?? noExperiment;

export const relearnSettingsOf = ({ learning }: Pick<RouterConfig, "learning">): RelearnSettings => ({
  ...relearnDefaults,
  epsilon: learning.lossRateMax,
  delta: learning.doubt,
  labelsMin: learning.labelsMin,
  shareStepMin: learning.shareStepMin,
});

export const admissionSettingsOf = ({
  budget,
  cloud,
  experiment,
  fairness,
  fallback,
}: RouterConfig): AdmissionSettings => ({
  arms: experiment?.arms ?? noExperiment.arms,
  budget: {
    share: budget.fleetShareMax,
    burstMs: budget.burstMs,
    reserve: budget.priorityReserve,
    eta: budget.priceStep,
    value: budget.answerValue,
    missCost: budget.missCost,
    meetMin: budget.inTimeMin,
  },
  health: {
    failuresMin: cloud.failuresMin,
    failureShareMin: cloud.failureShareMin,
    halfLifeMs: cloud.failureHalfLifeMs,
    probeEveryMs: cloud.probeEveryMs,
  },
  latencyHalfLifeMs: cloud.latencyHalfLifeMs,
  lostAfterMs: cloud.lostAfterMs,
  callsMax: cloud.callsMax,
  shares: {
    framesPerSecondMax: fairness.framesPerSecondMax,
    drawShareMax: fairness.drawShareMax,
    unverifiedShareMax: fairness.unverifiedDrawShareMax,
    devicesMax: fairness.devicesMax,
  },
  fallback: { fleetShareMax: fallback.fleetShareMax, perSecondMax: fallback.perDevicePerSecondMax },
});

export const settlementLimitsOf = ({ limits }: RouterConfig): SettlementLimits => ({
  framesMax: limits.framesPerDeviceMax,
  bootsMax: limits.bootsPerDeviceMax,
  deadlineMsMax: limits.deadlineMsMax,
  lateFrameMsMax: limits.lateFrameMsMax,
});
