/**
 * Which frames have a final answer, for checking labels by the hundred thousand: classifications.v1 is read once, when first
 * asked for, and later from where the last search stopped.
 *
 * A search is bounded in time and in records (G9). It keeps what it read, so a repeated search continues. The result is
 * "absent" only when everything that Kafka retains of the device's partition was read; otherwise it is "bounded". At most
 * `rangesMax` ranges are kept; cameras seen longest ago are forgotten, and from then on no result is "absent". Other
 * requests get their turns while it reads.
 */
import { setImmediate } from "node:timers/promises";
import { topics } from "@tributary/contracts";
import { type InRecord, type PartitionReader, partitionOf } from "@tributary/kafka";
import { type FrameId, formatFrameId, type Instant } from "@tributary/kernel";
import { decoded } from "../frames/search.ts";
import type { Sought } from "./check-label.ts";
import { SeqRanges } from "./seq-ranges.ts";

/** Under which a frame was answered, and about when; null: not known. */
export type FrameTag = { readonly policyVersion: string; readonly modelDigest: string; readonly at: Instant | null };

export type FrameIndexOptions = {
  readonly reader: PartitionReader;
  /** Newest records of a partition that are read at first. */
  readonly recordsMax: number;
  readonly rangesMax: number;
};

type Progress = { next: bigint; readonly whole: boolean; busy: Promise<void> };
const TURN_RECORDS = 50;
/** A range has frames of one such time: an exact time of each would make every frame a range of its own. */
const TIME_MS = 600_000;
const TAGS_MAX = 50_000;

export class FrameIndex {
  readonly #options: FrameIndexOptions;
  /** By device, boot and camera; the one seen longest ago first. */
  readonly #cameras = new Map<string, SeqRanges<FrameTag>>();
  readonly #tags = new Map<string, FrameTag>();
  readonly #progress = new Map<number, Progress>();
  #ranges = 0;
  #forgot = false;

  constructor(options: FrameIndexOptions) {
    this.#options = options;
  }

  get rangeCount(): number {
    return this.#ranges;
  }

  async find(ids: readonly FrameId[], signal: AbortSignal): Promise<ReadonlyMap<string, Sought>> {
    const { length } = await this.#options.reader.partitions(topics.classifications.name);
    const byPartition = Map.groupBy(ids, ({ deviceId }) => partitionOf(deviceId, length));
    const found = new Map<string, Sought>();
    await Promise.all(
      [...byPartition].map(async ([partition, own]) => {
        const whole = await this.#readOn(partition, signal);
        for (const id of own) {
          const frame = this.#cameras.get(cameraOf(id.deviceId, id.bootId, id.cameraId))?.get(id.frameSeq);
          const kind = whole && !this.#forgot ? "absent" : "bounded";
          found.set(formatFrameId(id), frame === undefined ? { kind } : { kind: "found", frame });
        }
      }),
    );
    return found;
  }

  /** Whether now all that is retained was read. One at a time for a partition. */
  async #readOn(partition: number, signal: AbortSignal): Promise<boolean> {
    const { reader, recordsMax } = this.#options;
    const { name } = topics.classifications;
    const { earliest, next } = await reader.offsets(name, partition);
    let progress = this.#progress.get(partition);
    if (progress === undefined) {
      const newest = next - BigInt(recordsMax);
      const from = newest > earliest ? newest : earliest;
      progress = { next: from, whole: from === earliest, busy: Promise.resolve() };
      this.#progress.set(partition, progress);
    }
    const own = progress;
    own.busy = own.busy.catch(() => {}).then(() => this.#readUntil(partition, own, next, earliest, signal));
    await own.busy;
    return own.whole && own.next >= next;
  }

  async #readUntil(
    partition: number,
    progress: Progress,
    until: bigint,
    earliest: bigint,
    signal: AbortSignal,
  ): Promise<void> {
    if (progress.next < earliest) progress.next = earliest; // retention was faster
    if (progress.next >= until || signal.aborted) return;
    const { name } = topics.classifications;
    let turn = 0;
    for await (const record of this.#options.reader.read(name, partition, { from: progress.next, until, signal })) {
      this.#take(record);
      progress.next = record.offset + 1n;
      if (++turn % TURN_RECORDS === 0) await setImmediate();
    }
    if (!signal.aborted) progress.next = until;
  }

  #take(record: InRecord): void {
    const value = decoded(topics.classifications, record);
    if (value === undefined) return;
    const { deviceId, bootId } = value;
    for (const { cameraId, frameSeq, policyVersion, modelDigest } of value.answers) {
      const key = cameraOf(deviceId, bootId, cameraId);
      const ranges = this.#cameras.get(key) ?? new SeqRanges<FrameTag>();
      this.#cameras.delete(key);
      this.#cameras.set(key, ranges);
      const before = ranges.count;
      ranges.add(frameSeq, this.#tagOf(policyVersion, modelDigest, record.timestamp));
      this.#ranges += ranges.count - before;
    }
    this.#forget();
  }

  /** Forgets the cameras seen longest ago. */
  #forget(): void {
    if (this.#ranges <= this.#options.rangesMax) return; // To start an iteration passes over every camera that was moved.
    for (const [key, ranges] of this.#cameras) {
      if (this.#ranges <= this.#options.rangesMax || this.#cameras.size === 1) return;
      this.#cameras.delete(key);
      this.#ranges -= ranges.count;
      this.#forgot = true;
    }
  }

  #tagOf(policyVersion: string, modelDigest: string, answeredAt: Instant): FrameTag {
    const at = (Math.floor(answeredAt / TIME_MS) + 0.5) * TIME_MS;
    const key = `${policyVersion} ${modelDigest} ${at}`;
    let tag = this.#tags.get(key);
    if (tag === undefined) {
      if (this.#tags.size >= TAGS_MAX) this.#tags.clear();
      tag = { policyVersion, modelDigest, at };
      this.#tags.set(key, tag);
    }
    return tag;
  }
}

const cameraOf = (deviceId: string, bootId: bigint, cameraId: string): string => `${deviceId}:${bootId}:${cameraId}`;
