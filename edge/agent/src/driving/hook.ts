/** Starts the configured program at each change of the level. One runs at a time; of the changes that come meanwhile, it is started for
 * the last. It delays nothing and decides nothing. */
import { type ChildProcess, spawn } from "node:child_process";
import { reasonOf } from "@tributary/kernel";
import type { LevelChange } from "./driver.ts";

const HOOK_MS_MAX = 10_000;

export class Hook {
  readonly #command: readonly string[];
  readonly #onFailed: (reason: string) => void;
  #child: ChildProcess | undefined;
  #waiting: LevelChange | undefined;
  #isStopped = false;

  constructor(command: readonly string[], onFailed: (reason: string) => void) {
    this.#command = command;
    this.#onFailed = onFailed;
  }

  run(change: LevelChange): void {
    if (this.#child === undefined && !this.#isStopped) this.#start(change);
    else this.#waiting = change;
  }

  stop(): void {
    this.#isStopped = true;
    this.#child?.kill("SIGKILL");
  }

  #start(change: LevelChange): void {
    const [program = "", ...args] = this.#command;
    let isOver = false;
    const over = (reason: string | null) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      this.#child = undefined;
      if (reason !== null && !this.#isStopped) this.#onFailed(reason);
      const next = this.#waiting;
      this.#waiting = undefined;
      if (next !== undefined) this.run(next);
    };
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), HOOK_MS_MAX);
    try {
      const child = spawn(program, args, { stdio: "ignore", env: { ...process.env, ...environmentOf(change) } });
      this.#child = child;
      child.once("error", (error) => over(error.message));
      child.once("exit", (code, signal) => over(code === 0 ? null : `it ended with ${signal ?? code}`));
    } catch (error) {
      over(reasonOf(error));
    }
  }
}

const environmentOf = ({ from, to, reason, isMrmRequested }: LevelChange) => ({
  TRIBUTARY_LEVEL: to,
  TRIBUTARY_LEVEL_BEFORE: from,
  TRIBUTARY_LEVEL_REASON: reason,
  TRIBUTARY_MRM_REQUESTED: isMrmRequested ? "1" : "0",
});
