/** The partitions this router holds, and their clock: every `TICK_MS` each settles what is overdue, whether or not input comes
 * (G2). */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { KafkaReader } from "@tributary/kafka";
import { type Clock, repeatLater } from "@tributary/kernel";
import { Admission, SettlementPartition } from "@tributary/routing/settlement";
import { CLOCK, CONFIG, Health, HeldPartitions, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerSink } from "./answer-sink.ts";
import { armsOf } from "./arms.ts";
import { experimentOf, type RouterConfig, settlementLimitsOf } from "./config.ts";
import { Draws } from "./draws.ts";
import { cloudLost } from "./events.ts";
import { PartitionWorker } from "./partition-worker.ts";
import { ThrottledDevices } from "./throttled-devices.ts";

const TICK_MS = 50;
const PRUNE_EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

@Injectable()
export class Partitions
  extends HeldPartitions<PartitionWorker>
  implements OnApplicationBootstrap, OnApplicationShutdown
{
  readonly #config: RouterConfig;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #admission: Admission;
  readonly #stop = new AbortController();
  #ticking: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) config: RouterConfig,
    @Inject(CLOCK) clock: Clock,
    @Inject(TELEMETRY) telemetry: Telemetry,
    admission: Admission,
    reader: KafkaReader,
    fence: AnswerSink,
    draws: Draws,
    throttled: ThrottledDevices,
    health: Health,
  ) {
    const settlement = {
      admission,
      target: config.target,
      limits: settlementLimitsOf(config),
      armOf: armsOf(experimentOf(config)),
      isDrawn: draws.isDrawn.bind(draws),
    };
    const options = {
      reader,
      fence,
      clock,
      telemetry,
      empty: () => new SettlementPartition(settlement),
      onUnfair: (deviceId: string, why: string) => throttled.note(deviceId, why),
    };
    super((number) => new PartitionWorker({ ...options, number }));
    this.#config = config;
    this.#clock = clock;
    this.#telemetry = telemetry;
    this.#admission = admission;
    this.#addGauges();
    health.add("partitions", () => this.isReady || "no partition is assigned and rebuilt from Kafka yet");
  }

  onApplicationBootstrap(): void {
    this.#ticking = this.#tickUntilStopped();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ticking;
    await this.onRevoked();
  }

  #addGauges(): void {
    const telemetry = this.#telemetry;
    const admission = this.#admission;
    const clock = this.#clock;
    const sum = (of: (worker: PartitionWorker) => number) => () =>
      this.workers.reduce((total, worker) => total + of(worker), 0);
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_router_${name}`, help }, read);
    gauge("partitions", "Partitions held", () => this.workers.length);
    gauge(
      "open_frames",
      "Frames without an answer yet",
      sum((worker) => worker.openFrames),
    );
    gauge(
      "devices",
      "Devices remembered",
      sum((worker) => worker.devices),
    );
    const byArm = (name: string, help: string, read: (arm: string) => number) =>
      telemetry.gauge({ name: `tributary_router_${name}`, help, labels: ["arm"] }, () =>
        admission.arms.map((arm) => ({ labels: { arm }, value: read(arm) })),
      );
    byArm("price", "Lambda, the price of a cloud call", (arm) => admission.lambda(arm));
    gauge("calls_open", "Cloud calls under way", () => admission.callsOpen);
    byArm("cloud_healthy", "1 while the cloud target is worth asking", (arm) => Number(admission.cloudHealthy(arm)));
    telemetry.gauge(
      { name: "tributary_router_cloud_latency_seconds", help: "Live cloud latency", labels: ["percentile", "arm"] },
      () =>
        admission.arms.flatMap((arm) =>
          [0.5, 0.99].map((quantile) => ({
            labels: { percentile: `p${quantile * 100}`, arm },
            value: (admission.latencyMs(quantile, clock.now(), arm) ?? Number.NaN) / 1_000,
          })),
        ),
    );
  }

  #tickUntilStopped(): Promise<void> {
    const clock = this.#clock;
    const admission = this.#admission;
    const telemetry = this.#telemetry;
    const { signal } = this.#stop;
    const deviceIdleMsMax = this.#config.limits.deviceIdleDaysMax * DAY_MS;
    let prunedAtMs = clock.monotonicMs();
    const tick = () => {
      const nowMs = clock.monotonicMs();
      const { workers } = this;
      const calls = admission.tick(clock.now());
      if (calls > 0) telemetry.emit(cloudLost, { calls });
      // The worker reports its failures and rebuilds itself; the timer continues.
      for (const worker of workers) worker.tick().catch(() => {});
      if (nowMs - prunedAtMs < PRUNE_EVERY_MS) return;
      prunedAtMs = nowMs;
      for (const worker of workers) worker.prune(deviceIdleMsMax).catch(() => {});
    };
    return repeatLater(tick, { clock, everyMs: TICK_MS, signal });
  }
}
