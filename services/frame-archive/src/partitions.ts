/** The partitions this instance holds. Between batches they keep frames of verdicts that opened, and forget what is old. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import type { BlobStore } from "@tributary/blob-store";
import { codeOf, KafkaReader } from "@tributary/kafka";
import { reasonOf, repeatLater } from "@tributary/kernel";
import { ClockWatch, CONFIG, Health, HeldPartitions, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { capsOf, type FrameArchiveConfig, ttlMsOf } from "./config.ts";
import { roundFailed } from "./events.ts";
import { PartitionWorker } from "./partition-worker.ts";
import { BLOBS } from "./pictures/blobs.ts";
import { DiskWatch } from "./pictures/disk-watch.ts";
import { ArchiveSink } from "./sinks.ts";
import { Tables } from "./tables/tables.ts";

const ROUND_EVERY_MS = 2_000;
const ROUNDS_PER_PRUNE = 300;
/** Of a partition and round: batches do not wait longer. */
const SCOPE_FRAMES_MAX = 64;

@Injectable()
export class Partitions
  extends HeldPartitions<PartitionWorker>
  implements OnApplicationBootstrap, OnApplicationShutdown
{
  readonly #stop = new AbortController();
  readonly #repeat: () => Promise<void>;
  #repeating: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) config: FrameArchiveConfig,
    clockWatch: ClockWatch,
    @Inject(TELEMETRY) telemetry: Telemetry,
    @Inject(BLOBS) blobs: BlobStore,
    disk: DiskWatch,
    reader: KafkaReader,
    fence: ArchiveSink,
    tables: Tables,
    health: Health,
  ) {
    const clock = clockWatch.bounded; // To one far ahead every frame would be old.
    const { sentFramesMax, backlogFramesMax, pixelsMax } = config.limits;
    const settings = { caps: capsOf(config), ttlMs: ttlMsOf(config), sentFramesMax, backlogFramesMax, pixelsMax };
    super((number) => new PartitionWorker({ number, reader, fence, blobs, disk, tables, settings, clock, telemetry }));
    const report = (what: string, error: unknown) =>
      telemetry.emit(roundFailed, { what, code: codeOf(error), reason: reasonOf(error) });
    let rounds = 0;
    const round = async (): Promise<void> => {
      await disk.probe().catch((error) => report("probe-disk", error));
      const isPruned = ++rounds % ROUNDS_PER_PRUNE === 0;
      for (const worker of this.workers) {
        try {
          await worker.keepScopes(SCOPE_FRAMES_MAX);
          if (isPruned) await worker.prune();
        } catch (error) {
          if (worker.signal.aborted) continue;
          report("keep-scopes", error);
        }
      }
    };
    this.#repeat = () => repeatLater(round, { clock, everyMs: ROUND_EVERY_MS, signal: this.#stop.signal });
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_archive_${name}`, help }, read);
    gauge("partitions", "Partitions held", () => this.workers.length);
    gauge("sent_frames", "Frames that can be fetched from Kafka if they are wanted later", () =>
      this.workers.reduce((sum, { sent }) => sum + sent, 0),
    );
    health.add("pictures", () => disk.problem ?? true);
    health.add("partitions", () => this.isReady || "no partition is assigned and rebuilt from Kafka yet");
  }

  onApplicationBootstrap(): void {
    this.#repeating = this.#repeat();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.onRevoked();
    await this.#repeating;
  }
}
