/**
 * Keeps one outbox open: the agent answers with or without it, and records whenever it can (G4).
 *
 * Every opening is a boot with its own `bootId`; frame numbers start again with it. On opening, an outbox gets the state of the
 * connection, and the policy that was received meanwhile.
 *
 * K1. An outbox that cannot be opened, or that broke, is opened again after a jittered, bounded backoff. Until then there is
 *     no room, so frames are answered here only. */
import { type Backoff, backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import { type Failed, Outbox, type OutboxHandlers, type StartOutboxThread } from "./outbox.ts";
import type { Opened, OutboxItem, OutboxStats, RecordKey } from "./rows.ts";
import type { OutboxWorkerData } from "./worker.ts";

export type KeeperHandlers = OutboxHandlers & {
  readonly onOpened: (opened: Opened) => void;
  readonly onUnopened: (unopened: { readonly reason: string; readonly retryMs: number }) => void;
};

const BACKOFF: Backoff = { minMs: 500, maxMs: 30_000 };
/** An outbox that lasted this long restarts the backoff. */
const STEADY_MS = 60_000;
const NOTHING: OutboxStats = {
  frames: 0,
  predictions: 0,
  reports: 0,
  unacked: 0,
  bytes: 0,
  full: false,
  stalled: false,
};

export class OutboxKeeper {
  readonly #options: OutboxWorkerData;
  readonly #handlers: KeeperHandlers;
  readonly #startThread: StartOutboxThread;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  #current: Outbox | undefined;
  #reason: string | undefined;
  #isDamaged = false;
  #attempt = 0;
  #openedAtMs = 0;
  #link: { readonly online: boolean; readonly epoch: number } | undefined;
  /** Received while there was no outbox to store it. */
  #policy: { readonly bytes: Uint8Array | null } | undefined;
  #sampleKey: Uint8Array | undefined;
  #opening: Promise<void> = Promise.resolve();

  constructor(
    options: OutboxWorkerData,
    handlers: KeeperHandlers,
    startThread: StartOutboxThread,
    clock: Clock,
    random: Random,
  ) {
    this.#options = options;
    this.#handlers = handlers;
    this.#startThread = startThread;
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves after the first attempt, whatever its result; the handlers get it. */
  async open(): Promise<void> {
    if (!(await this.#tryOpen())) this.#opening = this.#openLater();
  }

  /** Null while there is no outbox. */
  get bootId(): string | null {
    return this.#current?.opened.bootId ?? null;
  }

  get opened(): Opened | undefined {
    return this.#current?.opened;
  }

  /** Why nothing is recorded; undefined if it is. */
  get broken(): string | undefined {
    return this.#current === undefined ? (this.#reason ?? "not open yet") : this.#current.broken;
  }

  get hasRoom(): boolean {
    return this.#current?.hasRoom ?? false;
  }

  get hasRoomForReports(): boolean {
    return this.#current?.hasRoomForReports ?? false;
  }

  get stats(): OutboxStats {
    return this.#current?.stats ?? NOTHING;
  }

  /** Items not yet on disk. */
  get uncommitted(): number {
    return this.#current === undefined ? 0 : this.#current.appended - this.#current.committed;
  }

  /** After `hasRoom` or `hasRoomForReports` was true. */
  append(item: OutboxItem): void {
    this.#current?.append(item);
  }

  link(online: boolean, epoch: number): void {
    this.#link = { online, epoch };
    this.#current?.link(online, epoch);
  }

  settled(key: RecordKey, acked: boolean, epoch: number): void {
    this.#current?.settled(key, acked, epoch);
  }

  confirmed(...acks: Parameters<Outbox["confirmed"]>): void {
    this.#current?.confirmed(...acks);
  }

  keepPolicy(bytes: Uint8Array | null): void {
    if (this.#current === undefined) this.#policy = { bytes };
    else this.#current.keepPolicy(bytes);
  }

  keepSampleKey(key: Uint8Array): void {
    this.#sampleKey = key;
    this.#current?.keepSampleKey(key);
  }

  async flush(): Promise<void> {
    await this.#current?.flush();
  }

  async close(): Promise<void> {
    this.#stopping.abort(new Error("stopping"));
    await this.#opening;
    await this.#current?.close();
  }

  async #tryOpen(): Promise<boolean> {
    try {
      let ownOutbox: Outbox | undefined;
      const handlers: OutboxHandlers = {
        ...this.#handlers,
        onSetAside: (setAside) => {
          this.#isDamaged = false;
          this.#handlers.onSetAside(setAside);
        },
        onFailed: (failed) => {
          this.#handlers.onFailed(failed);
          if (failed.fatal && ownOutbox !== undefined) this.#replace(ownOutbox, failed);
        },
      };
      const options = { ...this.#options, isDamaged: this.#isDamaged };
      const outbox = await Outbox.open(options, handlers, this.#startThread);
      ownOutbox = outbox;
      this.#isDamaged = false;
      this.#current = outbox;
      this.#openedAtMs = this.#clock.monotonicMs();
    } catch (error) {
      this.#reason = reasonOf(error);
      return false;
    }
    const { sampleKey = this.#current.opened.sampleKey } = { sampleKey: this.#sampleKey };
    const opened = { ...this.#current.opened, sampleKey };
    if (this.#sampleKey !== undefined) this.#current.keepSampleKey(sampleKey);
    if (this.#policy !== undefined) this.#current.keepPolicy(this.#policy.bytes);
    this.#handlers.onOpened(this.#policy === undefined ? opened : { ...opened, policy: null });
    this.#policy = undefined;
    if (this.#link !== undefined) this.#current.link(this.#link.online, this.#link.epoch);
    return true;
  }

  #replace(broken: Outbox, { message, trouble }: Failed): void {
    if (this.#current !== broken || this.#stopping.signal.aborted) return;
    this.#current = undefined;
    this.#reason = message;
    this.#isDamaged = trouble === "damaged";
    if (this.#clock.monotonicMs() - this.#openedAtMs >= STEADY_MS) this.#attempt = 0;
    this.#opening = broken.close().then(() => this.#openLater());
  }

  async #openLater(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const retryMs = backoffMs(BACKOFF, this.#attempt++, this.#random);
      this.#handlers.onUnopened({ reason: this.#reason ?? "", retryMs });
      await this.#clock.sleep(retryMs, signal).catch(() => undefined);
      if (signal.aborted || (await this.#tryOpen())) return;
    }
  }
}
