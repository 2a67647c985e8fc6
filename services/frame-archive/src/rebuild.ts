/**
 * What the owner of a partition knows of it, from Kafka.
 *
 * R1. The archive's log is read to its end once the partition is claimed: its former owner cannot append to it any more
 *     (owned-partition.ts O2).
 * R2. Answers and labels that were committed before their frame was are read again; else their frames would wait for a
 *     reason that never comes again. A frame's answer comes within minutes, its label while Kafka has the frame.
 */
import { topics } from "@tributary/contracts";
import { handOver, type PartitionReader } from "@tributary/kafka";
import type { Clock, Instant } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { ARCHIVE_MEMORY_MS, type ArchiveCaps, ArchiveMemory } from "@tributary/training";
import { takeAnswers, takeLabel } from "./take.ts";

/** As long as Kafka has frames, by the topic's own retention. */
export const FRAMES_MS: number = topics.frames.retentionMs;
const ANSWERS_MS = 600_000;

export type Memory = {
  readonly frames: ArchiveMemory;
  /** Frames that Kafka has from before the takeover are known. */
  isBacklogRead: boolean;
};

export type RebuildOptions = {
  readonly reader: PartitionReader;
  readonly number: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly settings: { readonly caps: ArchiveCaps; readonly sentFramesMax: number };
  readonly signal: AbortSignal;
};

export async function rebuild(options: RebuildOptions): Promise<Memory> {
  const { clock, settings } = options;
  const frames = new ArchiveMemory({ caps: settings.caps, framesMax: settings.sentFramesMax });
  const now = clock.now();
  await readSince(options, topics.archivedFrames, now - ARCHIVE_MEMORY_MS, (record) => frames.stored(record)); // R1
  await readSince(options, topics.classifications, now - ANSWERS_MS, (answers) => takeAnswers(frames, answers)); // R2
  await readSince(options, topics.groundTruth, now - FRAMES_MS, (truth) => takeLabel(frames, truth)); // R2
  return { frames, isBacklogRead: false };
}

async function readSince<T>(
  { reader, number, telemetry, signal }: RebuildOptions,
  topic: Parameters<typeof handOver<T>>[1],
  since: Instant,
  take: (value: T) => unknown,
): Promise<void> {
  const { next: until } = await reader.offsets(topic.name, number);
  const from = await reader.offsetAt(topic.name, number, since);
  if (from >= until) return;
  for await (const record of reader.read(topic.name, number, { from, until, signal })) {
    handOver(telemetry, topic, record, (value) => {
      if (value !== null) take(value);
    });
  }
  signal.throwIfAborted();
}
