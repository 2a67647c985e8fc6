/** Runs the verdict worker while this instance owns partition 0 and its clock agrees with Kafka's. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { codeOf, KafkaInspector } from "@tributary/kafka";
import { type Clock, type Random, reasonOf, repeat } from "@tributary/kernel";
import { CLOCK, ClockWatch, CONFIG, KAFKA, type KafkaConnection, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { type DriftMonitorConfig, GROUP, verdictSettingsOf } from "../config.ts";
import { lookFailed } from "../events.ts";
import { KnownReviews } from "../known-reviews.ts";
import { KnownPackages } from "../packages/known-packages.ts";
import { Partitions } from "../partitions.ts";
import { VerdictSink } from "../sinks.ts";
import { TableReader } from "../table-reader.ts";
import { VerdictWorker } from "./verdict-worker.ts";

const CHECK_EVERY_MS = 200;
const DAY_MS = 86_400_000;

@Injectable()
export class Verdicts implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #make: () => VerdictWorker;
  readonly #inspector: KafkaInspector;
  readonly #stop = new AbortController();
  #worker: VerdictWorker | undefined;
  #dueAtMs = 0;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: DriftMonitorConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly clockWatch: ClockWatch,
    private readonly partitions: Partitions,
    @Inject(RANDOM) random: Random,
    @Inject(KAFKA) kafka: KafkaConnection,
    reader: TableReader,
    fence: VerdictSink,
    packages: KnownPackages,
    reviews: KnownReviews,
  ) {
    this.#inspector = new KafkaInspector(kafka);
    const options = {
      fence,
      reader,
      reviews,
      referenceOf: (digest: string) => packages.get(digest),
      lag: () => this.#lag(),
      settings: verdictSettingsOf(config),
      closedMsMax: config.verdicts.closedDaysMax * DAY_MS,
      clock,
      random,
      telemetry,
    };
    this.#make = () => new VerdictWorker(options);
    const verdicts = (name: string, help: string, which: "unexpected" | "known") =>
      telemetry.gauge({ name: `tributary_drift_verdicts_${name}`, help, labels: ["cause"] }, () =>
        [...(this.#worker?.open[which] ?? [])].map(([cause, value]) => ({ labels: { cause }, value })),
      );
    verdicts("open", "Open verdicts that nobody expects; of the instance that decides them", "unexpected");
    verdicts("known", "Open verdicts that a person expects for now; of the instance that decides them", "known");
    telemetry.gauge(
      {
        name: "tributary_drift_cameras",
        help: "Cameras that are compared with their past, and those with an alarm, which with detector.dayParts above 1 weather raises too; of the instance that decides verdicts",
        labels: ["state"],
      },
      () => {
        if (this.#worker?.isReady !== true) return [];
        return Object.entries(this.#worker.cameras).map(([state, value]) => ({ labels: { state }, value }));
      },
    );
  }

  onApplicationBootstrap(): void {
    const { clock } = this;
    this.#ended = repeat(() => this.#round(), { clock, everyMs: CHECK_EVERY_MS, signal: this.#stop.signal });
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#worker?.revoke();
    await this.#ended;
    await this.#inspector.close();
  }

  async #round(): Promise<void> {
    const { clock, partitions, telemetry, config } = this;
    const isOwner = partitions.holds(0) && !this.clockWatch.isOff;
    if (!isOwner) {
      const worker = this.#worker;
      this.#worker = undefined;
      await worker?.revoke();
      return;
    }
    if (this.#worker === undefined) {
      this.#worker = this.#make();
      this.#dueAtMs = clock.monotonicMs() + config.verdicts.lookEveryMs;
    }
    try {
      if (!this.#worker.isReady) await this.#worker.whenIdle(async () => {});
      if (clock.monotonicMs() < this.#dueAtMs) return;
      this.#dueAtMs = clock.monotonicMs() + config.verdicts.lookEveryMs;
      await this.#worker.look();
    } catch (error) {
      if (this.#stop.signal.aborted || !partitions.holds(0)) return;
      telemetry.emit(lookFailed, { code: codeOf(error), reason: reasonOf(error) });
    }
  }

  async #lag(): Promise<bigint> {
    const group = (await this.#inspector.groups()).find((one) => one.group === GROUP);
    return group?.topics.find(({ topic }) => topic === topics.sketches.name)?.lag ?? 0n;
  }
}
