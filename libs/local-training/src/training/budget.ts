/** What a training has spent, over all processes that worked on it, and what it may spend. */
import type { LocalTrainingLimits } from "../local-training.ts";
import type { Spent } from "./checkpoint.ts";
import { failure } from "./failures.ts";

export class Budget {
  readonly #limits: LocalTrainingLimits;
  readonly #startedAt = performance.now();
  #before: Spent = { cpuSeconds: 0, wallSeconds: 0 };

  constructor(limits: LocalTrainingLimits) {
    this.#limits = limits;
  }

  /** What earlier processes spent. */
  resume(before: Spent): void {
    this.#before = before;
  }

  spent(): Spent {
    const { user, system } = process.cpuUsage();
    return {
      cpuSeconds: this.#before.cpuSeconds + (user + system) / 1e6,
      wallSeconds: this.#before.wallSeconds + (performance.now() - this.#startedAt) / 1_000,
    };
  }

  /** To be called often: between two calls nothing stops the training but its host. */
  check(): void {
    const { cpuSeconds, wallSeconds } = this.spent();
    const { cpuSecondsMax = Number.POSITIVE_INFINITY, msMax } = this.#limits;
    const advice = "allow it more, or train on fewer frames or epochs";
    if (cpuSeconds > cpuSecondsMax) {
      const what = `training used ${cpuSeconds.toFixed(0)} CPU-seconds and may use ${cpuSecondsMax}`;
      throw failure("training-cpu-exceeded", "ask-a-person", `${what}; ${advice}`);
    }
    if (wallSeconds * 1_000 > msMax) {
      const what = `training took ${wallSeconds.toFixed(0)} s and may take ${msMax / 1_000} s`;
      throw failure("training-time-exceeded", "ask-a-person", `${what}; ${advice}`);
    }
  }
}
