/**
 * One running partition: which of its frames are kept, and the order in which pictures and records are stored
 * (owned-partition.ts of service-kit). `ArchiveMemory` decides.
 *
 * W1. A picture is stored before the record that names it, and the record before its batch is committed. A kill in between
 *     leaves a picture that no record names, which is stored again or swept; a batch that is delivered again keeps nothing twice.
 * W2. A frame's time is Kafka's time of its record: which day it counts for depends on the log alone.
 * W3. A frame that is wanted later is read by its offset, as long as Kafka has it. After a takeover the newest frames of the
 *     partition are read once, when the first is wanted that is not known.
 * W4. A disk that is full delays the partition, but not forever (disk-watch.ts D1).
 */
import type { BlobStore } from "@tributary/blob-store";
import { ArchivedFrame, type Classifications, EdgeFrame, type GroundTruth, topics } from "@tributary/contracts";
import { type PartitionFence, type PartitionReader, takeOrSkip } from "@tributary/kafka";
import { type Clock, Failure, formatFrameId, isValidId } from "@tributary/kernel";
import { type DecodedRecord, OwnedPartition } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { ArchiveCaps, Kept, ScopeOf, SentFrame } from "@tributary/training";
import {
  backlogRead,
  frameDecided,
  frameKept,
  partitionForgotten,
  partitionRebuilt,
  pictureRefused,
} from "./events.ts";
import type { DiskWatch } from "./pictures/disk-watch.ts";
import { pictureFault } from "./pictures/picture-fault.ts";
import { FRAMES_MS, type Memory, rebuild } from "./rebuild.ts";
import type { ArchiveIndex } from "./tables/archive-index.ts";
import type { OpenScopes } from "./tables/open-scopes.ts";
import { type FrameRef, takeAnswers, takeLabel } from "./take.ts";

export type PartitionSettings = {
  readonly caps: ArchiveCaps;
  readonly sentFramesMax: number;
  readonly backlogFramesMax: number;
  readonly ttlMs: number;
  readonly pixelsMax: number;
};

export type PartitionWorkerOptions = {
  readonly number: number;
  readonly reader: PartitionReader;
  readonly fence: PartitionFence;
  readonly blobs: Pick<BlobStore, "put">;
  readonly disk: Pick<DiskWatch, "write">;
  readonly tables: {
    readonly index: Pick<ArchiveIndex, "refusal">;
    readonly scopes: OpenScopes;
    readonly siteOf: (deviceId: string) => string;
  };
  readonly settings: PartitionSettings;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Picture = { readonly frame: SentFrame; readonly value: EdgeFrame; readonly kept: Kept };

/** Pictures that are stored, or read from Kafka, at a time. */
const CONCURRENT_MAX = 8;
/** Frames whose pictures are in memory at a time. */
const FETCHED_MAX = 64;

export class PartitionWorker extends OwnedPartition<Memory> {
  readonly #options: PartitionWorkerOptions;
  readonly #scopeOf: ScopeOf;

  constructor(options: PartitionWorkerOptions) {
    const { number: partition, telemetry, tables } = options;
    super({
      ...options,
      rebuild: (signal) => rebuild({ ...options, signal }),
      onRebuilt: (_memory, ms) => telemetry.emit(partitionRebuilt, { partition, ms }),
      onForgotten: ({ code, reason }) => telemetry.emit(partitionForgotten, { partition, code, reason }),
    });
    this.#options = options;
    this.#scopeOf = (frame) => tables.scopes.verdictOf(frame.deviceId, frame.cameraId, frame.receivedAt);
  }

  /** Frames that can be fetched again. */
  get sent(): number {
    return this.memory?.frames.sent ?? 0;
  }

  /** What is kept of them is stored when it resolves (W1). */
  frames(records: readonly DecodedRecord<EdgeFrame>[]): Promise<void> {
    return this.inTurn(async (memory) => {
      const pictures: Picture[] = [];
      for (const { key, value, offset, timestamp } of records) {
        if (!isFrom(key, value)) {
          this.#note(value.deviceId, "device-mismatch");
          continue;
        }
        const frame = sentFrameOf(value, offset, timestamp);
        const kept = this.#decide(memory, frame);
        if (kept !== undefined) pictures.push({ frame, value, kept });
      }
      await this.#keep(memory, pictures);
    });
  }

  answers(records: readonly DecodedRecord<Classifications>[]): Promise<void> {
    return this.inTurn(async (memory) => {
      const since = this.#options.clock.now() - FRAMES_MS;
      const amended: ArchivedFrame[] = [];
      const wanted: FrameRef[] = [];
      for (const { key, value, timestamp } of records) {
        if (!isFrom(key, value) || timestamp < since) continue;
        const taken = takeAnswers(memory.frames, value);
        amended.push(...taken.amended);
        wanted.push(...taken.wanted);
      }
      await this.#write(memory, amended);
      await this.#fetchWanted(memory, wanted);
    });
  }

  labels(records: readonly DecodedRecord<GroundTruth>[]): Promise<void> {
    return this.inTurn(async (memory) => {
      const since = this.#options.clock.now() - FRAMES_MS;
      const wanted = records.flatMap(({ key, value, timestamp }) => {
        if (!isFrom(key, value) || timestamp < since) return [];
        return takeLabel(memory.frames, value) ?? [];
      });
      await this.#fetchWanted(memory, wanted);
    });
  }

  /** Keeps frames of open verdicts that came before their verdict did; at most `max`. */
  keepScopes(max: number): Promise<void> {
    const { scopes } = this.#options.tables;
    if (scopes.isEmpty) return Promise.resolve();
    return this.whenIdle(async (memory) => {
      await this.#readBacklog(memory);
      await this.#fetch(memory, memory.frames.inScope(scopes.devices, this.#scopeOf, max));
    });
  }

  prune(): Promise<void> {
    return this.whenIdle(async ({ frames }) => frames.prune(this.#options.clock.now(), FRAMES_MS));
  }

  /** Why it is kept; undefined: it is not, for now. */
  #decide({ frames }: Memory, frame: SentFrame): Kept | undefined {
    const decision = frames.decide(frame, this.#scopeOf);
    if (decision.outcome !== "kept") {
      this.#note(frame.deviceId, decision.outcome);
      return undefined;
    }
    const refusal = this.#options.tables.index.refusal(frame.deviceId, frame.bytes);
    if (refusal === undefined) return decision;
    frames.release(frame, false);
    this.#note(frame.deviceId, refusal);
    return undefined;
  }

  async #fetchWanted(memory: Memory, wanted: readonly FrameRef[]): Promise<void> {
    const { frames } = memory;
    const isUnknown = ({ deviceId, frameId }: FrameRef) => frames.sentFrame(deviceId, frameId) === undefined;
    if (wanted.some(isUnknown)) await this.#readBacklog(memory);
    await this.#fetch(
      memory,
      wanted.flatMap(({ deviceId, frameId }) => frames.sentFrame(deviceId, frameId) ?? []),
    );
  }

  /** W3 */
  async #readBacklog(memory: Memory): Promise<void> {
    if (memory.isBacklogRead) return;
    const { reader, clock, telemetry, settings } = this.#options;
    const startedAtMs = clock.monotonicMs();
    const { name } = topics.frames;
    const { earliest, next } = await reader.offsets(name, this.number);
    const newest = next - BigInt(settings.backlogFramesMax);
    const from = newest > earliest ? newest : earliest;
    let frames = 0;
    if (from < next) {
      for await (const record of reader.read(name, this.number, { from, until: next, signal: this.signal })) {
        const value = takeOrSkip(telemetry, record, () => EdgeFrame.decodeConfluent(record.value as Buffer));
        if (value === undefined || !isFrom(record.key, value)) continue;
        memory.frames.remember(sentFrameOf(value, record.offset, record.timestamp));
        frames++;
      }
    }
    this.signal.throwIfAborted();
    memory.isBacklogRead = true;
    telemetry.emit(backlogRead, { partition: this.number, frames, ms: clock.monotonicMs() - startedAtMs });
  }

  /** Decides on frames that came before, and reads the pictures of those that are kept. */
  async #fetch(memory: Memory, sent: readonly SentFrame[]): Promise<void> {
    for (let at = 0; at < sent.length; at += FETCHED_MAX) {
      const chosen = sent.slice(at, at + FETCHED_MAX).flatMap((frame) => {
        const kept = this.#decide(memory, frame);
        return kept === undefined ? [] : [{ frame, kept }];
      });
      let pictures: readonly (Picture | undefined)[];
      try {
        pictures = await concurrently(chosen, async ({ frame, kept }) => {
          const value = await this.#read(frame);
          return value === undefined ? this.#refuse(memory, frame, "gone") : { frame, value, kept };
        });
      } catch (error) {
        for (const { frame } of chosen) memory.frames.release(frame, true);
        throw error;
      }
      await this.#keep(
        memory,
        pictures.filter((picture) => picture !== undefined),
      );
    }
  }

  /** Undefined: Kafka has deleted it. */
  async #read(frame: SentFrame): Promise<EdgeFrame | undefined> {
    const { reader, telemetry } = this.#options;
    const { name } = topics.frames;
    const { earliest } = await reader.offsets(name, this.number);
    if (frame.offset < earliest) return undefined;
    const range = { from: frame.offset, until: frame.offset + 1n, signal: this.signal };
    for await (const record of reader.read(name, this.number, range)) {
      const value = takeOrSkip(telemetry, record, () => EdgeFrame.decodeConfluent(record.value as Buffer));
      if (value !== undefined && formatFrameId(value) === frame.frameId) return value;
    }
    this.signal.throwIfAborted();
    return undefined;
  }

  /** W1. Stores the pictures, then the records that name them. */
  async #keep(memory: Memory, pictures: readonly Picture[]): Promise<void> {
    let records: readonly ArchivedFrame[];
    try {
      const made = await concurrently(pictures, async (picture) => {
        const digest = await this.#store(memory, picture);
        return digest === undefined ? undefined : this.#recordOf(memory, picture, digest);
      });
      records = made.filter((record) => record !== undefined); // in the order of the frames
      await this.#write(memory, records);
    } catch (error) {
      for (const { frame } of pictures) memory.frames.release(frame, true);
      throw error;
    }
    for (const { deviceId, why, bytes, ...id } of records) {
      this.#note(deviceId, "kept");
      this.#options.telemetry.emit(frameKept, { frameId: formatFrameId({ deviceId, ...id }), why, bytes });
    }
  }

  /** The picture's digest; undefined: it is refused. */
  async #store(memory: Memory, { frame, value: { jpeg } }: Picture): Promise<string | undefined> {
    const { blobs, disk, settings, telemetry } = this.#options;
    const refused = pictureFault(jpeg, settings.pixelsMax);
    if (refused !== undefined) {
      telemetry.emit(pictureRefused, { frameId: frame.frameId, fault: refused.fault });
      return this.#refuse(memory, frame, refused.outcome);
    }
    try {
      const put = () => blobs.put(once(jpeg), { bytesMax: jpeg.length });
      const stored = await disk.write(jpeg.length, put, this.signal); // W4
      return stored === "disk-full" ? this.#refuse(memory, frame, stored) : stored.digest;
    } catch (error) {
      if (!(error instanceof Failure && error.code === "blob-store-full")) throw error;
      return this.#refuse(memory, frame, "archive-full");
    }
  }

  #recordOf({ frames }: Memory, { frame, value, kept }: Picture, digest: string): ArchivedFrame {
    const { settings, tables } = this.#options;
    const { deviceId, bootId, cameraId, frameSeq, reason, modelDigest, sampleDrawn, samplePropensity } = value;
    const cloud = frames.cloudAnswerOf(deviceId, frame.frameId);
    return {
      ...{ deviceId, bootId, cameraId, frameSeq, reason, modelDigest, sampleDrawn, samplePropensity },
      ...kept,
      digest,
      bytes: value.jpeg.length,
      receivedAt: frame.receivedAt,
      expiresAt: frame.receivedAt + settings.ttlMs,
      site: tables.siteOf(deviceId),
      edgeLabel: value.label,
      edgeConfidence: value.confidence,
      cloudLabel: cloud?.label ?? null,
      cloudConfidence: cloud?.confidence ?? null,
    };
  }

  async #write(memory: Memory, records: readonly ArchivedFrame[]): Promise<void> {
    await this.send(memory, () =>
      records.map((record) => ({
        topic: topics.archivedFrames.name,
        key: record.deviceId,
        partition: this.number,
        value: ArchivedFrame.encodeConfluent(record),
      })),
    );
    for (const record of records) memory.frames.stored(record);
  }

  #refuse({ frames }: Memory, frame: SentFrame, outcome: string): undefined {
    frames.release(frame, false);
    this.#note(frame.deviceId, outcome);
  }

  #note(deviceId: string, outcome: string): void {
    this.#options.telemetry.emit(frameDecided, { deviceId, outcome });
  }
}

const isFrom = (key: string | null, { deviceId }: { readonly deviceId: string }): boolean =>
  key === deviceId && isValidId(deviceId);

const sentFrameOf = (value: EdgeFrame, offset: bigint, receivedAt: number): SentFrame => ({
  frameId: formatFrameId(value),
  deviceId: value.deviceId,
  cameraId: value.cameraId,
  offset,
  receivedAt, // W2
  label: value.label,
  bytes: value.jpeg.length,
  sampleDrawn: value.sampleDrawn,
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The results, in the order of `items`. Ends after all of the work that was started has; then throws the first failure. */
async function concurrently<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const queue = items.entries();
  const results: R[] = [];
  const failures: unknown[] = [];
  const next = async (): Promise<void> => {
    for (const [i, item] of queue) {
      if (failures.length > 0) return;
      try {
        results[i] = await work(item);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_MAX, items.length) }, next));
  if (failures.length > 0) throw failures[0];
  return results;
}
