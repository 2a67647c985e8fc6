/**
 * The parts of the registry and their life.
 *
 * M1. Nothing is answered about models, and nothing is changed, before the topics are read and signed metadata agrees with
 *     them. Blobs and metadata that are there are served at once: devices in the middle of an update go on.
 */
import { join } from "node:path";
import { type BlobStore, FolderBlobStore, openS3BlobStore } from "@tributary/blob-store";
import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { type Backoff, backoffMs, Failure, reasonOf, repeatLater } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import type { ServiceContext } from "@tributary/service-kit";
import type { MetadataStore } from "@tributary/tuf/repository";
import { sweep } from "./blobs/sweep.ts";
import type { RegistryConfig } from "./config.ts";
import { rebuildTroubled } from "./events.ts";
import { GateRunner } from "./gating/gate-runner.ts";
import { MlflowImporter } from "./mlflow/importer.ts";
import { Packages } from "./models/packages.ts";
import { rebuild } from "./models/rebuild.ts";
import { Registry } from "./models/registry.ts";
import { openRepository } from "./tuf/open-repository.ts";
import { Refresher } from "./tuf/refresher.ts";
import { ValidationSets } from "./validation/validation-sets.ts";

const BACKOFF: Backoff = { minMs: 200, maxMs: 5_000 };
const SWEEP_MS = 3_600_000;

export class ModelRegistry {
  readonly table: ModelTable;
  readonly blobs: BlobStore;
  readonly metadata: MetadataStore;
  readonly registry: Registry;
  readonly gates: GateRunner;
  readonly validation: ValidationSets;
  readonly #context: ServiceContext<RegistryConfig>;
  readonly #packages: Packages;
  readonly #refresher: Refresher;
  readonly #mlflow: MlflowImporter | undefined;
  readonly #reader: KafkaReader;
  readonly #sink: KafkajsSink;
  readonly #stop: AbortController;
  #isRebuilt = false;
  #ended: Promise<void> = Promise.resolve();

  static async open(context: ServiceContext<RegistryConfig>): Promise<ModelRegistry> {
    const { config, clock } = context;
    const { dataDir, tuf } = config;
    const blobs = await blobStoreOf(config);
    const packages = await Packages.open(blobs, join(dataDir, "work"));
    const folders = {
      keys: tuf.keys ?? join(dataDir, "keys/online"),
      metadata: tuf.metadata ?? join(dataDir, "metadata"),
      roots: tuf.roots,
    };
    return new ModelRegistry(context, blobs, packages, await openRepository(folders, clock));
  }

  private constructor(
    context: ServiceContext<RegistryConfig>,
    blobs: BlobStore,
    packages: Packages,
    { repository, store }: Awaited<ReturnType<typeof openRepository>>,
  ) {
    const { config, telemetry, clock, schemaIds } = context;
    const { hardwareClasses, validationBytesMax, ...checks } = config.checks;
    const kafka = { ...config.kafka, clientId: "tributary-model-registry", telemetry, clock, schemaIds };
    this.#context = context;
    this.#stop = new AbortController();
    this.#reader = new KafkaReader(kafka);
    this.#sink = new KafkajsSink(kafka);
    this.#packages = packages;
    this.blobs = blobs;
    this.metadata = store;
    this.table = new ModelTable();
    const table = this.table;
    const shared = { table, packages, clock, telemetry };
    this.registry = new Registry({
      ...shared,
      tuf: repository,
      sink: this.#sink,
      checks: { ...checks, hardwareClasses },
      onChange: () => this.gates.kick(),
      signal: this.#stop.signal,
    });
    this.validation = new ValidationSets({
      ...shared,
      registry: this.registry,
      blobs,
      folders: config.validation,
      limits: { bytesMax: validationBytesMax, msMax: checks.msMax, waitingMax: checks.waitingMax },
      signal: this.#stop.signal,
    });
    const { validation } = this;
    this.gates = new GateRunner({
      ...shared,
      registry: this.registry,
      blobs,
      validation,
      hardwareClasses,
      settings: config.gate,
    });
    const { registry } = this;
    this.#refresher = new Refresher({ repository, registry, everyMs: config.tuf.refreshMs, clock, telemetry });
    const { mlflow } = config;
    this.#mlflow =
      mlflow &&
      new MlflowImporter({
        ...shared,
        settings: mlflow,
        checks: config.checks,
        blobBytesMax: config.blobs.bytesMax,
        packMsMax: config.gate.msMax,
        validation,
        blobs,
        registry: this.registry,
      });
    telemetry.gauge({ name: "tributary_registry_models", help: "Versions known" }, () => table.count);
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#isRebuilt || "models are still being read from Kafka";
  }

  start(): void {
    this.#ended = this.#begin();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Failure("registry-stopping", "retry", "the registry is stopping"));
    await this.#ended;
    await Promise.all([this.gates.stop(), this.#refresher.stop(), this.#mlflow?.stop()]);
    await this.registry.idle();
    await Promise.all([this.#sink.close(), this.#reader.close()]);
  }

  async #begin(): Promise<void> {
    const { clock, telemetry, crash } = this.#context;
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted && !this.#isRebuilt; attempt++) {
      try {
        await rebuild(this.#reader, this.table, telemetry, signal);
        await this.registry.mend();
        this.#isRebuilt = true;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Failure && error.advice === "retry")) return crash(error);
        telemetry.emit(rebuildTroubled, { reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, attempt, Math.random), signal).catch(() => {});
      }
    }
    if (signal.aborted) return;
    this.gates.start();
    this.#refresher.start();
    this.#mlflow?.start();
    void this.#sweeping();
  }

  async #sweeping(): Promise<void> {
    const { clock, telemetry, config } = this.#context;
    const { signal } = this.#stop;
    const unusedMsMax = config.blobs.unusedHoursMax * 3_600_000;
    const { blobs, table, registry, validation } = this;
    const options = { blobs, packages: this.#packages, table, registry, validation, clock, telemetry, unusedMsMax };
    const sweepOnce = () =>
      sweep(options).catch((error: unknown) => telemetry.emit(rebuildTroubled, { reason: reasonOf(error) }));
    await repeatLater(sweepOnce, { clock, everyMs: SWEEP_MS, signal });
  }
}

function blobStoreOf({ blobs, dataDir }: RegistryConfig): Promise<BlobStore> {
  if (blobs.s3 === undefined) {
    return FolderBlobStore.open({ dir: join(dataDir, "blobs"), bytesTotalMax: blobs.totalBytesMax });
  }
  const { endpointUrl, ...s3 } = blobs.s3;
  return openS3BlobStore({
    ...s3,
    spoolDir: join(dataDir, "spool"),
    ...(endpointUrl !== undefined && { endpointUrl }),
  });
}
