/** The settings of `demo -- world` that differ from the defaults, and the reasons. Printed before every run. */
import type { Difference } from "../rollout/settings.ts";

export const settings = {
  devices: 40,
  places: 10,
  lightProcesses: 2,
  /** Frames a second of a device. */
  fps: 1.5,
  /** Share of frames in the random sample, every one of which a person labels. */
  sampling: 0.5,
  /** Of a frame's final answer. */
  deadlineMs: 10_000,
  labelDelayMs: 3_000,
  batchWaitMs: 1_000,
  windowMs: 5_000,
  /** Frames that the first table is trained from. */
  beforeMs: 60_000,
  /** How long a staged table waits for devices that drive. */
  drivesMs: 10_000,
  canaryPercent: 20,
  controlsPerCanary: 4,
  burnInMs: 5_000,
  analysisMs: 150_000,
  lookEveryMs: 5_000,
  settleMs: 2_500,
  progressDeadlineMs: 120_000,
  /** Devices on which a right table may fail by chance (bench world measures how often). */
  byChanceMax: 1,
  stepMsMax: 240_000,
} as const;

export const MODEL = "world-demo";

export const differences: readonly Difference[] = [
  {
    what: "random sample, all of it labelled",
    usual: "2 % of frames",
    here: `${100 * settings.sampling} %`,
    why: "devices learn from the sample, and rollouts are judged by its labels; minutes have to be enough",
  },
  {
    what: "deadline of an answer, and share of its frames that a device may send as drawn",
    usual: "2 s, 5 %",
    here: `${settings.deadlineMs / 1_000} s, all`,
    why: "devices learn from the cloud's answers to drawn frames, and everything shares two cores",
  },
  {
    what: "frames per second of a device",
    usual: "10 (npm start)",
    here: String(settings.fps),
    why: `${settings.devices} devices share two cores`,
  },
  {
    what: "frames that a table is trained from",
    usual: "those of a week",
    here: `those of ${settings.beforeMs / 1_000} s`,
    why: "there are no others",
  },
  {
    what: "burn-in, and a look every",
    usual: "3 min, 60 s",
    here: `${settings.burnInMs / 1_000} s, ${settings.lookEveryMs / 1_000} s`,
    why: "evidence is valid at every look, so a rollout ends as soon as there is enough",
  },
];

export const factors = [{ name: "place", kind: "text" }] as const;

const specification = {
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: MODEL },
  spec: {
    model: `${MODEL}@challenger`,
    slot: "world",
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
    burnIn: `${settings.burnInMs / 1_000}s`,
    progressDeadline: `${settings.progressDeadlineMs / 1_000}s`,
  },
} as const;

/** A device may send all that it draws. */
export const routerConfig = { fairness: { drawShareMax: 1 } } as const;

export const managerConfig = (): object => ({
  defaults: { [MODEL]: specification },
  judge: { lookEveryMs: settings.lookEveryMs, settleMs: settings.settleMs, propensityMean: settings.sampling },
  updates: { shadowFrames: 0 },
  limits: { statusEveryMs: 1_000 },
});
