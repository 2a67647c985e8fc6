/**
 * One running partition: its memory, the order of its work, and the order in which its effects reach Kafka.
 *
 * W1. Batches and ticks of a partition run one at a time.
 * W2. Answers and requests are stored first, then the states that include them, and only then may the input be committed. What
 *     a crash loses is then in the inputs, which are delivered again, or among the answers, which `rebuild` reads (G2).
 * W3. After any error while writing, the memory is discarded and rebuilt: it may include answers that were not stored.
 * W4. A partition is claimed before it is rebuilt, and only the writer of that claim writes it. Kafka refuses the writes of a
 *     former owner from then on, however late they arrive; so the rebuilt memory is complete until another claim (G12).
 * W5. Hence answers get the expected offsets. If they do not, something other than a router of ours writes answers.
 */
import { topics } from "@tributary/contracts";
import {
  codeOf,
  type FencedWriter,
  type OutRecord,
  type PartitionFence,
  type PartitionReader,
  type Position,
} from "@tributary/kafka";
import { type Clock, Failure, invariant, reasonOf } from "@tributary/kernel";
import { Effects, type SettlementPartition } from "@tributary/routing/settlement";
import type { Telemetry } from "@tributary/telemetry";
import { partitionForgotten, partitionRebuilt } from "./events.ts";
import { emitNotes } from "./notes.ts";
import { type Rebuilt, rebuild } from "./rebuild.ts";
import { answerRecord, requestRecord, requestTopic } from "./records.ts";
import { SendSpans } from "./send-spans.ts";
import { StoredDevice } from "./state-log.ts";

export type PartitionWorkerOptions = {
  readonly number: number;
  readonly empty: () => SettlementPartition;
  readonly reader: PartitionReader;
  readonly fence: PartitionFence;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly onUnfair: (deviceId: string, why: string) => void;
};

/** Kafka forgets a producer's epoch a day after its last record, and a transactional id after a week. */
const CLAIM_MS_MAX = 12 * 3_600_000;
const SAVE_EVERY_MS = 250;
const REBUILD_EVERY_MS = 1_000;
const PREPARE_MS_MAX = 60_000;
const PREPARE_PAUSE_MS = 250;

type Memory = {
  readonly writer: FencedWriter;
  readonly claimedAtMs: number;
  readonly partition: SettlementPartition;
  readonly stored: Map<string, StoredDevice>;
  known: bigint;
  /** As of the last complete save. */
  savedUntil: bigint;
  unsaved: Set<string>;
};

export class PartitionWorker {
  readonly #options: PartitionWorkerOptions;
  readonly #revoked = new AbortController();
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #memory: Memory | undefined;
  #savedAtMs = 0;
  /** Of the last rebuild. */
  #triedAtMs = 0;

  constructor(options: PartitionWorkerOptions) {
    this.#options = options;
  }

  get number(): number {
    return this.#options.number;
  }

  get isReady(): boolean {
    return this.#memory !== undefined;
  }

  get openFrames(): number {
    return this.#memory?.partition.openFrames ?? 0;
  }

  get devices(): number {
    return this.#memory?.partition.devices ?? 0;
  }

  /** Rebuilds; waits for Kafka at most `PREPARE_MS_MAX` (G9). */
  prepare(): Promise<void> {
    return this.#inTurn(async () => {
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

  /** Applies one step of input after another; all are stored when it resolves. */
  handle<T>(
    items: readonly T[],
    apply: (partition: SettlementPartition, item: T, now: number, effects: Effects) => void,
    answersUnsavedMax: number,
  ): Promise<void> {
    return this.#inTurn(async () => {
      const memory = await this.#ready();
      let effects = new Effects();
      for (const item of items) {
        try {
          apply(memory.partition, item, this.#options.clock.now(), effects);
        } catch (error) {
          this.forget("apply-failed", reasonOf(error)); // W3
          throw error;
        }
        if (effects.answerCount < answersUnsavedMax) continue;
        await this.#store(memory, effects, true);
        effects = new Effects();
      }
      memory.partition.tick(this.#options.clock.now(), effects);
      await this.#store(memory, effects, true);
    });
  }

  /** Settles what is overdue. A partition that is busy does it itself, at the end of its batch. */
  async tick(): Promise<void> {
    if (this.#waiting > 0 || this.#revoked.signal.aborted) return;
    if (this.#memory === undefined && this.#options.clock.monotonicMs() - this.#triedAtMs < REBUILD_EVERY_MS) return;
    await this.#inTurn(async () => {
      const memory = await this.#ready();
      const effects = new Effects();
      memory.partition.tick(this.#options.clock.now(), effects);
      const save = memory.unsaved.size > 0 && this.#options.clock.monotonicMs() - this.#savedAtMs >= SAVE_EVERY_MS;
      if (effects.answers.length > 0 || effects.touched.size > 0 || save) await this.#store(memory, effects, save);
    });
  }

  /** Forgets devices that were silent for `idleMsMax`, and their stored states. */
  async prune(idleMsMax: number): Promise<void> {
    await this.#inTurn(async () => {
      const memory = this.#memory;
      if (memory === undefined) return;
      const now = this.#options.clock.now();
      const gone = memory.partition.prune(now, idleMsMax);
      if (gone.length === 0) return;
      await this.#send(memory, () =>
        gone.flatMap((deviceId) => memory.stored.get(deviceId)?.forgotten(this.number, now) ?? []),
      );
      for (const deviceId of gone) memory.stored.delete(deviceId);
    });
  }

  /** W3. Discards the memory; the partition is claimed and rebuilt when it is next needed. */
  forget(code: string, reason: string): void {
    if (this.#memory === undefined) return;
    this.#memory = undefined;
    this.#options.telemetry.emit(partitionForgotten, { partition: this.number, code, reason });
  }

  /** Aborts when the partition is revoked. */
  get signal(): AbortSignal {
    return this.#revoked.signal;
  }

  /** W4. Resolves when nothing of this partition is under way. */
  async revoke(): Promise<void> {
    this.#memory = undefined;
    this.#revoked.abort(revokedFailure(this.number));
    await this.#turn;
  }

  /** W1 */
  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#waiting++;
    const mine = this.#turn.then(work).finally(() => this.#waiting--);
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #ready(): Promise<Memory> {
    if (this.#revoked.signal.aborted) throw revokedFailure(this.number);
    const { clock, fence, telemetry, number } = this.#options;
    const startedAt = clock.monotonicMs();
    if (this.#memory !== undefined && startedAt - this.#memory.claimedAtMs < CLAIM_MS_MAX) return this.#memory;
    this.forget("claim-expires", "its claim is renewed");
    this.#triedAtMs = startedAt;
    const { signal } = this.#revoked;
    let writer: FencedWriter;
    let rebuilt: Rebuilt;
    try {
      writer = await fence.claim(number, signal); // W4
      rebuilt = await rebuild({ ...this.#options, signal });
    } catch (error) {
      if (signal.aborted) throw revokedFailure(number);
      if (error instanceof Failure) throw error;
      throw new Failure("router-rebuild-failed", "retry", `partition ${number}: ${reasonOf(error)}`, { cause: error });
    }
    const { partition, stored, known, replayFrom, unsaved, answers } = rebuilt;
    this.#memory = {
      writer,
      claimedAtMs: startedAt,
      partition,
      stored,
      known,
      savedUntil: replayFrom,
      unsaved: new Set(unsaved),
    };
    const ms = clock.monotonicMs() - startedAt;
    telemetry.emit(partitionRebuilt, { partition: number, devices: partition.devices, answers, ms });
    return this.#memory;
  }

  /** W2 */
  async #store(memory: Memory, effects: Effects, save: boolean): Promise<void> {
    const { clock, telemetry } = this.#options;
    const now = clock.now();
    const spans = new SendSpans(telemetry.tracer);
    const positions = await this.#send(memory, () => [
      ...effects.answers.map((record) => answerRecord(spans.answer(record), now)),
      ...effects.requests.map(({ lane, request }) =>
        requestRecord(lane, spans.request(requestTopic(lane), request), now),
      ),
    ]).catch((error: unknown) => {
      spans.end(codeOf(error));
      throw error;
    });
    spans.end();
    this.#follow(memory, positions, effects.answers.length);
    emitNotes(effects, telemetry);
    for (const note of effects.notes) if (note.kind === "unfair") this.#options.onUnfair(note.deviceId, note.why);
    for (const deviceId of effects.touched) memory.unsaved.add(deviceId);
    if (save) await this.#save(memory);
  }

  async #save(memory: Memory): Promise<void> {
    if (memory.unsaved.size === 0) return;
    const now = this.#options.clock.now();
    const offsets = { known: memory.known, replayFrom: memory.savedUntil };
    await this.#send(memory, () =>
      [...memory.unsaved].flatMap((deviceId) => {
        const changes = memory.partition.takeChanges(deviceId);
        if (changes === undefined) return [];
        const stored = memory.stored.get(deviceId) ?? new StoredDevice(deviceId);
        memory.stored.set(deviceId, stored);
        return stored.save(changes, offsets, this.number, now);
      }),
    );
    memory.savedUntil = memory.known;
    memory.unsaved = new Set();
    this.#savedAtMs = this.#options.clock.monotonicMs();
  }

  async #send(memory: Memory, recordsOf: () => readonly OutRecord[]): Promise<readonly Position[]> {
    if (this.#revoked.signal.aborted) throw revokedFailure(this.number); // W4
    if (this.#memory !== memory) {
      throw new Failure("router-memory-stale", "retry", `partition ${this.number} was forgotten meanwhile`);
    }
    let records: readonly OutRecord[];
    try {
      records = recordsOf();
    } catch (error) {
      this.forget("encode-failed", reasonOf(error)); // W3
      throw error;
    }
    if (records.length === 0) return [];
    try {
      return await memory.writer.send(records);
    } catch (error) {
      this.forget("send-failed", reasonOf(error)); // W3
      if (error instanceof Failure && error.advice !== "give-up") throw error;
      throw new Failure("router-send-failed", "retry", reasonOf(error), { cause: error });
    }
  }

  /** W5 */
  #follow(memory: Memory, positions: readonly Position[], answers: number): void {
    for (const position of positions.slice(0, answers)) {
      invariant(position.topic === topics.classifications.name, `an answer went to ${position.topic}`);
      if (position.offset !== memory.known) {
        const reason = `an answer got offset ${position.offset} where ${memory.known} was expected`;
        this.forget("strange-offset", reason);
        throw new Failure("router-strange-offset", "retry", `partition ${this.number}: ${reason}`);
      }
      memory.known++;
    }
  }
}

const revokedFailure = (number: number): Failure =>
  new Failure("router-partition-revoked", "retry", `partition ${number} belongs to another router now`);
