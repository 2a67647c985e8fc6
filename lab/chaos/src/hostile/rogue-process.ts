/** A hostile device in a process of its own, which is stopped and continues with the periods. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { repositoryRoot } from "@tributary/testing";
import type { RogueFigures, RogueOrder } from "./rogue.ts";

export class RogueProcess {
  readonly deviceId: string;
  readonly #child: ChildProcess;
  readonly #kill = () => this.#child.kill("SIGKILL");
  figures: RogueFigures = {};

  /** Resolves once it has begun its attack. */
  static start(order: RogueOrder): Promise<RogueProcess> {
    const child = fork(join(repositoryRoot, "lab/chaos/dist/hostile/rogue.js"), { detached: true }); // A session of its own.
    return new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the rogue ended with ${code}`)));
      child.once("message", () => resolve(new RogueProcess(order.credentials.deviceId, child)));
      child.send(order);
    });
  }

  private constructor(deviceId: string, child: ChildProcess) {
    this.deviceId = deviceId;
    this.#child = child;
    process.once("exit", this.#kill); // One that is stopped does not notice that its parent has ended.
    child.on("message", (figures: RogueFigures) => {
      this.figures = figures;
    });
  }

  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** @throws if it ended by itself. */
  check(): void {
    if (this.#child.exitCode !== null) throw new Error(`the rogue ended with ${this.#child.exitCode}`);
  }

  async end(): Promise<void> {
    process.off("exit", this.#kill);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#kill();
    await ended;
  }
}
