/**
 * The agent's side of the outbox: sends items to the engine's thread, a group commit at a time, and receives its results.
 * Nothing here waits for the disk.
 *
 * X1. Uncommitted items are bounded, in number and bytes, also while the disk takes nothing; beyond that, and for frames when
 *     the store is full of records that must not be dropped, there is no room: the caller checks first, and must not number
 *     the frame (G2, G9).
 * X2. An acknowledgement counts only for a record that this outbox sent: another file may use the same key.
 */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { UplinkStream } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import type { DiskTrouble } from "./disk.ts";
import type {
  Dropped,
  FromOutbox,
  Opened,
  OpenOptions,
  OutboxItem,
  OutboxStats,
  RecordKey,
  SendTrace,
  SeqRange,
  ToOutbox,
} from "./rows.ts";
import type { OutboxWorkerData } from "./worker.ts";

export type Send = {
  readonly key: RecordKey;
  readonly payload: Uint8Array;
  readonly frames: number;
  readonly epoch: number;
  readonly trace?: SendTrace;
};

export type OutboxHandlers = {
  readonly onSend: (send: Send) => void;
  readonly onCommitted: (committed: {
    readonly items: number;
    readonly stats: OutboxStats;
    readonly dropped: readonly Dropped[];
    readonly commitMs: number;
  }) => void;
  /** `fatal`: this outbox records nothing more. */
  readonly onFailed: (failed: Failed) => void;
  /** A damaged file was renamed. */
  readonly onSetAside: (setAside: { readonly file: string; readonly reason: string }) => void;
};

export type Failed = { readonly message: string; readonly trouble: DiskTrouble; readonly fatal: boolean };

const UNCOMMITTED_ITEMS_MAX = 1_024;
const UNCOMMITTED_BYTES_MAX = 16 << 20;
/** Approximate bytes of a prediction. */
const PREDICTION_BYTES = 512;
/** The worker holds one transaction's rows and a window of payloads. */
const WORKER_MEMORY = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2 };

/** Where the engine of an outbox runs: in a worker, or in memory (memory.ts). */
type OutboxThread = {
  /** The second argument's buffers are transferred, not copied. */
  readonly post: (message: ToOutbox, transfer: ArrayBuffer[]) => void;
  /** After `close`, or after it was terminated. */
  readonly exited: Promise<unknown>;
  readonly terminate: () => Promise<unknown>;
};

export type StartOutboxThread = (
  options: OutboxWorkerData,
  handlers: { readonly onMessage: (message: FromOutbox) => void; readonly onError: (error: Error) => void },
) => OutboxThread;

export const inWorker: StartOutboxThread = (options, { onMessage, onError }) => {
  mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 });
  const isSource = import.meta.url.endsWith(".ts");
  const worker = new Worker(new URL(isSource ? "worker.ts" : "worker.js", import.meta.url), {
    workerData: options,
    resourceLimits: WORKER_MEMORY,
    ...(isSource && { execArgv: ["--conditions=@tributary/source"] }),
  });
  worker.on("message", onMessage);
  worker.on("error", onError);
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    exited: once(worker, "exit").catch(() => undefined), // An error was reported already.
    terminate: () => worker.terminate(),
  };
};

export class Outbox {
  readonly #thread: OutboxThread;
  readonly #handlers: OutboxHandlers;
  readonly #limits: OpenOptions["limits"];
  readonly opened: Opened;
  /** Why nothing more is recorded; undefined if it is. */
  broken: string | undefined;
  stats: OutboxStats;
  #gathered: OutboxItem[] = [];
  #timer: NodeJS.Timeout | undefined;
  #appended = 0;
  #committed = 0;
  /** Sizes of uncommitted items, oldest first. */
  #uncommitted: number[] = [];
  #uncommittedBytes = 0;
  #tickets = 0;
  readonly #flushes = new Map<number, () => void>();
  readonly #sent = new WeakSet<RecordKey>();
  #isClosed = false;

  private constructor(thread: OutboxThread, limits: OpenOptions["limits"], opened: Opened, handlers: OutboxHandlers) {
    this.#thread = thread;
    this.#limits = limits;
    this.opened = opened;
    this.stats = opened.stats;
    this.#handlers = handlers;
  }

  static async open(
    options: OutboxWorkerData,
    handlers: OutboxHandlers,
    startThread: StartOutboxThread = inWorker,
  ): Promise<Outbox> {
    const first = Promise.withResolvers<FromOutbox>();
    let outbox: Outbox | undefined;
    const thread = startThread(options, {
      onMessage: (message) => {
        if (message.kind === "setAside") handlers.onSetAside(message);
        else if (outbox !== undefined) outbox.#receive(message);
        else first.resolve(message);
      },
      onError: (error) => {
        if (outbox === undefined) first.reject(error);
        else outbox.#fail({ message: error.message, trouble: "other", fatal: true });
      },
    });
    const message = await first.promise;
    if (message.kind !== "opened") {
      const why = message.kind === "failed" ? message.message : `unexpected ${message.kind}`;
      throw new Failure("outbox-unusable", "ask-a-person", `${options.file}: ${why}`);
    }
    outbox = new Outbox(thread, options.limits, message.opened, handlers);
    return outbox;
  }

  /** Whether there is room for a frame. */
  get hasRoom(): boolean {
    return this.hasRoomForReports && !this.stats.full;
  }

  /** A report takes no lasting room: the store bounds their number. */
  get hasRoomForReports(): boolean {
    return (
      this.broken === undefined &&
      this.#uncommitted.length < UNCOMMITTED_ITEMS_MAX &&
      this.#uncommittedBytes < UNCOMMITTED_BYTES_MAX
    );
  }

  /** The number under which the item is committed; see `committed`. */
  append(item: OutboxItem): number {
    const bytes = bytesOf(item);
    this.#uncommitted.push(bytes);
    this.#uncommittedBytes += bytes;
    this.#appended += 1;
    this.#gathered.push(item);
    if (this.#gathered.length >= this.#limits.commitFrames) this.#hand();
    else this.#timer ??= setTimeout(() => this.#hand(), this.#limits.commitMs);
    return this.#appended;
  }

  get appended(): number {
    return this.#appended;
  }

  /** Items of this process that are durable. */
  get committed(): number {
    return this.#committed;
  }

  link(online: boolean, epoch: number): void {
    this.#post({ kind: "link", online, epoch });
  }

  settled(key: RecordKey, acked: boolean, epoch: number): void {
    if (!this.#sent.delete(key)) return;
    this.#post({ kind: "settled", key, acked, epoch });
  }

  /** Kafka has these records; the boot's id names the file they are of. */
  confirmed(bootId: bigint, stream: UplinkStream, ranges: readonly SeqRange[]): void {
    this.#post({ kind: "confirmed", bootId, stream, ranges });
  }

  keepSampleKey(bytes: Uint8Array): void {
    this.#post({ kind: "sampleKey", bytes: new Uint8Array(bytes) });
  }

  /** Null: the next start has none. */
  keepPolicy(bytes: Uint8Array | null): void {
    this.#post({ kind: "policy", bytes: bytes && new Uint8Array(bytes) });
  }

  /** Resolves when everything appended so far was tried to be committed. */
  flush(): Promise<void> {
    if (this.#isClosed || this.broken !== undefined) return Promise.resolve();
    this.#hand();
    const ticket = ++this.#tickets;
    return new Promise((resolve) => {
      this.#flushes.set(ticket, resolve);
      this.#post({ kind: "flush", ticket });
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#hand();
    this.#isClosed = true;
    if (this.broken === undefined) {
      this.#post({ kind: "close" });
      await this.#thread.exited;
    } else await this.#thread.terminate();
  }

  #post(message: ToOutbox): void {
    this.#thread.post(message, []);
  }

  /** To the engine, which commits them at once. */
  #hand(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gathered.length === 0) return;
    const transfer: ArrayBuffer[] = [];
    const items = this.#gathered.map((item) => {
      if (item.kind !== "frame" || item.jpeg === null) return item;
      // A camera's buffer is shared with other frames; a transferred buffer must not be.
      const jpeg = new Uint8Array(item.jpeg);
      transfer.push(jpeg.buffer);
      return { ...item, jpeg };
    });
    this.#gathered = [];
    this.#thread.post({ kind: "append", items }, transfer);
  }

  #receive(message: FromOutbox): void {
    switch (message.kind) {
      case "send":
        this.#sent.add(message.key);
        this.#handlers.onSend(message);
        break;
      case "committed":
        this.#settle(message.items);
        this.stats = message.stats;
        this.#handlers.onCommitted(message);
        break;
      case "flushed":
        this.#flushes.get(message.ticket)?.();
        this.#flushes.delete(message.ticket);
        break;
      case "failed":
        this.#fail(message);
        break;
      case "opened":
      case "setAside":
      case "closed":
        break;
      default:
        message satisfies never;
    }
  }

  #fail(failed: Failed): void {
    if (this.broken !== undefined) return;
    if (failed.fatal) {
      this.broken = failed.message;
      for (const flushed of this.#flushes.values()) flushed();
      this.#flushes.clear();
    } else this.stats = { ...this.stats, stalled: true };
    this.#handlers.onFailed(failed);
  }

  #settle(items: number): void {
    const count = items - this.#committed;
    for (const bytes of this.#uncommitted.splice(0, count)) this.#uncommittedBytes -= bytes;
    this.#committed = items;
  }
}

function bytesOf(item: OutboxItem): number {
  return item.kind === "report" ? item.body.length : PREDICTION_BYTES + (item.jpeg?.length ?? 0);
}
