/**
 * The partitions this router holds, and their clock.
 *
 * A partition is rebuilt before its first batch; a bounded number of rebuilds runs at a time (G9). Every `TICK_MS` each
 * partition settles what is overdue, whether or not input comes (G2).
 */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { type Batch, type BatchSource, KafkaReader, type PartitionEvents, type Processed } from "@tributary/kafka";
import { type Clock, Failure, linkedSignal, repeatLater } from "@tributary/kernel";
import { Admission, SettlementPartition } from "@tributary/routing/settlement";
import { CLOCK, CONFIG, Health, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerSink } from "./answer-sink.ts";
import { armsOf } from "./arms.ts";
import { experimentOf, type RouterConfig, settlementLimitsOf } from "./config.ts";
import { Draws } from "./draws.ts";
import { cloudLost } from "./events.ts";
import { PartitionWorker, type PartitionWorkerOptions } from "./partition-worker.ts";
import { ThrottledDevices } from "./throttled-devices.ts";

const TICK_MS = 50;
const REBUILDS_MAX = 16;
const PRUNE_EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

@Injectable()
export class Partitions implements PartitionEvents, OnApplicationBootstrap, OnApplicationShutdown {
  readonly #workerOptions: Omit<PartitionWorkerOptions, "number">;
  readonly #workers = new Map<number, PartitionWorker>();
  readonly #stop = new AbortController();
  #ticking: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: RouterConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly admission: Admission,
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
    this.#workerOptions = {
      reader,
      fence,
      clock,
      telemetry,
      empty: () => new SettlementPartition(settlement),
      onUnfair: (deviceId, why) => throttled.note(deviceId, why),
    };
    this.#addGauges();
    health.add("partitions", () => this.isReady || "no partition is assigned and rebuilt yet");
  }

  onApplicationBootstrap(): void {
    this.#ticking = this.#tickUntilStopped();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ticking;
    await this.onRevoked([...this.#workers.keys()]);
  }

  /** True once partitions are held and rebuilt. */
  get isReady(): boolean {
    return this.#workers.size > 0 && [...this.#workers.values()].every((worker) => worker.isReady);
  }

  holds(partition: number): boolean {
    return this.#workers.get(partition)?.isReady === true;
  }

  worker(partition: number): PartitionWorker {
    const worker = this.#workers.get(partition);
    if (worker !== undefined) return worker;
    throw new Failure("router-partition-revoked", "retry", `partition ${partition} is not held`);
  }

  async onAssigned(numbers: readonly number[]): Promise<void> {
    const workers = numbers.map((number) => new PartitionWorker({ ...this.#workerOptions, number }));
    for (const worker of workers) this.#workers.set(worker.number, worker);
    const queue = [...workers];
    const rebuildNext = async (): Promise<void> => {
      for (let worker = queue.pop(); worker !== undefined; worker = queue.pop()) await worker.prepare();
    };
    await Promise.all(Array.from({ length: Math.min(REBUILDS_MAX, workers.length) }, rebuildNext));
  }

  async onRevoked(numbers: readonly number[]): Promise<void> {
    const gone = numbers.flatMap((number) => this.#workers.get(number) ?? []);
    for (const worker of gone) this.#workers.delete(worker.number);
    await Promise.all(gone.map((worker) => worker.revoke()));
  }

  /** Ends the handling of a batch whose partition is revoked: the new owner handles the rest. */
  fenced(source: BatchSource): BatchSource {
    return {
      run: (handle, events) =>
        source.run(async (batch: Batch, signal: AbortSignal): Promise<Processed> => {
          const worker = this.#workers.get(batch.partition);
          if (worker === undefined) return { processed: 0 };
          const either = linkedSignal(signal, worker.signal);
          const done = await handle(batch, either.signal).finally(() => either.unlink());
          return worker.signal.aborted ? { processed: 0 } : done;
        }, events),
      close: () => source.close(),
    };
  }

  #addGauges(): void {
    const { telemetry, admission, clock } = this;
    const sum = (of: (worker: PartitionWorker) => number) => () =>
      [...this.#workers.values()].reduce((total, worker) => total + of(worker), 0);
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_router_${name}`, help }, read);
    gauge("partitions", "Partitions held", () => this.#workers.size);
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
    const { clock, admission, telemetry } = this;
    const { signal } = this.#stop;
    const deviceIdleMsMax = this.config.limits.deviceIdleDaysMax * DAY_MS;
    let prunedAtMs = clock.monotonicMs();
    const tick = () => {
      const nowMs = clock.monotonicMs();
      const workers = [...this.#workers.values()];
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
