/** The settings of `demo -- retrain` that differ from the defaults, and the reasons. Printed before every run. */
import type { Difference } from "../rollout/settings.ts";

export const settings = {
  devices: 40,
  lightProcesses: 3,
  /** Of topics that are keyed by device. */
  partitions: 8,
  /** Frames a second of a device. */
  fps: 1,
  /** Share of frames in the random sample. */
  sampling: 0.5,
  /** Of a frame's final answer; and what a rollout's analysis allows a device for its own. */
  deadlineMs: 10_000,
  /** Share of the photos that people know before the verdict: a share of the random sample is labelled. */
  labelledShare: 0.4,
  labelDelayMs: 3_000,
  batchWaitMs: 2_000,
  windowMs: 1_500,
  baselineWindows: 60,
  cleanWindows: 30,
  driftLookEveryMs: 3_000,
  driftSettleMs: 45_000,
  driftHoldMs: 20_000,
  /** Photos of the base set, of those of the model's first training. */
  basePhotos: 20_000,
  /** More than there ever are: as many frames as the trainer knows at a time. */
  labelsNew: 2_000_000,
  labelsEveryMs: 2_000,
  jobEveryMs: 2_000,
  canaryPercent: 30,
  controlsPerCanary: 2,
  burnInMs: 15_000,
  analysisMs: 1_200_000,
  lookEveryMs: 5_000,
  settleMs: 2_500,
  progressDeadlineMs: 300_000,
  shadowFrames: 4,
  probationFrames: 6,
  latencyBudgetMs: 500,
  /** How many times faster than this machine the registry assumes devices to be. */
  registrySpeedup: 20,
  /** Of each step of the loop. */
  verdictMsMax: 240_000,
  labellingMsMax: 300_000,
  trainingMsMax: 1_800_000,
  runMs: 3_000_000,
} as const;

export const differences: readonly Difference[] = [
  {
    what: "windows of sketches, and of a camera's baseline",
    usual: "60 s, 240 windows",
    here: `${seconds(settings.windowMs)}, ${settings.baselineWindows} windows`,
    why: "a baseline would take hours; photos are drawn independently, so a short past is enough",
  },
  {
    what: "random sample of the first model; people label a share of it before the verdict",
    usual: "2 % of frames",
    here: `${100 * settings.sampling} %, of it ${100 * settings.labelledShare} % labelled`,
    why: "only labels show whether frames are lost, and how a canary does; minutes have to be enough",
  },
  {
    what: "deadline of a frame's final answer, and of a device's own in a rollout",
    usual: "2 s; the devices' own times before it",
    here: seconds(settings.deadlineMs),
    why: "what a machine that runs everything at once delays is no device's or model's doing",
  },
  {
    what: "frames per second of a device",
    usual: "10 (npm start)",
    here: String(settings.fps),
    why: `${settings.devices} devices share two cores with the training`,
  },
  {
    what: "partitions of topics that are keyed by device",
    usual: "32",
    here: String(settings.partitions),
    why: "of so few devices most would be empty, and each costs Kafka and its readers",
  },
  {
    what: "the cloud's model; packing uses the larger one",
    usual: "the larger one of models/",
    here: "the shipped edge model",
    why: "its answers do not matter here, and the larger one would take the training's share of two cores",
  },
  {
    what: "looks of drift-monitor; time for other devices to join a verdict; for which it is provisional, and starts no training",
    usual: "30 s; 5 min; 15 min",
    here: [settings.driftLookEveryMs, settings.driftSettleMs, settings.driftHoldMs].map(seconds).join("; "),
    why: "the windows are shorter, too",
  },
  {
    what: "labels since the last dataset that are a reason to train",
    usual: "2,000",
    here: "none",
    why: "the random sample alone would start a training within minutes; here the verdict shall",
  },
  {
    what: "looks of the trainer at labels and at its job",
    usual: "60 s; 5 s",
    here: `${seconds(settings.labelsEveryMs)}; ${seconds(settings.jobEveryMs)}`,
    why: "labels come within a minute",
  },
  {
    what: "frames that the archive keeps of a device and day, and of a class",
    usual: "1,000; 300",
    here: "20,000; 20,000",
    why: "a day of the demo lasts minutes, with a large random sample",
  },
  {
    what: "canary, and controls for each of its devices",
    usual: "by the specification",
    here: `${settings.canaryPercent} %, ${settings.controlsPerCanary}`,
    why: "an analysis needs at least 8 devices in each arm",
  },
  {
    what: "burn-in, a look every, analysis",
    usual: "3 min, 60 s, hours",
    here: [settings.burnInMs, settings.lookEveryMs, settings.analysisMs].map(seconds).join(", "),
    why: "evidence is valid at every look, so it ends as soon as there is enough",
  },
  {
    what: "frames in shadow, and in probation",
    usual: "20 and 50",
    here: `${settings.shadowFrames} and ${settings.probationFrames}`,
    why: "at so few frames per second they would take minutes",
  },
  {
    what: "what a frame may take at the gate; and devices, beside this machine",
    usual: "the champion's times; as fast",
    here: `${settings.latencyBudgetMs} ms; ${settings.registrySpeedup} times as fast`,
    why: "a machine that runs everything at once is no measure of a model",
  },
];

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}

export const registryConfig = (model: string): object => ({
  checks: { hardwareClasses: { generic: 1 / settings.registrySpeedup, x64: 1 / settings.registrySpeedup } },
  gate: { corrupted: 100, latencySlaMs: { [model]: settings.latencyBudgetMs } },
});

export const managerConfig = (model: string): object => ({
  defaults: { [model]: specificationOf(model) },
  judge: { lookEveryMs: settings.lookEveryMs, settleMs: settings.settleMs, propensityMean: settings.sampling },
  updates: { shadowFrames: settings.shadowFrames, probationFrames: settings.probationFrames },
  limits: { statusEveryMs: 1_000 },
});

export const driftConfig = (): object => ({
  detector: { baselineWindows: settings.baselineWindows },
  verdicts: { lookEveryMs: settings.driftLookEveryMs, settleMs: settings.driftSettleMs, holdMs: settings.driftHoldMs },
  loss: { propensityMin: settings.sampling },
});

export const archiveConfig = (): object => ({ keep: { framesPerDeviceDay: 20_000, framesPerClassDay: 20_000 } });

export const trainerConfig = (model: string, cloudPackage: string): object => ({
  packing: { cloud: { [model]: cloudPackage } },
  triggers: { labelsNew: settings.labelsNew },
  limits: { labelsEveryMs: settings.labelsEveryMs, jobEveryMs: settings.jobEveryMs, outageEveryMs: 5_000 },
});

const specificationOf = (model: string) => ({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: model },
  spec: {
    model: `${model}@challenger`,
    strategy: {
      canary: {
        controlsPerCanary: settings.controlsPerCanary,
        steps: [
          { setWeight: settings.canaryPercent },
          { analysis: { duration: `${settings.analysisMs / 1_000}s` } },
          { setWeight: 100 },
        ],
      },
    },
    latencySlaMs: settings.deadlineMs,
    burnIn: `${settings.burnInMs / 1_000}s`,
    progressDeadline: `${settings.progressDeadlineMs / 1_000}s`,
  },
});
