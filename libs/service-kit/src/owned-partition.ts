/**
 * One partition number that this process owns: what it remembers of it, the order of its work, and the writer that alone may
 * write it. A service extends it with what it does, e.g. the router's partition-worker.ts.
 *
 * O1. Work of a partition runs one after another.
 * O2. A partition is claimed before it is rebuilt, and only the writer of that claim writes it. Kafka refuses the writes of a
 *     former owner from then on, however late they arrive; so the rebuilt memory is complete until another claim (G12).
 * O3. After any error while writing, the memory is discarded and rebuilt: it may include what was not stored.
 */
import type { FencedWriter, OutRecord, PartitionFence, Position } from "@tributary/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";

export type OwnedPartitionOptions<M> = {
  readonly number: number;
  readonly fence: PartitionFence;
  readonly clock: Clock;
  /** Reads the memory from Kafka. */
  readonly rebuild: (signal: AbortSignal) => Promise<M>;
  readonly onRebuilt: (memory: M, ms: number) => void;
  readonly onForgotten: (forgotten: { readonly code: string; readonly reason: string; readonly memory: M }) => void;
};

/** Kafka forgets a producer's epoch a day after its last record, and a transactional id after a week. */
const CLAIM_MS_MAX = 12 * 3_600_000;
const REBUILD_EVERY_MS = 1_000;
const PREPARE_MS_MAX = 60_000;
const PREPARE_PAUSE_MS = 250;

type Owned<M> = { readonly writer: FencedWriter; readonly claimedAtMs: number; readonly memory: M };

export class OwnedPartition<M> {
  readonly #options: OwnedPartitionOptions<M>;
  readonly #revoked = new AbortController();
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #owned: Owned<M> | undefined;
  /** Of the last rebuild. */
  #triedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: OwnedPartitionOptions<M>) {
    this.#options = options;
  }

  get number(): number {
    return this.#options.number;
  }

  get isReady(): boolean {
    return this.#owned !== undefined;
  }

  /** Undefined until it is rebuilt. */
  get memory(): M | undefined {
    return this.#owned?.memory;
  }

  /** Aborts when the partition is revoked. */
  get signal(): AbortSignal {
    return this.#revoked.signal;
  }

  /** Rebuilds; waits for Kafka at most `PREPARE_MS_MAX` (G9). */
  prepare(): Promise<void> {
    return this.#next(async () => {
      const { clock } = this.#options;
      const givesUpAt = clock.monotonicMs() + PREPARE_MS_MAX;
      for (;;) {
        try {
          await this.#ready();
          return;
        } catch (error) {
          if (this.#revoked.signal.aborted) return;
          if (!(error instanceof Failure) || error.advice !== "retry" || clock.monotonicMs() > givesUpAt) throw error;
          await clock.sleep(PREPARE_PAUSE_MS, this.#revoked.signal).catch(() => {});
        }
      }
    });
  }

  /** O1. Claims and rebuilds first, where that is needed. */
  inTurn(work: (memory: M) => Promise<void>): Promise<void> {
    return this.#next(async () => work(await this.#ready()));
  }

  /** As `inTurn`, but nothing while other work runs, nor soon after a rebuild that failed. */
  async whenIdle(work: (memory: M) => Promise<void>): Promise<void> {
    if (this.#waiting > 0 || this.#revoked.signal.aborted) return;
    if (!this.isReady && this.#options.clock.monotonicMs() - this.#triedAtMs < REBUILD_EVERY_MS) return;
    await this.inTurn(work);
  }

  /** O3. The partition is claimed and rebuilt when it is next needed. */
  forget(code: string, reason: string): void {
    const memory = this.#take();
    if (memory !== undefined) this.#options.onForgotten({ code, reason, memory });
  }

  /** Ends what is under way as soon as that can end; `revoke` follows. */
  lose(): void {
    this.#revoked.abort(revokedFailure(this.number));
  }

  /** O2. Resolves when nothing of this partition is under way; what it remembered, if anything. */
  async revoke(): Promise<M | undefined> {
    const memory = this.#take();
    this.lose();
    await this.#turn;
    return memory;
  }

  /** Stores records by the claim that `memory` was rebuilt after. */
  async send(memory: M, recordsOf: () => readonly OutRecord[]): Promise<readonly Position[]> {
    if (this.#revoked.signal.aborted) throw revokedFailure(this.number); // O2
    const owned = this.#owned;
    if (owned?.memory !== memory) {
      throw new Failure("partition-memory-stale", "retry", `partition ${this.number} was forgotten meanwhile`);
    }
    let records: readonly OutRecord[];
    try {
      records = recordsOf();
    } catch (error) {
      this.forget("encode-failed", reasonOf(error)); // O3
      throw error;
    }
    if (records.length === 0) return [];
    try {
      return await owned.writer.send(records);
    } catch (error) {
      this.forget("send-failed", reasonOf(error)); // O3
      if (error instanceof Failure && error.advice !== "give-up") throw error;
      throw new Failure("partition-send-failed", "retry", reasonOf(error), { cause: error });
    }
  }

  #take(): M | undefined {
    const memory = this.#owned?.memory;
    this.#owned = undefined;
    return memory;
  }

  #next(work: () => Promise<void>): Promise<void> {
    this.#waiting++;
    const mine = this.#turn.then(work).finally(() => this.#waiting--);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #ready(): Promise<M> {
    const { signal } = this.#revoked;
    const { clock, fence, rebuild, onRebuilt, number } = this.#options;
    if (signal.aborted) throw revokedFailure(number);
    const startedAtMs = clock.monotonicMs();
    if (this.#owned !== undefined && startedAtMs - this.#owned.claimedAtMs < CLAIM_MS_MAX) return this.#owned.memory;
    this.forget("claim-expires", "its claim is renewed");
    this.#triedAtMs = startedAtMs;
    try {
      const writer = await fence.claim(number, signal); // O2
      const memory = await rebuild(signal);
      this.#owned = { writer, claimedAtMs: startedAtMs, memory };
      onRebuilt(memory, clock.monotonicMs() - startedAtMs);
      return memory;
    } catch (error) {
      if (signal.aborted) throw revokedFailure(number);
      if (error instanceof Failure) throw error;
      const reason = `partition ${number}: ${reasonOf(error)}`;
      throw new Failure("partition-rebuild-failed", "retry", reason, { cause: error });
    }
  }
}

const revokedFailure = (number: number): Failure =>
  new Failure("partition-revoked", "retry", `partition ${number} belongs to another instance now`);
