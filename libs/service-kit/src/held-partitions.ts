/**
 * The partitions that a member of a consumer group holds, each with its worker. A partition is rebuilt before its first batch;
 * a bounded number of rebuilds runs at a time (G9).
 */
import type { Batch, BatchSource, PartitionEvents, Processed } from "@tributary/kafka";
import { Failure, linkedSignal } from "@tributary/kernel";
import type { OwnedPartition } from "./owned-partition.ts";

const REBUILDS_MAX = 16;

type Worker = Pick<OwnedPartition<unknown>, "number" | "isReady" | "signal" | "prepare" | "lose" | "revoke">;

export class HeldPartitions<W extends Worker> implements PartitionEvents {
  readonly #make: (number: number) => W;
  readonly #workers = new Map<number, W>();

  constructor(make: (number: number) => W) {
    this.#make = make;
  }

  get workers(): readonly W[] {
    return [...this.#workers.values()];
  }

  /** True once partitions are held and rebuilt. */
  get isReady(): boolean {
    return this.#workers.size > 0 && this.workers.every((worker) => worker.isReady);
  }

  holds(partition: number): boolean {
    return this.#workers.get(partition)?.isReady === true;
  }

  /** Throws Failure `partition-revoked`. */
  worker(partition: number): W {
    const worker = this.#workers.get(partition);
    if (worker !== undefined) return worker;
    throw new Failure("partition-revoked", "retry", `partition ${partition} is not held`);
  }

  async onAssigned(numbers: readonly number[]): Promise<void> {
    const workers = numbers.map((number) => this.#make(number));
    for (const worker of workers) this.#workers.set(worker.number, worker);
    const queue = [...workers];
    const rebuildNext = async (): Promise<void> => {
      for (let worker = queue.pop(); worker !== undefined; worker = queue.pop()) await worker.prepare();
    };
    await Promise.all(Array.from({ length: Math.min(REBUILDS_MAX, workers.length) }, rebuildNext));
  }

  onLosing(numbers: readonly number[]): void {
    for (const number of numbers) this.#workers.get(number)?.lose();
  }

  async onRevoked(numbers: readonly number[] = [...this.#workers.keys()]): Promise<void> {
    const gone = numbers.flatMap((number) => this.#workers.get(number) ?? []);
    for (const worker of gone) this.#workers.delete(worker.number);
    await Promise.all(gone.map((worker) => worker.revoke()));
  }

  /** Ends the handling of a batch whose partition is revoked: the new owner handles the rest. */
  fenced(source: BatchSource): BatchSource {
    return {
      get problem() {
        return source.problem;
      },
      run: (handle, events) =>
        source.run(async (batch: Batch, signal: AbortSignal): Promise<Processed> => {
          const worker = this.#workers.get(batch.partition);
          if (worker === undefined) return { processed: 0 };
          const either = linkedSignal(signal, worker.signal);
          const done = await handle(batch, either.signal).finally(() => either.unlink());
          return worker.signal.aborted ? { processed: 0 } : done;
        }, events),
      close: () => source.close(),
    };
  }
}
