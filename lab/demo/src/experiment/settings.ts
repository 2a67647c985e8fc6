/** The settings of `demo -- experiment` that differ from the defaults, and the reasons. Printed before every run. */
import type { Difference } from "../rollout/settings.ts";

export const settings = {
  lightProcesses: 2,
  /** Frames a second of a device. */
  fps: 0.25,
  /** Share of frames in the random sample, every one of which a person labels. */
  sampling: 1,
  labelDelayMs: 3_000,
  batchWaitMs: 2_000,
  windowMs: 60_000,
  /** Of topics that are keyed by device. */
  partitions: 8,
  /** How much farther away the cloud is than it was. */
  addedMs: 200,
  /** Between the cloud's fastest answer and its slowest, wherever it is: if all took equally long, a few ms would decide whether all are late, or none. */
  spreadMs: 600,
  /** Share of the cloud's answers that shall be late then. Where it was before follows, and depends on the machine. */
  lateShare: 0.25,
  /** Frames before anything is measured: models and connections are new, and the cloud's model has yet to see most photos. */
  warmUpMs: 90_000,
  /** Of each measurement of latencies; so many until the cloud's place is found, and then near and far in turns. */
  measurementMs: 15_000,
  placements: 3,
  turns: 4,
  burnInMs: 60_000,
  durationMs: 1_200_000,
  lookEveryMs: 5_000,
  settleMs: 2_500,
  /** How long the canary of the adopted policy is waited for, and then its end, if the other cases are decided. */
  canaryMsMax: 120_000,
  adoptionMsMax: 180_000,
  /** What the target is configured to cost a call, in millionths of a euro. */
  callCostMicros: 120,
  /** What a frame is worth that is answered right, in euros. */
  correct: 0.01,
} as const;

export const differences: readonly Difference[] = [
  {
    what: "random sample, all of it labelled",
    usual: "2 % of frames",
    here: `${100 * settings.sampling} %`,
    why: "only labels measure accuracy, and minutes have to be enough; the cloud answers every frame, and an arm is what its policy alone would have had",
  },
  {
    what: "frames per second of a device",
    usual: "10 (npm start)",
    here: String(settings.fps),
    why: "120 devices share two cores, and a machine without idle time answers late by itself",
  },
  {
    what: "what a camera sees",
    usual: "a mix of its own",
    here: "clear photos of all classes",
    why: "what differs between devices shrinks with devices alone, and an arm has few",
  },
  {
    what: "how far away the cloud is",
    usual: "on the same machine",
    here: `so far that it meets the SLA, its answers spread over ${settings.spreadMs} ms; then ${settings.addedMs} ms farther, and about ${100 * settings.lateShare} % of them are late`,
    why: "if none were late the SLA would hold, and if all were the cloud could not help where late answers cost nothing",
  },
  {
    what: "partitions of topics that are keyed by device",
    usual: "32",
    here: String(settings.partitions),
    why: "of so few devices most would be empty, and each costs Kafka and its readers",
  },
  {
    what: "cloud calls at once, and those of the fleet's frames",
    usual: "8, 30 %",
    here: "64, all",
    why: "the network's latency alone shall make answers late, and no budget",
  },
  {
    what: "policies relearned from labels",
    usual: "every 30 s, but not during an experiment",
    here: "not at all",
    why: "the labels of the minute before would change the control's threshold",
  },
  {
    what: "burn-in, a look every, longest duration",
    usual: "10 min, 60 s, 6 d",
    here: [settings.burnInMs, settings.lookEveryMs, settings.durationMs].map(seconds).join(", "),
    why: "evidence is valid at every look, so an experiment ends as soon as there is enough",
  },
  {
    what: "the past of a device",
    usual: "24 h or more",
    here: seconds(settings.warmUpMs + (settings.placements + settings.turns) * settings.measurementMs),
    why: "all there is",
  },
];

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}

/** A device may send all that it draws, whatever the fleet's budget. */
export const routerConfig = {
  fairness: { drawShareMax: 1 },
  budget: { fleetShareMax: 1 },
  learning: { enabled: false },
} as const;

export const managerConfig = (): object => ({
  judge: { lookEveryMs: settings.lookEveryMs, settleMs: settings.settleMs, propensityMean: settings.sampling },
  limits: { statusEveryMs: 1_000 },
});

/** The cloud-classifier's target: the model behind this address. */
export const targetConfig = (url: string, packageDir: string): object => ({
  ...{ backend: "kserve", url, model: "m", input: "jpeg", package: packageDir },
  ...{ callsMax: 64, costMicrosPerCall: settings.callCostMicros },
});
