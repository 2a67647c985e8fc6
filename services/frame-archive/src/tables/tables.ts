/** What this instance follows, whichever partitions it holds: the archive, labels, sites of devices and open verdicts. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { follow, followAll, type PartitionReader } from "@tributary/kafka";
import type { Random } from "@tributary/kernel";
import { ClockWatch, CONFIG, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { FrameArchiveConfig } from "../config.ts";
import { TableReader } from "../table-reader.ts";
import { ArchiveIndex } from "./archive-index.ts";
import { OpenScopes } from "./open-scopes.ts";

@Injectable()
export class Tables implements OnModuleInit, OnApplicationShutdown {
  readonly index: ArchiveIndex;
  readonly scopes = new OpenScopes();
  readonly #sites = new Map<string, string>();
  /** Of frames.archive.v1, by partition: the offset after the last record that was read. */
  readonly #reached = new Map<number, bigint>();
  readonly #stop = new AbortController();
  #isCaughtUp = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) { keep, limits }: FrameArchiveConfig,
    private readonly clockWatch: ClockWatch,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly reader: TableReader,
    health: Health,
  ) {
    const index = new ArchiveIndex({ ...keep, labelsMax: limits.labelsMax });
    this.index = index;
    health.add("tables", () => this.#isCaughtUp || "still reading frames.archive.v1, labels, devices and verdicts");
    telemetry.gauge({ name: "tributary_archive_frames", help: "Frames in the archive" }, () => index.count);
    telemetry.gauge({ name: "tributary_archive_bytes", help: "Bytes of their pictures" }, () => index.bytesTotal);
    const share = { name: "tributary_archive_bytes_max", help: "Bytes that the archive may have" };
    telemetry.gauge(share, () => keep.bytesTotalMax);
  }

  siteOf(deviceId: string): string {
    return this.#sites.get(deviceId) ?? "";
  }

  async onModuleInit(): Promise<void> {
    const { random, telemetry, reader, index } = this;
    const clock = this.clockWatch.bounded; // What has expired by it is swept.
    const context = { clock, random, telemetry, reader, signal: this.#stop.signal };
    const wants = ({ partition, offset }: { partition: number; offset: bigint }) => {
      this.#reached.set(partition, offset + 1n);
      return true;
    };
    const following = await followAll([
      follow(context, topics.archivedFrames, (frame) => frame && index.archived(frame, clock.now()), { wants }),
      follow(context, topics.groundTruth, (truth) => truth && index.labelled(truth)),
      follow(context, topics.registry, (device, { key }) => {
        if (device === null) this.#sites.delete(key ?? "");
        else this.#sites.set(device.deviceId, device.site);
      }),
      follow(context, topics.driftVerdicts, (verdict, { key }) => this.scopes.changed(key ?? "", verdict)),
    ]);
    this.#ended = following.ended;
    await following.caughtUp;
    this.#isCaughtUp = true;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** Whether the index has every record that is in Kafka now. */
  async isCurrent(reader: Pick<PartitionReader, "partitions" | "offsets"> = this.reader): Promise<boolean> {
    const { name } = topics.archivedFrames;
    for (const partition of await reader.partitions(name)) {
      const { earliest, next } = await reader.offsets(name, partition);
      if (earliest < next && (this.#reached.get(partition) ?? 0n) < next) return false;
    }
    return this.#isCaughtUp;
  }
}
