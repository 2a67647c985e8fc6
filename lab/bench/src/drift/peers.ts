/** The process of peers.py: other methods on the same windows. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { python } from "../../../../tools/peers.mjs";
import type { Observed } from "./observed.ts";

/** Of this folder: programs are not compiled. */
export const programOf = (file: string): string => fileURLToPath(new URL(`../../src/drift/${file}`, import.meta.url));
export const pythonOfPeers = (): string => python("bench/drift");

/** What a method made of one camera's windows. */
export type Watched = {
  /** Windows from the change to the first alarm, 1 for the first; null: none, or there is no change. */
  readonly delay: number | null;
  /** Windows with an alarm where nothing had changed, of how many. */
  readonly alarms: number;
  readonly looked: number;
};

export class Peers {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  private constructor() {
    // One thread: the other core simulates.
    const env = { ...process.env, OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", DO_NOT_TRACK: "1" };
    const stdio = ["pipe", "pipe", "inherit"] as const;
    this.#child = spawn(pythonOfPeers(), ["-W", "ignore", programOf("peers.py")], { stdio: [...stdio], env });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  static async start(observed: Observed): Promise<Peers> {
    const peers = new Peers();
    await peers.#answer();
    const folder = await mkdtemp(join(tmpdir(), "tributary-bench-drift-"));
    try {
      const bytes = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      await writeFile(join(folder, "raw.f32"), bytes(observed.raw));
      await writeFile(join(folder, "values.f32"), bytes(observed.values));
      await writeFile(join(folder, "labels.u8"), observed.labels);
      const { count: frames, features, streams } = observed;
      await peers.#ask({ kind: "table", folder, frames, features, streams: streams.length });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return peers;
  }

  /** `frames` by window; the first `baseline` windows are the past, the change is at window `change`. */
  async watch(
    frames: Uint32Array,
    windows: number,
    baseline: number,
    change: number | null,
  ): Promise<Readonly<Record<string, Watched>>> {
    return (await this.#ask({ kind: "watch", frames: Array.from(frames), windows, baseline, change })) as Record<
      string,
      Watched
    >;
  }

  /** Of each window the largest PSI of all columns, beside `past`. */
  async psi(past: readonly number[], windows: readonly Uint32Array[]): Promise<readonly number[]> {
    return (await this.#ask({ kind: "psi", past, windows: windows.map((one) => Array.from(one)) })) as number[];
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    this.#lines.close();
  }

  async #ask(command: unknown): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    return this.#answer();
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error("peers.py ended; its reason is above");
    return JSON.parse(value);
  }
}
