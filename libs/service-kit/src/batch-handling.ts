/**
 * Handles a batch so that it always ends: processed, retried for a bounded time, or with its poison records as dead letters.
 *
 * B1. A record that cannot be decoded goes to the dead letters; the others of its batch are handled without it (G8).
 * B2. A Failure with the advice "retry" repeats the same records with full-jitter backoff, for at most `retryMsMax` (G9); then
 *     it is thrown, and the process ends: a supervisor tries with a fresh one.
 * B3. A Failure with the advice "ask-a-person" is thrown at once.
 * B4. Anything else is poison: the records are handled one by one, and one that fails alone becomes a dead letter.
 * B5. `processed` counts only records that are handled or stored as dead letters.
 */
import type { Codec } from "@tributary/contracts";
import type { Batch, DeadLetters, InRecord, Processed } from "@tributary/kafka";
import { codeOf, letterOf } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { batchRetried } from "./events.ts";

export type DecodedRecord<T> = Omit<InRecord, "value"> & { readonly value: T };

export type DecodedBatch<T> = Omit<Batch, "records"> & { readonly records: readonly DecodedRecord<T>[] };

export type BatchHandler<T> = (batch: DecodedBatch<T>, signal: AbortSignal) => Promise<void>;

export type BatchHandling = {
  readonly deadLetters: DeadLetters;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoff?: Backoff;
  readonly retryMsMax?: number;
  readonly telemetry?: Telemetry;
};

const BACKOFF: Backoff = { minMs: 50, maxMs: 5_000 };
const RETRY_MS_MAX = 300_000;

export async function handleBatch<T>(
  batch: Batch,
  signal: AbortSignal,
  codec: Pick<Codec<T>, "decodeConfluent">,
  handle: BatchHandler<T>,
  handling: BatchHandling,
): Promise<Processed> {
  const whole = batch.records.length;
  const { decoded, poison } = decodeAll(batch.records, codec);
  try {
    if (poison.length > 0) await writeDeadLetters(poison, batch, signal, handling);
    if (decoded.length > 0) await handleAll({ ...batch, records: decoded }, signal, handle, handling, batch);
    return { processed: whole };
  } catch (error) {
    if (signal.aborted) return { processed: 0 }; // B5: stopping is no failure; the batch is delivered again
    throw error;
  }
}

type Poison = { readonly record: InRecord; readonly error: unknown };

function decodeAll<T>(records: readonly InRecord[], codec: Pick<Codec<T>, "decodeConfluent">) {
  const decoded: DecodedRecord<T>[] = [];
  const poison: Poison[] = [];
  for (const record of records) {
    try {
      if (record.value === null) throw new Failure("tombstone-unexpected", "give-up", "a null value on an event topic");
      decoded.push({ ...record, value: codec.decodeConfluent(record.value) });
    } catch (error) {
      poison.push({ record, error });
    }
  }
  return { decoded, poison };
}

async function handleAll<T>(
  batch: DecodedBatch<T>,
  signal: AbortSignal,
  handle: BatchHandler<T>,
  handling: BatchHandling,
  original: Batch,
): Promise<void> {
  try {
    await withRetry(() => handle(batch, signal), batch, signal, handling);
  } catch (error) {
    if (signal.aborted || isForTheProcess(error)) throw error;
    const [only, ...others] = batch.records;
    if (only === undefined) return;
    if (others.length > 0) {
      for (const record of batch.records) {
        await handleAll({ ...batch, records: [record] }, signal, handle, handling, original);
      }
      return;
    }
    const record = original.records.find((candidate) => candidate.offset === only.offset);
    if (record !== undefined) await writeDeadLetters([{ record, error }], batch, signal, handling);
  }
}

const isForTheProcess = (error: unknown): boolean => error instanceof Failure && error.advice !== "give-up";

const writeDeadLetters = (
  poison: readonly Poison[],
  at: At,
  signal: AbortSignal,
  handling: BatchHandling,
): Promise<unknown> =>
  withRetry(
    () => handling.deadLetters.write(poison.map(({ record, error }) => letterOf(record, error))),
    at,
    signal,
    handling,
  );

type At = { readonly topic: string; readonly partition: number };

async function withRetry<R>(work: () => Promise<R>, at: At, signal: AbortSignal, handling: BatchHandling): Promise<R> {
  const { clock, random, telemetry, backoff = BACKOFF, retryMsMax = RETRY_MS_MAX } = handling;
  const givesUpAt = clock.monotonicMs() + retryMsMax;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isTransient = error instanceof Failure && error.advice === "retry";
      if (!isTransient || signal.aborted || clock.monotonicMs() >= givesUpAt) throw error;
      const { topic, partition } = at;
      telemetry?.emit(batchRetried, { topic, partition, code: codeOf(error), attempt, reason: reasonOf(error) });
      await clock.sleep(backoffMs(backoff, attempt, random), signal);
    }
  }
}
