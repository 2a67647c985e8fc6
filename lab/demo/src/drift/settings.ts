/** The settings of `demo -- drift` that differ from the defaults, and the reasons. Printed before every run. */
import type { Difference } from "../rollout/settings.ts";

export const settings = {
  devices: 40,
  lightProcesses: 3,
  /** Frames a second of a device, where its case has no other rate. */
  fps: 1,
  /** Share of frames in the random sample, every one of which a person labels. */
  sampling: 0.25,
  labelDelayMs: 3_000,
  batchWaitMs: 2_000,
  windowMs: 1_500,
  baselineWindows: 60,
  /** Clean windows after the baseline, before anything changes. */
  cleanWindows: 30,
  lookEveryMs: 3_000,
  settleMs: 60_000,
  /** For so long a verdict is provisional. */
  holdMs: 20_000,
  /** From the first step of a change to the last: how fast it grows dark. */
  changeMs: 45_000,
  /** Time for wrong verdicts to appear, after the right ones. */
  watchMs: 30_000,
  runMs: 600_000,
} as const;

export const differences: readonly Difference[] = [
  {
    what: "windows of sketches",
    usual: "60 s",
    here: seconds(settings.windowMs),
    why: "a baseline would take hours; in return there are few frames a window, whose evidence grows slowly",
  },
  {
    what: "windows of a camera's baseline",
    usual: "240",
    here: String(settings.baselineWindows),
    why: "photos are drawn independently; what cameras see in a field has a longer memory",
  },
  {
    what: "frames per second of a device",
    usual: "10 (npm start)",
    here: String(settings.fps),
    why: "40 devices share two cores; a few have 2 or 4, whose changes would show late otherwise",
  },
  {
    what: "random sample, all of it labelled",
    usual: "2 % of frames",
    here: `${100 * settings.sampling} %`,
    why: "only labels show whether frames are lost, and minutes have to be enough",
  },
  {
    what: "a look every",
    usual: "30 s",
    here: seconds(settings.lookEveryMs),
    why: "evidence is valid at every look, so a verdict opens as soon as there is enough",
  },
  {
    what: "time from a first alarm to its verdict, for other devices to join; for which it is provisional then",
    usual: "5 min; 15 min",
    here: `${seconds(settings.settleMs)}; ${seconds(settings.holdMs)}`,
    why: "the windows are shorter, too",
  },
];

function seconds(ms: number): string {
  return `${ms / 1_000} s`;
}
