/** The phases of a run, and what each of them means to others. */
import type { TrainingPhase, TrainingRun } from "@tributary/contracts";

const ENDED: readonly TrainingPhase[] = ["SUCCEEDED", "FAILED", "REFUSED", "CANCELLED"];
const BEFORE_WORK: readonly TrainingPhase[] = ["QUEUED", "LABELLING"];

export const isEnded = ({ phase }: Pick<TrainingRun, "phase">): boolean => ENDED.includes(phase);

/** Past LABELLING: of a model at most one is. */
export const isWorking = ({ phase }: Pick<TrainingRun, "phase">): boolean =>
  !ENDED.includes(phase) && !BEFORE_WORK.includes(phase);

/** The number that backends know an attempt by: attempts count from 1 after each restart, this one never repeats. */
export const jobAttemptOf = ({ restarts, attempt }: Pick<TrainingRun, "restarts" | "attempt">): number =>
  restarts * ATTEMPTS_A_RESTART + attempt;

/** More than `attemptsMax` may be. */
export const ATTEMPTS_A_RESTART = 100;
