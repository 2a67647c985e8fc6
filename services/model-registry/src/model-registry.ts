/**
 * The life of the registry: reads Kafka, then runs what works by itself.
 *
 * M1. Nothing is answered about models, and nothing is changed, before the topics are read and signed metadata agrees with
 *     them. Blobs and metadata that are there are served at once: devices in the middle of an update go on.
 */
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import type { BlobStore } from "@tributary/blob-store";
import { KafkaReader } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf, repeatLater } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { CLOCK, CONFIG, CRASH, type Crash, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { BLOBS } from "./blobs/blobs.controller.ts";
import { sweep } from "./blobs/sweep.ts";
import type { RegistryConfig } from "./config.ts";
import { rebuildFailed } from "./events.ts";
import { GateRunner } from "./gating/gate-runner.ts";
import { MlflowImporter } from "./mlflow/importer.ts";
import { Packages } from "./models/packages.ts";
import { rebuild } from "./models/rebuild.ts";
import { Registry } from "./models/registry.ts";
import { STOP } from "./stop.ts";
import { Refresher } from "./tuf/refresher.ts";
import { ValidationSets } from "./validation/validation-sets.ts";

const BACKOFF: Backoff = { minMs: 200, maxMs: 2_000 };
const SWEEP_MS = 3_600_000;

@Injectable()
export class ModelRegistry implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #isRebuilt = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: RegistryConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    @Inject(CRASH) private readonly crash: Crash,
    @Inject(STOP) private readonly stop: AbortController,
    private readonly reader: KafkaReader,
    private readonly table: ModelTable,
    @Inject(BLOBS) private readonly blobs: BlobStore,
    private readonly packages: Packages,
    private readonly registry: Registry,
    private readonly validation: ValidationSets,
    private readonly gates: GateRunner,
    private readonly refresher: Refresher,
    @Inject(MlflowImporter) private readonly mlflow: MlflowImporter | null,
    health: Health,
  ) {
    health.add("models", () => this.health);
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#isRebuilt || "models are still being read from Kafka";
  }

  /** Not awaited: blobs and metadata are served meanwhile (M1). */
  onApplicationBootstrap(): void {
    this.#ended = this.#begin();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stop.abort(new Failure("registry-stopping", "retry", "the registry is stopping"));
    await this.#ended;
    await Promise.all([this.gates.stop(), this.refresher.stop(), this.mlflow?.stop()]);
    await this.registry.idle();
  }

  async #begin(): Promise<void> {
    const { clock, telemetry } = this;
    const { signal } = this.stop;
    for (let attempt = 0; !signal.aborted && !this.#isRebuilt; attempt++) {
      try {
        await rebuild(this.reader, this.table, telemetry, signal);
        await this.registry.reconcile();
        this.#isRebuilt = true;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Failure && error.advice === "retry")) return this.crash(error);
        telemetry.emit(rebuildFailed, { reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, attempt, this.random), signal).catch(() => {});
      }
    }
    if (signal.aborted) return;
    this.gates.start();
    this.refresher.start();
    this.mlflow?.start();
    void this.#sweeping();
  }

  async #sweeping(): Promise<void> {
    const { clock, telemetry, blobs, packages, table, registry, validation } = this;
    const { signal } = this.stop;
    const unusedMsMax = this.config.blobs.unusedHoursMax * 3_600_000;
    const options = { blobs, packages, table, registry, validation, clock, telemetry, unusedMsMax };
    const sweepOnce = () =>
      sweep(options).catch((error: unknown) => telemetry.emit(rebuildFailed, { reason: reasonOf(error) }));
    await repeatLater(sweepOnce, { clock, everyMs: SWEEP_MS, signal });
  }
}
