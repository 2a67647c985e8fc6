/** Follows what a device shall run: the agent's own state machine (libs/core/updates), with actions that light devices share. */
import { type Failure, type Random, reasonOf } from "@tributary/kernel";
import {
  type Action,
  atWork,
  bootUpdates,
  type Conditions,
  type Desired,
  type Done,
  emptyBook,
  type Input,
  type PackageRef,
  type Progress,
  type Said,
  type Step,
  saidOf,
  step,
  type Updates,
  type Wanted,
} from "@tributary/updates";

export type UpdateWorks = {
  /** Each rejects with a Failure that says why, or ends when it is called off. */
  fetch(wanted: Wanted, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<void>;
  prove(wanted: Wanted, signal: AbortSignal): Promise<void>;
  shadow(wanted: Wanted, frames: number, signal: AbortSignal): Promise<void>;
  /** What was proved answers from the next frame on. The one before waits behind it until the commit, so that going back
   * takes no time. */
  switchTo(wanted: Wanted): Promise<void>;
  restore(): Promise<void>;
  commit(): Promise<void>;
  unload(): Promise<void>;
  wait(ms: number, signal: AbortSignal): Promise<void>;
  /** What is said of the update may have changed. */
  told(): void;
};

export class Updater {
  readonly #works: UpdateWorks;
  readonly #random: Random;
  #state: Updates;
  #callOff = new AbortController();
  #progress: Progress | null = null;
  #isStopped = false;

  constructor(factory: PackageRef, works: UpdateWorks, random: Random) {
    this.#works = works;
    this.#random = random;
    this.#state = bootUpdates({ book: emptyBook, factory, running: factory.digest }).state;
  }

  get generation(): bigint {
    return this.#state.book.generation;
  }

  get running(): PackageRef {
    return atWork(this.#state);
  }

  get said(): Said | null {
    return saidOf(this.#state, this.#progress?.phase ?? "WAITING");
  }

  get progress(): Progress | null {
    return this.#progress;
  }

  desired(desired: Desired): void {
    this.#take({ kind: "desired", desired });
  }

  answered(isSlow: boolean): void {
    if (this.#state.stage.kind === "probation") this.#take({ kind: "answered", isSlow });
  }

  failing(code: string, reason: string): void {
    if (this.#state.stage.kind === "probation") this.#take({ kind: "failing", code, reason });
  }

  told(met: Partial<Conditions>): void {
    this.#take({ kind: "conditions", met: { ...this.#state.conditions, ...met } });
  }

  stop(): void {
    this.#isStopped = true;
    this.#callOff.abort();
  }

  #take(input: Input): void {
    if (!this.#isStopped) this.#follow(step(this.#state, input, this.#random));
  }

  #follow({ state, next, callOff }: Step): void {
    this.#state = state;
    if (callOff) this.#callOff.abort();
    if (next !== null) void this.#act(next);
    this.#works.told();
  }

  async #act(action: Action): Promise<void> {
    this.#callOff = new AbortController();
    const done = await this.#work(action, this.#callOff.signal).then(
      (): Done => ({ ok: true }),
      (error: Failure): Done => ({
        ok: false,
        code: error.code ?? "update-failed",
        reason: reasonOf(error),
        retry: error.advice === "retry" ? "many" : "never",
      }),
    );
    this.#take({ kind: "done", done });
  }

  #work(action: Action, signal: AbortSignal): Promise<void> {
    const works = this.#works;
    switch (action.kind) {
      case "wait":
        return works.wait(action.ms, signal).catch(() => undefined);
      case "fetch":
        return works.fetch(action.wanted, signal, (progress) => {
          this.#progress = progress;
          works.told();
        });
      case "prove":
        return works.prove(action.wanted, signal);
      case "shadow":
        return works.shadow(action.wanted, action.frames, signal);
      case "unload":
        return works.unload();
      case "switch":
        return works.switchTo(action.wanted);
      case "restore":
        return works.restore();
      case "commit":
        return works.commit();
      case "save":
        return Promise.resolve(); // The book lives in memory, as the device does.
      default:
        return action satisfies never;
    }
  }
}
