/**
 * Finds the records of one frame in its device's partitions.
 *
 * A search is bounded by records, by time and in number (G9), and its result names the offsets that it did not read. Records
 * are read in offset order, so of several answers the first found is the final one (G2), within the window.
 */
import { Inject, Injectable } from "@nestjs/common";
import { ContractError, type Topic } from "@tributary/contracts";
import { type InRecord, KafkaReader, partitionOf } from "@tributary/kafka";
import type { Clock, Instant } from "@tributary/kernel";
import { CLOCK, CONFIG, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { GatewayConfig } from "../config.ts";
import { frameSearched } from "../events.ts";

export type Found<T> = { readonly value: T; readonly record: InRecord };

export type Searched<T> = {
  readonly found: Found<T> | null;
  readonly topic: string;
  readonly partition: number;
  /** Offsets searched: from, to just before until. */
  readonly from: bigint;
  readonly until: bigint;
  /** Whether everything retained was searched, or the bounds ended the search. */
  readonly whole: boolean;
};

/** By Kafka's timestamps. */
export type Window = { readonly from: Instant; readonly until: Instant };

@Injectable()
export class FrameSearch {
  readonly #limits: GatewayConfig["scan"];
  #running = 0;

  constructor(
    private readonly reader: KafkaReader,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    @Inject(CONFIG) { scan }: GatewayConfig,
  ) {
    this.#limits = scan;
  }

  /** Runs a request's searches within the bound of concurrent ones, with one time limit for all of them. */
  async within<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { concurrencyMax, msMax } = this.#limits;
    if (this.#running >= concurrencyMax) {
      const headers = { "Retry-After": "1" };
      throw new Problem(503, "search-busy", "retry", `${concurrencyMax} searches run already. Try again.`, { headers });
    }
    this.#running++;
    try {
      return await run(AbortSignal.timeout(msMax));
    } finally {
      this.#running--;
    }
  }

  /** The first record of the device for which `pick` gives something. */
  async first<T, R>(
    topic: Topic<T>,
    deviceId: string,
    pick: (value: T) => R | undefined,
    scope: { readonly signal: AbortSignal; readonly window?: Window | undefined },
  ): Promise<Searched<R>> {
    const { reader, clock, telemetry } = this;
    const since = clock.monotonicMs();
    const partition = partitionOf(deviceId, (await reader.partitions(topic.name)).length);
    const { from, until, whole } = await this.#range(topic.name, partition, scope.window);
    let records = 0;
    const searched = (found: Found<R> | null, to: bigint, all: boolean): Searched<R> => {
      const ms = clock.monotonicMs() - since;
      telemetry.emit(frameSearched, { topic: topic.name, records, found: found !== null, ms });
      return { found, topic: topic.name, partition, from, until: to, whole: all };
    };
    let reached = from;
    if (from < until) {
      for await (const record of reader.read(topic.name, partition, { from, until, signal: scope.signal })) {
        records++;
        reached = record.offset + 1n;
        if (record.key !== deviceId) continue; // before decoding: pictures are large
        const value = decoded(topic, record);
        const picked = value === undefined ? undefined : pick(value);
        if (picked !== undefined) return searched({ value: picked, record }, reached, whole);
      }
    }
    return scope.signal.aborted ? searched(null, reached, false) : searched(null, until, whole);
  }

  async #range(topic: string, partition: number, window: Window | undefined) {
    const { reader } = this;
    const limits = this.#limits;
    const { earliest, next } = await reader.offsets(topic, partition);
    const wanted = window === undefined ? earliest : await reader.offsetAt(topic, partition, window.from);
    const until = window === undefined ? next : await reader.offsetAt(topic, partition, window.until);
    const newest = until - BigInt(limits.recordsMax);
    const from = [wanted, newest].reduce((a, b) => (a > b ? a : b), earliest);
    return { from, until, whole: from === earliest && until === next };
  }
}

/** Undefined for a tombstone and for what does not decode: a search passes over both. */
export function decoded<T>(topic: Topic<T>, record: InRecord): T | undefined {
  if (record.value === null) return undefined;
  try {
    return topic.codec.decodeConfluent(record.value);
  } catch (error) {
    if (error instanceof ContractError) return undefined;
    throw error;
  }
}
