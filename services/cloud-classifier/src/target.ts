/**
 * One running cloud target: its queue, and the calls that empty it. How a call is made is up to @tributary/calls.
 *
 * Every submitted frame gets exactly one verdict, whatever the backend does, also at shutdown; one that may expire gets it
 * by its deadline, if need be while its call is still in flight. At most `callsMax` calls are in flight. A call ends when
 * the backend returns, or it is given up: at the last deadline of its frames where the backend is a server, only at
 * `callMsMax` where it is a child process, which would go on computing while it got more calls.
 */
import { type CallSettings, Calls, type CircuitState, type RetryDecision, Ticket } from "@tributary/calls";
import { type Clock, type Instant, linkedSignal, type Random } from "@tributary/kernel";
import type { CloudBackend, CloudFrame, CloudOutcome } from "./cloud-backend.ts";
import { type BatcherLimits, type Lane, MicroBatcher, type Queued } from "./micro-batcher.ts";

export type Verdict = Spent &
  (
    | { readonly kind: "outcome"; readonly outcome: CloudOutcome }
    | { readonly kind: "expired"; readonly code: "deadline-passed" | "backend-timeout" }
    | { readonly kind: "overloaded" }
    /** Not classified: the process ends. Whoever takes over the partition will ask again. */
    | { readonly kind: "closing" }
  );

/** Calls made for the frame, and its share of what they cost. */
export type Spent = { readonly attempts: number; readonly costMicros: number };

export type Submission = CloudFrame & {
  readonly lane: Lane;
  /** Whose turn it takes in a micro-batch. */
  readonly deviceId: string;
  readonly deadlineAt: Instant;
  readonly keepExpired: boolean;
};

export type TargetOptions = {
  readonly name: string;
  readonly backend: CloudBackend;
  readonly limits: BatcherLimits & { readonly callsMax: number };
  readonly calls: CallSettings;
  /** Whether a call given up costs the backend nothing more. */
  readonly isServer: boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly events?: {
    called?(event: {
      readonly frames: number;
      readonly ms: number;
      readonly code: string;
      readonly hedge: boolean;
    }): void;
    retry?(event: { readonly decision: RetryDecision; readonly code: string }): void;
    circuit?(state: CircuitState): void;
  };
};

type Waiting = { readonly ticket: Ticket<CloudFrame>; readonly settle: (verdict: Ruling) => void };
type Entry = Queued<Waiting>;

export class Target {
  readonly name: string;
  readonly #options: TargetOptions;
  readonly #calls: Calls<CloudFrame, CloudOutcome>;
  readonly #batcher: MicroBatcher<Waiting>;
  readonly #stop = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #pump: Promise<void>;
  #wake: (() => void) | undefined;
  #room: (() => void)[] = [];

  constructor(options: TargetOptions) {
    this.name = options.name;
    this.#options = options;
    this.#batcher = new MicroBatcher(options.limits);
    const { backend, calls: settings, clock, random, events } = options;
    this.#calls = new Calls<CloudFrame, CloudOutcome>({
      settings,
      clock,
      random,
      isServer: options.isServer,
      invoke: (frames, limits) => backend.classify(frames, limits),
      failing: (outcome) => (outcome.kind === "failed" ? outcome : undefined),
      failed: (code, message, again) => ({ kind: "failed", code, message, again }),
      events: {
        called: ({ items, ...event }) => events?.called?.({ frames: items, ...event }),
        retry: (event) => events?.retry?.(event),
        circuit: (state) => events?.circuit?.(state),
      },
    });
    this.#pump = this.#run();
  }

  get queueFrames(): number {
    return this.#batcher.frames;
  }

  get callsInFlight(): number {
    return this.#inFlight.size;
  }

  get circuit(): CircuitState {
    return this.#calls.circuit;
  }

  get isServer(): boolean {
    return this.#options.isServer;
  }

  ready(): boolean {
    return this.#options.backend.ready();
  }

  async submit({ lane, deviceId, deadlineAt, keepExpired, ...frame }: Submission): Promise<Verdict> {
    const { clock } = this.#options;
    const { promise, resolve } = Promise.withResolvers<Ruling>();
    const ticket = new Ticket<CloudFrame>(frame);
    const settle = (ruling: Ruling) => {
      ticket.settled = true;
      resolve(ruling);
    };
    const entry: Entry = {
      item: { ticket, settle },
      lane,
      owner: deviceId,
      bytes: frame.jpeg.length,
      deadlineAt,
      keepExpired,
      queuedAtMs: clock.monotonicMs(),
    };
    const over = new AbortController();
    if (!keepExpired) {
      const expire = () => settle(expiredBy(ticket));
      void clock.sleep(Math.max(0, deadlineAt - clock.now()), over.signal).then(expire, () => {});
    }
    void this.#queue(entry); // it may wait for room longer than the frame may
    const ruling = await promise;
    over.abort();
    return { ...ruling, attempts: ticket.attempts, costMicros: ticket.costMicros };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#options.backend.close();
    await this.#pump;
    await Promise.all(this.#inFlight);
    for (const entry of this.#batcher.drain()) entry.item.settle(CLOSING);
    this.#freeRoom();
  }

  async #queue(entry: Entry): Promise<void> {
    const { ticket, settle } = entry.item;
    while (!ticket.settled) {
      if (this.#stop.signal.aborted) return settle(CLOSING);
      const offer = this.#batcher.offer(entry);
      if (offer === "shed") return settle({ kind: "overloaded" });
      if (offer === "queued") return this.#wake?.();
      await new Promise<void>((hasRoom) => this.#room.push(hasRoom));
    }
  }

  async #run(): Promise<void> {
    const { clock, limits } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#inFlight.size >= limits.callsMax) {
        await this.#pause(undefined);
        continue;
      }
      const taken = this.#batcher.take({ wall: clock.now(), monotonicMs: clock.monotonicMs() });
      for (const { item } of taken.expired) item.settle(expiredBy(item.ticket));
      if (taken.batch.length + taken.expired.length > 0) this.#freeRoom();
      const batch = taken.batch.filter(({ item }) => !item.ticket.settled);
      if (batch.length > 0) this.#start(batch);
      else if (taken.batch.length === 0) await this.#pause(taken.nextAtMs);
    }
  }

  #start(batch: readonly Entry[]): void {
    const call = this.#call(batch).finally(() => {
      this.#inFlight.delete(call);
      this.#wake?.();
    });
    this.#inFlight.add(call);
  }

  async #call(batch: readonly Entry[]): Promise<void> {
    const { clock, calls, isServer } = this.#options;
    const { signal } = this.#stop;
    const latest = clock.now() + calls.callMsMax * calls.retry.attemptsMax;
    const wanted = batch.map((entry) => (entry.keepExpired || !isServer ? latest : entry.deadlineAt));
    const outcomes = await this.#calls.run(
      batch.map(({ item }) => item.ticket),
      { deadline: Math.min(latest, Math.max(...wanted)), signal },
    );
    for (const [i, { item }] of batch.entries()) {
      const outcome = outcomes[i] as CloudOutcome;
      item.settle(outcome.kind === "failed" && signal.aborted ? CLOSING : { kind: "outcome", outcome });
    }
  }

  async #pause(untilMs: number | undefined): Promise<void> {
    const { clock } = this.#options;
    const woken = linkedSignal(this.#stop.signal);
    this.#wake = () => woken.abort();
    const ms = untilMs === undefined ? IDLE_MS : Math.max(0, untilMs - clock.monotonicMs());
    await clock.sleep(ms, woken.signal).catch(() => {});
    woken.unlink();
    this.#wake = undefined;
  }

  #freeRoom(): void {
    for (const hasRoom of this.#room.splice(0)) hasRoom();
  }
}

type Ruling = Verdict extends infer V ? (V extends Verdict ? Omit<V, keyof Spent> : never) : never;

/** Arrivals and calls that end wake the loop; this only bounds the wait. */
const IDLE_MS = 60_000;

const CLOSING: Ruling = { kind: "closing" };

const expiredBy = (ticket: Ticket<CloudFrame>): Ruling => ({
  kind: "expired",
  code: ticket.attempts === 0 ? "deadline-passed" : "backend-timeout",
});
