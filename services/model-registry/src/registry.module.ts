/**
 * A model registry. What a request changes goes through Registry or ValidationSets: examined, signed (TufRepository), written to
 * Kafka. ModelRegistry reads Kafka at the start and then runs what works by itself: gates, refreshing of metadata, imports from
 * MLflow, sweeps of blobs.
 */
import { join } from "node:path";
import { Module } from "@nestjs/common";
import { APP_FILTER, APP_GUARD, ModuleRef } from "@nestjs/core";
import { type BlobStore, FolderBlobStore, openS3BlobStore } from "@tributary/blob-store";
import { KafkajsSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { CLOCK, CONFIG, KafkaModule, ProblemFilter, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { folderMetadataStore, type MetadataStore, TufRepository } from "@tributary/tuf/repository";
import { BLOB_LIMITS, BLOBS, BlobsController } from "./blobs/blobs.controller.ts";
import { PackageBlobs } from "./blobs/package-blobs.ts";
import type { RegistryConfig } from "./config.ts";
import { GateRunner } from "./gating/gate-runner.ts";
import { MlflowImporter } from "./mlflow/importer.ts";
import { ModelRegistry } from "./model-registry.ts";
import { ModelsController } from "./models/models.controller.ts";
import { Packages } from "./models/packages.ts";
import { Registry } from "./models/registry.ts";
import { RebuiltGuard } from "./rebuilt.guard.ts";
import { STOP } from "./stop.ts";
import { openRepository } from "./tuf/open-repository.ts";
import { Refresher } from "./tuf/refresher.ts";
import { METADATA, TufController } from "./tuf/tuf.controller.ts";
import { ValidationController } from "./validation/validation.controller.ts";
import { ValidationSets } from "./validation/validation-sets.ts";

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

const stores = [
  { provide: BLOBS, useFactory: blobStoreOf, inject: [CONFIG] },
  { provide: BLOB_LIMITS, useFactory: ({ blobs }: RegistryConfig) => blobs, inject: [CONFIG] },
  {
    provide: Packages,
    useFactory: ({ dataDir }: RegistryConfig, blobs: BlobStore) => Packages.open(blobs, join(dataDir, "work")),
    inject: [CONFIG, BLOBS],
  },
  {
    provide: METADATA,
    useFactory: ({ dataDir, tuf }: RegistryConfig) => folderMetadataStore(tuf.metadata ?? join(dataDir, "metadata")),
    inject: [CONFIG],
  },
  {
    provide: TufRepository,
    useFactory: ({ dataDir, tuf }: RegistryConfig, store: MetadataStore, clock: Clock) =>
      openRepository(store, { keys: tuf.keys ?? join(dataDir, "keys/online"), roots: tuf.roots }, clock),
    inject: [CONFIG, METADATA, CLOCK],
  },
  {
    provide: ModelTable,
    useFactory: (telemetry: Telemetry) => {
      const table = new ModelTable();
      telemetry.gauge({ name: "tributary_registry_models", help: "Versions known" }, () => table.count);
      return table;
    },
    inject: [TELEMETRY],
  },
];

const parts = [
  { provide: STOP, useFactory: () => new AbortController() },
  {
    provide: Registry,
    useFactory: (
      { checks }: RegistryConfig,
      { signal }: AbortController,
      table: ModelTable,
      packages: Packages,
      tuf: TufRepository,
      sink: KafkajsSink,
      clock: Clock,
      telemetry: Telemetry,
      module: ModuleRef,
    ) =>
      new Registry({
        table,
        packages,
        tuf,
        sink,
        clock,
        telemetry,
        checks,
        signal,
        onChange: () => module.get(GateRunner).kick(), // the gates need the registry themselves
      }),
    inject: [CONFIG, STOP, ModelTable, Packages, TufRepository, KafkajsSink, CLOCK, TELEMETRY, ModuleRef],
  },
  {
    provide: MlflowImporter,
    useFactory: (
      { mlflow, checks, blobs: { bytesMax }, gate }: RegistryConfig,
      table: ModelTable,
      packages: Packages,
      blobs: BlobStore,
      registry: Registry,
      validation: ValidationSets,
      clock: Clock,
      telemetry: Telemetry,
    ) =>
      mlflow === undefined
        ? null
        : new MlflowImporter({
            table,
            packages,
            blobs,
            registry,
            validation,
            clock,
            telemetry,
            checks,
            settings: mlflow,
            blobBytesMax: bytesMax,
            packMsMax: gate.msMax,
          }),
    inject: [CONFIG, ModelTable, Packages, BLOBS, Registry, ValidationSets, CLOCK, TELEMETRY],
  },
];

@Module({
  imports: [KafkaModule],
  controllers: [BlobsController, TufController, ModelsController, ValidationController],
  providers: [
    ...stores,
    ...parts,
    PackageBlobs,
    ValidationSets,
    GateRunner,
    Refresher,
    ModelRegistry,
    { provide: APP_GUARD, useClass: RebuiltGuard },
    {
      provide: APP_FILTER,
      useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry),
      inject: [TELEMETRY],
    },
  ],
})
export class RegistryModule {}
