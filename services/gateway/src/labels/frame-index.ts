/**
 * Which frames have a final answer, for checking labels by the hundred thousand: classifications.v1 is read once, when first
 * asked for, and later from where the last search stopped.
 *
 * A search is bounded in time and in records (G9). It keeps what it read, so a repeated search continues: with what is new, then
 * with what is older than the first search read. The result is "absent" only when everything that Kafka retains of the device's
 * partition was read; otherwise it is "bounded". Other requests get their turns while it reads.
 *
 * At most `rangesMax` ranges are kept, which devices share: beyond them the device with the most forgets the camera that it used longest
 * ago, and from then on no frame of this device is "absent". One that has less than an equal part loses nothing (G13).
 */
import { setImmediate } from "node:timers/promises";
import { topics } from "@tributary/contracts";
import { type InRecord, type PartitionReader, partitionOf } from "@tributary/kafka";
import { type FrameId, formatFrameId, Holdings, type Instant, Oldest } from "@tributary/kernel";
import { decoded } from "../frames/search.ts";
import type { Sought } from "./check-label.ts";
import { SeqRanges } from "./seq-ranges.ts";

/** Under which a frame was answered, and about when; null: not known. */
export type FrameTag = { readonly policyVersion: string; readonly modelDigest: string; readonly at: Instant | null };

export type FrameIndexOptions = {
  readonly reader: PartitionReader;
  /** Newest records of a partition that are read at first, and older ones that a later search reads at most. */
  readonly recordsMax: number;
  readonly rangesMax: number;
  /** A camera of the device was forgotten. */
  readonly onForgotten?: (deviceId: string) => void;
};

/** Read are the records from `from` to just before `next`. */
type Progress = { from: bigint; next: bigint; busy: Promise<void> };
type KnownDevice = {
  /** By boot and camera; the one seen longest ago first. */
  readonly cameras: Map<string, SeqRanges<FrameTag>>;
  readonly oldest: Oldest<string>;
  isForgotten: boolean;
};
const TURN_RECORDS = 50;
/** Older records that are read at a time, and only count once all are. */
const BACK_RECORDS = 10_000n;
/** A range has frames of one such time: an exact time of each would make every frame a range of its own. */
const TIME_MS = 600_000;
const TAGS_MAX = 50_000;

export class FrameIndex {
  readonly #options: FrameIndexOptions;
  readonly #devices = new Map<string, KnownDevice>();
  /** Ranges. */
  readonly #holdings = new Holdings<string>();
  readonly #tags = new Map<string, FrameTag>();
  readonly #progress = new Map<number, Progress>();

  constructor(options: FrameIndexOptions) {
    this.#options = options;
  }

  get rangeCount(): number {
    return this.#holdings.total;
  }

  async find(ids: readonly FrameId[], signal: AbortSignal): Promise<ReadonlyMap<string, Sought>> {
    const { length } = await this.#options.reader.partitions(topics.classifications.name);
    const byPartition = Map.groupBy(ids, ({ deviceId }) => partitionOf(deviceId, length));
    const found = new Map<string, Sought>();
    await Promise.all(
      [...byPartition].map(async ([partition, own]) => {
        const isWhole = await this.#readOn(partition, () => own.every((id) => this.#get(id) !== undefined), signal);
        for (const id of own) {
          const frame = this.#get(id);
          const kind = isWhole && this.#devices.get(id.deviceId)?.isForgotten !== true ? "absent" : "bounded";
          found.set(formatFrameId(id), frame === undefined ? { kind } : { kind: "found", frame });
        }
      }),
    );
    return found;
  }

  #get({ deviceId, bootId, cameraId, frameSeq }: FrameId): FrameTag | undefined {
    return this.#devices.get(deviceId)?.cameras.get(cameraOf(bootId, cameraId))?.get(frameSeq);
  }

  /** Whether now all that is retained was read. One at a time for a partition. */
  async #readOn(partition: number, isFound: () => boolean, signal: AbortSignal): Promise<boolean> {
    const { reader, recordsMax } = this.#options;
    const { earliest, next } = await reader.offsets(topics.classifications.name, partition);
    let progress = this.#progress.get(partition);
    if (progress === undefined) {
      const from = larger(next - BigInt(recordsMax), earliest);
      progress = { from, next: from, busy: Promise.resolve() };
      this.#progress.set(partition, progress);
    }
    const own = progress;
    own.busy = own.busy
      .catch(() => {})
      .then(async () => {
        await this.#readUntil(partition, own, next, earliest, signal);
        await this.#readBack(partition, own, earliest, isFound, signal);
      });
    await own.busy;
    return own.from <= earliest && own.next >= next;
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
    await this.#read(partition, { from: progress.next, until, signal }, (next) => {
      progress.next = next;
    });
    if (!signal.aborted) progress.next = until;
  }

  /** Older records, as long as a wanted frame is not found. */
  async #readBack(
    partition: number,
    progress: Progress,
    earliest: bigint,
    isFound: () => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const least = larger(progress.from - BigInt(this.#options.recordsMax), earliest);
    while (progress.from > least && !signal.aborted && !isFound()) {
      const from = larger(progress.from - BACK_RECORDS, least);
      await this.#read(partition, { from, until: progress.from, signal }, () => {});
      if (!signal.aborted) progress.from = from;
    }
  }

  async #read(
    partition: number,
    range: { readonly from: bigint; readonly until: bigint; readonly signal: AbortSignal },
    onRead: (next: bigint) => void,
  ): Promise<void> {
    let turn = 0;
    for await (const record of this.#options.reader.read(topics.classifications.name, partition, range)) {
      this.#take(record);
      onRead(record.offset + 1n);
      if (++turn % TURN_RECORDS === 0) await setImmediate();
    }
  }

  #take(record: InRecord): void {
    const value = decoded(topics.classifications, record);
    if (value === undefined) return;
    const { deviceId, bootId } = value;
    const device = this.#device(deviceId);
    for (const { cameraId, frameSeq, policyVersion, modelDigest } of value.answers) {
      const key = cameraOf(bootId, cameraId);
      const ranges = device.cameras.get(key) ?? new SeqRanges<FrameTag>();
      device.cameras.delete(key);
      device.cameras.set(key, ranges);
      device.oldest.beyond(Number.POSITIVE_INFINITY); // so that it drops an iterator that is not needed any more
      const before = ranges.count;
      ranges.add(frameSeq, this.#tagOf(policyVersion, modelDigest, record.timestamp));
      this.#holdings.add(deviceId, ranges.count - before);
      while (this.#holdings.total > this.#options.rangesMax) this.#forget(this.#holdings.largest() ?? deviceId);
    }
  }

  #device(deviceId: string): KnownDevice {
    const known = this.#devices.get(deviceId);
    if (known !== undefined) return known;
    const cameras = new Map<string, SeqRanges<FrameTag>>();
    const device = { cameras, oldest: new Oldest(cameras), isForgotten: false };
    this.#devices.set(deviceId, device);
    return device;
  }

  /** The camera that the device used longest ago; of its only one, the half with the lowest numbers. */
  #forget(deviceId: string): void {
    const device = this.#device(deviceId);
    const { cameras, oldest } = device;
    device.isForgotten = true;
    this.#options.onForgotten?.(deviceId);
    const key = oldest.beyond(cameras.size - 1);
    const ranges = key === undefined ? undefined : cameras.get(key);
    if (key === undefined || ranges === undefined) return;
    const before = ranges.count;
    ranges.dropLowest(cameras.size === 1 ? Math.ceil(before / 2) : before);
    if (ranges.count === 0) cameras.delete(key);
    this.#holdings.add(deviceId, ranges.count - before);
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

const cameraOf = (bootId: bigint, cameraId: string): string => `${bootId}:${cameraId}`;

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
