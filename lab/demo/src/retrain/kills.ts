/**
 * Kills the trainer with SIGKILL once in each phase of a training, as soon as its public topic has the phase; and once more when the
 * candidate runs on all devices, so that it becomes champion. The supervisor starts it again, as an orchestrator does.
 */
import { type TrainingRun, topics } from "@tributary/contracts";
import { follow, type PartitionReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import type { Part } from "@tributary/stack";
import { followContext } from "@tributary/testing";
import { type Kill, PROMOTION } from "./kill-findings.ts";

/** A job has something to lose by then. */
const TRAINING_MS = 5_000;
const POLL_MS = 20;
const READY_MS_MAX = 60_000;

type Open = { -readonly [Key in keyof Kill]: Kill[Key] };

export class PhaseKiller {
  readonly #reader: PartitionReader;
  readonly #trainer: Part;
  readonly #model: string;
  readonly #log: (line: string) => void;
  readonly #stopping = new AbortController();
  readonly #seen = new Set<string>();
  #working: Promise<void> = Promise.resolve();
  #ended: Promise<unknown> = Promise.resolve();
  #run: TrainingRun | undefined;
  #waiting: { readonly kill: Open; readonly pid: number; readonly atMs: number } | null = null;
  readonly kills: Kill[] = [];

  constructor(reader: PartitionReader, trainer: Part, model: string, log: (line: string) => void) {
    this.#reader = reader;
    this.#trainer = trainer;
    this.#model = model;
    this.#log = log;
  }

  async start(): Promise<void> {
    const context = followContext(this.#reader, this.#stopping.signal);
    const followed = await Promise.all([
      follow(context, topics.trainingResults, (run) => {
        if (run?.model === this.#model) this.#take(run);
      }),
      follow(context, topics.rollouts, (rollout) => {
        const isPromoted = rollout?.modelName === this.#model && rollout.phase === "HEALTHY";
        if (isPromoted && rollout.modelVersion === this.#run?.candidateVersion) this.#due(PROMOTION, 0);
      }),
    ]);
    this.#ended = Promise.all(followed.map(({ ended }) => ended));
    this.#ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    await this.#ended.catch(() => undefined);
    await this.#working.catch(() => undefined);
  }

  #take(run: TrainingRun): void {
    this.#run = run;
    this.#wentOn();
    if (run.endedAt === null) this.#due(run.phase, run.phase === "TRAINING" ? TRAINING_MS : 0);
  }

  /** The first record of a process that took over. */
  #wentOn(): void {
    if (this.#waiting === null) return;
    const { kill, pid, atMs } = this.#waiting;
    if (this.#trainer.pid === undefined || this.#trainer.pid === pid) return;
    kill.wentOnSeconds = secondsSince(atMs);
    this.#waiting = null;
  }

  #due(phase: string, afterMs: number): void {
    if (this.#seen.has(phase)) return;
    this.#seen.add(phase);
    this.#working = this.#working.then(() => this.#kill(phase, afterMs)).catch(() => undefined);
  }

  async #kill(phase: string, afterMs: number): Promise<void> {
    const { signal } = this.#stopping;
    await systemClock.sleep(afterMs, signal);
    const { pid } = this.#trainer;
    const isLate = phase === PROMOTION ? this.#run?.endedAt !== null : this.#run?.phase !== phase;
    if (pid === undefined || isLate) {
      this.#log(
        `the trainer was not killed in ${phase}: ${pid === undefined ? "it was not running" : "it had left it"}`,
      );
      return;
    }
    const atMs = performance.now();
    const kill: Open = { phase, readySeconds: null, wentOnSeconds: null };
    this.kills.push(kill);
    this.#waiting = { kill, pid, atMs };
    await this.#trainer.kill();
    while (this.#trainer.pid === undefined || this.#trainer.state !== "running" || this.#trainer.pid === pid) {
      if (performance.now() - atMs > READY_MS_MAX) return;
      await systemClock.sleep(POLL_MS, signal);
    }
    kill.readySeconds = secondsSince(atMs);
    this.#log(`the trainer was killed in ${phase}; ready again after ${kill.readySeconds} s`);
  }
}

const secondsSince = (atMs: number): number => Math.round((performance.now() - atMs) / 100) / 10;
