/**
 * One cloud target at work: its queue, its backend, and the loop between them.
 *
 * T1. Every submitted frame gets exactly one verdict, whatever the backend does, also at shutdown.
 * T2. When a call dies and may be repeated, its frames are asked once more, each alone: the one that kills the backend
 *     then takes nobody with it.
 */
import type { Clock, Instant } from "@tributary/kernel";
import type { CloudBackend, CloudFrame, CloudOutcome } from "./cloud-backend.ts";
import { type BatcherLimits, type Lane, MicroBatcher, type Queued } from "./micro-batcher.ts";

export type Verdict =
  | { readonly kind: "outcome"; readonly outcome: CloudOutcome; readonly attempts: number }
  | { readonly kind: "expired" }
  | { readonly kind: "overloaded" }
  /** Not classified: the process ends. Whoever takes over the partition will ask again. */
  | { readonly kind: "closing" };

export type Submission = CloudFrame & {
  readonly lane: Lane;
  readonly deadlineAt: Instant;
  readonly keepExpired: boolean;
};

export type TargetOptions = {
  readonly name: string;
  readonly backend: CloudBackend;
  readonly limits: BatcherLimits;
  readonly costMicrosPerCall: number;
  /** The deadline of a call whose frames have none that counts. */
  readonly callMsMax: number;
  readonly clock: Clock;
  readonly onBatch: (event: { readonly target: string; readonly frames: number; readonly ms: number }) => void;
};

type Waiting = { readonly frame: CloudFrame; readonly settle: (verdict: Verdict) => void };
type Entry = Queued<Waiting>;

export class Target {
  readonly name: string;
  readonly costMicrosPerCall: number;
  readonly #options: TargetOptions;
  readonly #batcher: MicroBatcher<Waiting>;
  readonly #stop = new AbortController();
  readonly #pump: Promise<void>;
  #wake: (() => void) | undefined;
  #room: (() => void)[] = [];

  constructor(options: TargetOptions) {
    this.name = options.name;
    this.costMicrosPerCall = options.costMicrosPerCall;
    this.#options = options;
    this.#batcher = new MicroBatcher(options.limits);
    this.#pump = this.#run();
  }

  get queueFrames(): number {
    return this.#batcher.frames;
  }

  ready(): boolean {
    return this.#options.backend.ready();
  }

  async submit(submission: Submission): Promise<Verdict> {
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const entry: Entry = {
      item: { frame: submission, settle: resolve },
      lane: submission.lane,
      bytes: submission.jpeg.length,
      deadlineAt: submission.deadlineAt,
      keepExpired: submission.keepExpired,
      queuedAtMs: this.#options.clock.monotonicMs(),
    };
    for (;;) {
      if (this.#stop.signal.aborted) return CLOSING;
      const offer = this.#batcher.offer(entry);
      if (offer === "shed") return { kind: "overloaded" };
      if (offer === "queued") break;
      await new Promise<void>((hasRoom) => this.#room.push(hasRoom));
    }
    this.#wake?.();
    return promise;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#options.backend.close();
    await this.#pump;
    for (const entry of this.#batcher.drain()) entry.item.settle(CLOSING); // T1
    this.#freeRoom();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const taken = this.#batcher.take({ wall: clock.now(), monotonicMs: clock.monotonicMs() });
      for (const entry of taken.expired) entry.item.settle({ kind: "expired" });
      if (taken.batch.length + taken.expired.length > 0) this.#freeRoom();
      if (taken.batch.length > 0) await this.#call(taken.batch);
      else await this.#pause(taken.nextAtMs);
    }
  }

  async #call(entries: readonly Entry[]): Promise<void> {
    const outcomes = await this.#classify(entries);
    for (const [i, entry] of entries.entries()) {
      const outcome = outcomes[i] ?? MISSING;
      entry.item.settle(await this.#verdictOf(entry, outcome));
    }
  }

  async #verdictOf(entry: Entry, first: CloudOutcome): Promise<Verdict> {
    const { signal } = this.#stop;
    if (first.kind !== "failed") return { kind: "outcome", outcome: first, attempts: 1 };
    if (signal.aborted) return CLOSING;
    const isLate = !entry.keepExpired && entry.deadlineAt <= this.#options.clock.now();
    if (!first.again || isLate) return { kind: "outcome", outcome: first, attempts: 1 };
    const [second = MISSING] = await this.#classify([entry]); // T2
    if (second.kind === "failed" && signal.aborted) return CLOSING;
    return { kind: "outcome", outcome: second, attempts: 2 };
  }

  async #classify(entries: readonly Entry[]): Promise<readonly CloudOutcome[]> {
    const { clock, backend, callMsMax, onBatch, name } = this.#options;
    const latest = clock.now() + callMsMax;
    const wanted = Math.max(...entries.map((entry) => (entry.keepExpired ? latest : entry.deadlineAt)));
    const since = clock.monotonicMs();
    const outcomes = await backend.classify(
      entries.map((entry) => entry.item.frame),
      { deadline: Math.min(wanted, latest), signal: this.#stop.signal },
    );
    onBatch({ target: name, frames: entries.length, ms: clock.monotonicMs() - since });
    return outcomes;
  }

  async #pause(untilMs: number | undefined): Promise<void> {
    const { clock } = this.#options;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const signal = AbortSignal.any([woken.signal, this.#stop.signal]);
    const ms = untilMs === undefined ? IDLE_MS : Math.max(0, untilMs - clock.monotonicMs());
    await clock.sleep(ms, signal).catch(() => {});
    this.#wake = undefined;
  }

  #freeRoom(): void {
    for (const hasRoom of this.#room.splice(0)) hasRoom();
  }
}

/** Arrivals wake the loop; this only bounds the wait. */
const IDLE_MS = 60_000;

const CLOSING: Verdict = { kind: "closing" };

const MISSING: CloudOutcome = {
  kind: "failed",
  code: "backend-short-answer",
  message: "the backend gave fewer outcomes than frames",
  again: false,
};
