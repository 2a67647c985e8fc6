/**
 * One running partition: its memory, and the order in which its effects reach Kafka (owned-partition.ts of service-kit).
 *
 * W2. Answers and requests are stored first, then the states that include them, and only then may the input be committed. What
 *     a crash loses is then in the inputs, which are delivered again, or among the answers, which `rebuild` reads (G2).
 * W5. Only the owner of a partition writes it (O2), so answers get the expected offsets. If they do not, something other than a
 *     router of ours writes answers.
 */
import { topics } from "@tributary/contracts";
import { codeOf, type PartitionFence, type PartitionReader, type Position } from "@tributary/kafka";
import { type Clock, Failure, invariant, reasonOf } from "@tributary/kernel";
import { Effects, type SettlementPartition } from "@tributary/routing/settlement";
import { OwnedPartition } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { partitionForgotten, partitionRebuilt } from "./events.ts";
import { emitNotes } from "./notes.ts";
import { rebuild } from "./rebuild.ts";
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

const SAVE_EVERY_MS = 250;

type Memory = {
  readonly partition: SettlementPartition;
  readonly stored: Map<string, StoredDevice>;
  known: bigint;
  /** As of the last complete save. */
  savedUntil: bigint;
  unsaved: Set<string>;
};

export class PartitionWorker extends OwnedPartition<Memory> {
  readonly #options: PartitionWorkerOptions;
  #savedAtMs = 0;

  constructor(options: PartitionWorkerOptions) {
    const { number, telemetry } = options;
    let answers = 0;
    super({
      ...options,
      rebuild: async (signal) => {
        const rebuilt = await rebuild({ ...options, signal });
        answers = rebuilt.answers;
        const { partition, stored, known, replayFrom: savedUntil } = rebuilt;
        return { partition, stored, known, savedUntil, unsaved: new Set(rebuilt.unsaved) };
      },
      onRebuilt: ({ partition }, ms) =>
        telemetry.emit(partitionRebuilt, { partition: number, devices: partition.devices, answers, ms }),
      onForgotten: ({ code, reason }) => telemetry.emit(partitionForgotten, { partition: number, code, reason }),
    });
    this.#options = options;
  }

  get openFrames(): number {
    return this.memory?.partition.openFrames ?? 0;
  }

  get devices(): number {
    return this.memory?.partition.devices ?? 0;
  }

  /** Applies one step of input after another; all are stored when it resolves. */
  handle<T>(
    items: readonly T[],
    apply: (partition: SettlementPartition, item: T, now: number, effects: Effects) => void,
    answersUnsavedMax: number,
  ): Promise<void> {
    return this.inTurn(async (memory) => {
      let effects = new Effects();
      for (const item of items) {
        try {
          apply(memory.partition, item, this.#options.clock.now(), effects);
        } catch (error) {
          this.forget("apply-failed", reasonOf(error)); // O3
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
  tick(): Promise<void> {
    return this.whenIdle(async (memory) => {
      const effects = new Effects();
      memory.partition.tick(this.#options.clock.now(), effects);
      const save = memory.unsaved.size > 0 && this.#options.clock.monotonicMs() - this.#savedAtMs >= SAVE_EVERY_MS;
      if (effects.answers.length > 0 || effects.touched.size > 0 || save) await this.#store(memory, effects, save);
    });
  }

  /** Forgets devices that were silent for `idleMsMax`, and their stored states. */
  prune(idleMsMax: number): Promise<void> {
    return this.inTurn(async (memory) => {
      const now = this.#options.clock.now();
      const gone = memory.partition.prune(now, idleMsMax);
      if (gone.length === 0) return;
      await this.send(memory, () =>
        gone.flatMap((deviceId) => memory.stored.get(deviceId)?.forgotten(this.number, now) ?? []),
      );
      for (const deviceId of gone) memory.stored.delete(deviceId);
    });
  }

  /** W2 */
  async #store(memory: Memory, effects: Effects, save: boolean): Promise<void> {
    const { clock, telemetry } = this.#options;
    const now = clock.now();
    const spans = new SendSpans(telemetry.tracer);
    const positions = await this.send(memory, () => [
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
    await this.send(memory, () =>
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
