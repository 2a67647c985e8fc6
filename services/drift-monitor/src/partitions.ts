/** The partitions this instance holds. Hourly they forget devices that are silent for long. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { fleetStreams } from "@tributary/drift";
import { KafkaReader } from "@tributary/kafka";
import { repeatLater } from "@tributary/kernel";
import { ClockWatch, CONFIG, Health, HeldPartitions, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { type DriftMonitorConfig, detectorSettingsOf } from "./config.ts";
import { FleetSize } from "./fleet-size.ts";
import { KnownReviews } from "./known-reviews.ts";
import { KnownPackages } from "./packages/known-packages.ts";
import { PartitionWorker } from "./partition-worker.ts";
import { StateSink } from "./sinks.ts";

const PRUNE_EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

@Injectable()
export class Partitions
  extends HeldPartitions<PartitionWorker>
  implements OnApplicationBootstrap, OnApplicationShutdown
{
  readonly #stop = new AbortController();
  readonly #prune: () => Promise<void>;
  #pruning: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) config: DriftMonitorConfig,
    clockWatch: ClockWatch,
    @Inject(TELEMETRY) telemetry: Telemetry,
    reader: KafkaReader,
    fence: StateSink,
    packages: KnownPackages,
    fleet: FleetSize,
    reviews: KnownReviews,
    health: Health,
  ) {
    const clock = clockWatch.bounded; // One far ahead would forget every device.
    const detector = detectorSettingsOf(config);
    const options = {
      reader,
      fence,
      clock,
      telemetry,
      packages,
      settings: () => ({ streams: fleetStreams(fleet.cameras), detector, reviews }),
    };
    super((number) => new PartitionWorker({ ...options, number }));
    const idleMsMax = config.limits.deviceIdleDaysMax * DAY_MS;
    // The worker reports its failures and rebuilds itself; the timer continues.
    const prune = () => Promise.allSettled(this.workers.map((worker) => worker.prune(idleMsMax)));
    this.#prune = () => repeatLater(prune, { clock, everyMs: PRUNE_EVERY_MS, signal: this.#stop.signal });
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_drift_${name}`, help }, read);
    gauge("partitions", "Partitions held", () => this.workers.length);
    gauge("devices", "Devices with a state", () => this.workers.reduce((sum, { devices }) => sum + devices, 0));
    health.add("partitions", () => this.isReady || "no partition is assigned and rebuilt from Kafka yet");
  }

  onApplicationBootstrap(): void {
    this.#pruning = this.#prune();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#pruning;
    await this.onRevoked();
  }
}
