/** When trainings start, how long they wait, and how often they try. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export type RunSettings = {
  readonly labels: {
    /** Labelled frames of the slice that a run waits for: to train on, to tune on and to judge with. */
    readonly wanted: number;
    /** Fewer are used after `waitMs`, but at least these. */
    readonly trainMin: number;
    readonly gateMin: number;
    readonly waitMs: number;
    /** New labels of a model since its last dataset that are a reason to train. */
    readonly newMin: number;
    /** Age of the oldest frame of a run without drift. */
    readonly lookbackMs: number;
  };
  /** Rest of a cause after the end of its run, and after one that was refused for lack of labels. */
  readonly cooldownMs: number;
  readonly refusedCooldownMs: number;
  /** Runs of a model in 7 days that nobody asked for in person. */
  readonly runsPerWeekMax: number;
  /** Of each phase. */
  readonly attemptsMax: number;
  /** A job whose results are malformed: another one is less likely to do better than after a crash. */
  readonly malformedAttemptsMax: number;
  readonly backoff: { readonly minMs: number; readonly factor: number; readonly maxMs: number };
  /** Of one job; then it is cancelled. */
  readonly jobMsMax: number;
  /** How long what a phase needs may be unreachable. */
  readonly outageMsMax: number;
  /** Until a rollout of a candidate starts that passed its gate. */
  readonly rolloutWaitMs: number;
  /** A run starts over when another version becomes champion while it trains. */
  readonly restartsMax: number;
};

export const runDefaults: RunSettings = {
  labels: { wanted: 600, trainMin: 100, gateMin: 100, waitMs: 7 * DAY, newMin: 2_000, lookbackMs: 90 * DAY },
  cooldownMs: 7 * DAY,
  refusedCooldownMs: DAY,
  runsPerWeekMax: 3,
  attemptsMax: 3,
  malformedAttemptsMax: 2,
  backoff: { minMs: MINUTE, factor: 5, maxMs: HOUR },
  jobMsMax: 6 * HOUR,
  outageMsMax: DAY,
  rolloutWaitMs: HOUR,
  restartsMax: 2,
};
