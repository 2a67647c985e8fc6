/** Sweeps pictures from time to time, on the instance that holds partition 0. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import type { BlobStore } from "@tributary/blob-store";
import { codeOf } from "@tributary/kafka";
import { reasonOf, repeatLater } from "@tributary/kernel";
import { ClockWatch, CONFIG, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { FrameArchiveConfig } from "../config.ts";
import { roundFailed } from "../events.ts";
import { Partitions } from "../partitions.ts";
import { Tables } from "../tables/tables.ts";
import { BLOBS } from "./blobs.ts";
import { sweep } from "./sweep.ts";

@Injectable()
export class Sweeper implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #stop = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: FrameArchiveConfig,
    private readonly clockWatch: ClockWatch,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    @Inject(BLOBS) private readonly blobs: BlobStore,
    private readonly tables: Tables,
    private readonly partitions: Partitions,
  ) {}

  onApplicationBootstrap(): void {
    const { telemetry, blobs, tables, partitions } = this;
    const clock = this.clockWatch.bounded; // To one far ahead every picture would be expired.
    const { unusedMsMax, sweepEveryMs: everyMs } = this.config.blobs;
    const isCurrent = () => tables.isCurrent();
    const round = async (): Promise<void> => {
      // Every instance forgets what expired; one removes it.
      if (!partitions.holds(0)) return tables.index.prune(clock.now());
      try {
        await sweep({ blobs, index: tables.index, isCurrent, clock, telemetry, unusedMsMax });
      } catch (error) {
        telemetry.emit(roundFailed, { what: "sweep", code: codeOf(error), reason: reasonOf(error) });
      }
    };
    this.#sweeping = repeatLater(round, { clock, everyMs, signal: this.#stop.signal });
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#sweeping;
  }
}
