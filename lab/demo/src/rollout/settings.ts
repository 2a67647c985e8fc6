/** The demo's settings that differ from the defaults, and the reasons. Printed before every run. */
export const settings = {
  /** Devices, of them full agents, and processes of light ones. */
  devices: 160,
  agents: 4,
  lightProcesses: 4,
  canaryPercent: 5,
  controlsPerCanary: 4,
  /** Frames a second and device. */
  fps: 0.35,
  /** Share of frames in the random sample, every one of which a person labels. */
  sampling: 0.8,
  labelDelayMs: 3_000,
  batchWaitMs: 2_000,
  windowMs: 5_000,
  latencyBudgetMs: 100,
  /** Frames before the rollout begins: what devices did before explains their differences. */
  beforeMs: 60_000,
  /** The gate takes a while, too. */
  beforeGateMs: 20_000,
  burnInMs: 15_000,
  analysisMs: 150_000,
  lookEveryMs: 5_000,
  progressDeadlineMs: 150_000,
  settleMs: 2_500,
  silenceMs: 30_000,
  shadowFrames: 4,
  probationFrames: 6,
} as const;

export type Difference = { readonly what: string; readonly usual: string; readonly here: string; readonly why: string };

export const differences: readonly Difference[] = [
  {
    what: "random sample, all of it labelled",
    usual: "2 % of frames",
    here: percent(settings.sampling),
    why: "only labels measure accuracy, and minutes have to be enough",
  },
  {
    what: "frames per second of a device",
    usual: "10 (npm start)",
    here: String(settings.fps),
    why: "160 devices share two cores; more frames would give a verdict sooner",
  },
  {
    what: "the cloud's model",
    usual: "the larger one of models/",
    here: "the shipped edge model",
    why: "its answers do not matter here, and the larger one would take the devices' share of two cores",
  },
  {
    what: "burn-in",
    usual: "3 min",
    here: seconds(settings.burnInMs),
    why: "light devices have no warm-up after a switch",
  },
  {
    what: "a look every",
    usual: "60 s",
    here: seconds(settings.lookEveryMs),
    why: "evidence is valid at every look, so the case ends as soon as there is enough",
  },
  {
    what: "analysis",
    usual: "hours, by the specification",
    here: seconds(settings.analysisMs),
    why: "so that evidence grows fastest within minutes",
  },
  {
    what: "delay of a look for late records",
    usual: "5 s",
    here: seconds(settings.settleMs),
    why: "all processes share one machine",
  },
  {
    what: "time without a frame until a device is silent",
    usual: "10 min",
    here: seconds(settings.silenceMs),
    why: "silence has to be detected within the case",
  },
  {
    what: "frames in shadow, and in probation",
    usual: "20 and 50",
    here: `${settings.shadowFrames} and ${settings.probationFrames}`,
    why: "at so few frames per second they would take minutes",
  },
  {
    what: "windows of device metrics",
    usual: "60 s",
    here: seconds(settings.windowMs),
    why: "deadlines met and crashes are reported before each look",
  },
  {
    what: "progressDeadline of a step",
    usual: "30 min",
    here: seconds(settings.progressDeadlineMs),
    why: "silence has to end a step within the case",
  },
  {
    what: "latency budget of the model",
    usual: "50 ms",
    here: `${settings.latencyBudgetMs} ms`,
    why: "the gate measures while 160 devices run on the same two cores",
  },
  {
    what: "the past of a device",
    usual: "24 h or more",
    here: seconds(settings.beforeMs),
    why: "all there is",
  },
];

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}

export const MODEL = "edge-demo";

/** Rolls a challenger out to 5 %, compares, and then to all. */
export const specification = {
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: MODEL },
  spec: {
    model: `${MODEL}@challenger`,
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

export const registryConfig = (validationDir: string, speedup: number): object => ({
  validation: { [MODEL]: validationDir },
  // How many times slower than this machine.
  checks: { hardwareClasses: { x64: 1 / speedup } },
  gate: { corrupted: 100 },
});

export const managerConfig = (): object => ({
  defaults: { [MODEL]: specification },
  judge: {
    lookEveryMs: settings.lookEveryMs,
    settleMs: settings.settleMs,
    silenceMs: settings.silenceMs,
    propensityMean: settings.sampling,
  },
  updates: { shadowFrames: settings.shadowFrames, probationFrames: settings.probationFrames },
  limits: { statusEveryMs: 1_000 },
});
