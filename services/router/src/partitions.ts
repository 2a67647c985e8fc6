/**
 * The partitions this router holds, and their clock.
 *
 * P1. A partition is rebuilt before its first batch; rebuilds run side by side, a bounded number at a time (G9).
 * P2. Every `TICK_MS` each partition settles what is overdue, whether or not input comes (G2).
 */
import type { Batch, BatchSource, PartitionEvents, PartitionFence, PartitionReader, Processed } from "@tributary/kafka";
import { type Clock, Failure, linkedSignal, repeatLater } from "@tributary/kernel";
import type { Admission, SettlementPartition } from "@tributary/routing/settlement";
import type { Telemetry } from "@tributary/telemetry";
import { cloudLost } from "./events.ts";
import { PartitionWorker } from "./partition-worker.ts";

export type PartitionsOptions = {
  readonly admission: Admission;
  readonly empty: () => SettlementPartition;
  readonly reader: PartitionReader;
  readonly fence: PartitionFence;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly deviceIdleMsMax: number;
  /** A device asked for more than its fair share. */
  readonly onUnfair: (deviceId: string, why: string) => void;
};

const TICK_MS = 50;
const REBUILDS_MAX = 16;
const PRUNE_EVERY_MS = 3_600_000;

export class Partitions implements PartitionEvents {
  readonly #options: PartitionsOptions;
  readonly #workers = new Map<number, PartitionWorker>();
  readonly #stop = new AbortController();
  #ticking: Promise<void> = Promise.resolve();

  constructor(options: PartitionsOptions) {
    this.#options = options;
    const { telemetry, admission, clock } = options;
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

  start(): void {
    this.#ticking = this.#tickUntilStopped();
  }

  async stop(): Promise<void> {
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

  /** P1 */
  async onAssigned(numbers: readonly number[]): Promise<void> {
    const workers = numbers.map((number) => new PartitionWorker({ ...this.#options, number }));
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

  /** Ends the handling of a batch whose partition is revoked: what is left of it is the new owner's. */
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

  #tickUntilStopped(): Promise<void> {
    const { clock, admission, telemetry, deviceIdleMsMax } = this.#options;
    const { signal } = this.#stop;
    let prunedAtMs = clock.monotonicMs();
    const tick = () => {
      const nowMs = clock.monotonicMs();
      const workers = [...this.#workers.values()];
      const calls = admission.tick(clock.now());
      if (calls > 0) telemetry.emit(cloudLost, { calls });
      // What fails here is told by the worker, which then rebuilds itself; the clock goes on.
      for (const worker of workers) worker.tick().catch(() => {}); // P2
      if (nowMs - prunedAtMs < PRUNE_EVERY_MS) return;
      prunedAtMs = nowMs;
      for (const worker of workers) worker.prune(deviceIdleMsMax).catch(() => {});
    };
    return repeatLater(tick, { clock, everyMs: TICK_MS, signal });
  }
}
