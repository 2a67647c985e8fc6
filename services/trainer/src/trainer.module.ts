/**
 * A trainer. Whoever holds the partition of the verdicts owns all trainings:
 *
 *   TrainerConsumer -> Runs -> RunsWorker -> RunsSink         training.requests.v1, training.results.v1, datasets.v1
 *                                  TrainerEffects             datasets, the backend's jobs, the model registry
 *   training.results.v1 -> RunsTable -> RunsController        in every instance
 */
import { join } from "node:path";
import { Inject, Module, type OnApplicationShutdown } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import {
  type BlobStore,
  FolderBlobStore,
  FolderObjectStore,
  type ObjectStore,
  openS3ObjectStore,
} from "@tributary/blob-store";
import { Lease } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { CLOCK, CONFIG, KafkaModule, ProblemFilter, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { baseCountsMin } from "@tributary/training/dataset";
import { BACKEND, type TrainingBackend } from "./backends/backend.ts";
import { backendOf } from "./backends/index.ts";
import type { S3Config, TrainerConfig } from "./config.ts";
import { BaseSets } from "./datasets/base-sets.ts";
import { DatasetStore } from "./datasets/dataset-store.ts";
import { DatasetsController, UPLOADS } from "./datasets/datasets.controller.ts";
import { Freezer } from "./datasets/freezer.ts";
import { TrainingHistory } from "./datasets/history.ts";
import { DATASET_OPTIONS, type DatasetOptions, KafkaDatasets } from "./datasets/kafka-datasets.ts";
import { PictureHashes } from "./datasets/picture-hashes.ts";
import { DATASETS, type Datasets } from "./datasets/port.ts";
import { problemOf } from "./http/problems.ts";
import { RunsController } from "./http/runs.controller.ts";
import { MlflowLog } from "./mlflow/mlflow-log.ts";
import { MLFLOW, MlflowRecorder } from "./mlflow/recorder.ts";
import { downloadPackage } from "./registry/blobs.ts";
import { openModelRegistry } from "./registry/open.ts";
import { TrainerEffects } from "./runs/effects.ts";
import { ObjectResults } from "./runs/object-results.ts";
import { PackagePacker } from "./runs/packer.ts";
import { FolderResults, RESULTS, type Results } from "./runs/results.ts";
import { Runs } from "./runs/runs.ts";
import { RunsTable } from "./runs/runs-table.ts";
import { RunsSink, TableReader } from "./sinks.ts";
import { TrainerConsumer } from "./trainer.consumer.ts";
import { TrainerController } from "./trainer.controller.ts";
import { openWorkFolder } from "./work-folder.ts";

async function effectsOf(
  config: TrainerConfig,
  telemetry: Telemetry,
  datasets: Datasets,
  backend: TrainingBackend,
  results: Results,
): Promise<TrainerEffects> {
  const { dataDir, modelRegistry, packing } = config;
  const registry = openModelRegistry(modelRegistry);
  const scratch = await openWorkFolder(join(dataDir, "scratch"));
  const packer = new PackagePacker({ datasets, registry, results, scratch, telemetry, ...packing });
  return new TrainerEffects({ datasets, backend, registry, registryUrl: modelRegistry.url, packer, results });
}

function trainingBackendOf(config: TrainerConfig, datasets: Datasets, clock: Clock, random: Random): TrainingBackend {
  const { blobs } = openModelRegistry(config.modelRegistry);
  const sources = {
    packageInto: (digest: string, dir: string, signal: AbortSignal) => downloadPackage(blobs, digest, dir, signal),
    datasetInto: datasets.materialise.bind(datasets),
  };
  return backendOf(config.backend, { clock, random, dataDir: config.dataDir, sources });
}

const s3ObjectsOf = ({ endpointUrl, ...place }: S3Config): Promise<ObjectStore> =>
  openS3ObjectStore({ ...place, ...(endpointUrl !== undefined && { endpointUrl }) });

async function resultsOf({ dataDir, results: { s3 } }: TrainerConfig): Promise<Results> {
  return s3 === undefined ? new FolderResults(join(dataDir, "results")) : new ObjectResults(await s3ObjectsOf(s3));
}

async function mlflowOf(
  config: TrainerConfig,
  datasets: Datasets,
  clock: Clock,
  random: Random,
  telemetry: Telemetry,
): Promise<MlflowRecorder | null> {
  const { dataDir, mlflow, modelRegistry } = config;
  if (mlflow === undefined) return null;
  const log = new MlflowLog(mlflow, { clock, random });
  const registry = openModelRegistry(modelRegistry);
  return new MlflowRecorder({
    log,
    datasets,
    registry,
    scratch: await openWorkFolder(join(dataDir, "mlflow")),
    clock,
    telemetry,
  });
}

async function datasetStoreOf({ dataDir, datasets: { s3 } }: TrainerConfig): Promise<DatasetStore> {
  const dir = join(dataDir, "datasets");
  return new DatasetStore(await (s3 === undefined ? FolderObjectStore.open({ dir }) : s3ObjectsOf(s3)));
}

async function datasetOptionsOf(config: TrainerConfig, store: DatasetStore, clock: Clock): Promise<DatasetOptions> {
  const { dataDir, datasets, frameArchive, labels, modelRegistry } = config;
  const { decodeMsMax, framesMax } = datasets;
  const workDir = await openWorkFolder(join(dataDir, "freezing"));
  const now = () => clock.now();
  const freezer = new Freezer({ store, workDir, now, hashMsMax: decodeMsMax });
  const hashes = new PictureHashes({ dir: join(dataDir, "picture-hashes"), workDir, decodeMsMax });
  const registry = openModelRegistry(modelRegistry);
  const history = new TrainingHistory({ registry, store, hashes, now });
  const { cloudFloor, lookbackMs: labelMsMax } = labels;
  return { store, freezer, history, frameArchive, labels, baseMin: baseCountsMin, cloudFloor, labelMsMax, framesMax };
}

const uploadsOf = ({ dataDir, datasets }: TrainerConfig): Promise<BlobStore> =>
  FolderBlobStore.open({ dir: join(dataDir, "uploads"), bytesTotalMax: datasets.uploadBytesMax });

async function baseSetsOf(
  config: TrainerConfig,
  store: DatasetStore,
  blobs: BlobStore,
  clock: Clock,
): Promise<BaseSets> {
  const { baseSetBytesMax: bytesMax, decodeMsMax, uploadMsMax } = config.datasets;
  const workDir = await openWorkFolder(join(config.dataDir, "base-sets"));
  const bounds = { decodeMsMax, bytesMax, uploadMsMax, framesMin: baseCountsMin };
  return new BaseSets({ blobs, store, workDir, now: () => clock.now(), ...bounds });
}

@Module({
  imports: [KafkaModule],
  controllers: [TrainerController, RunsController, DatasetsController],
  providers: [
    { provide: Lease, useFactory: (clock: Clock) => new Lease({ clock }), inject: [CLOCK] },
    { provide: BACKEND, useFactory: trainingBackendOf, inject: [CONFIG, DATASETS, CLOCK, RANDOM] },
    { provide: RESULTS, useFactory: resultsOf, inject: [CONFIG] },
    { provide: DatasetStore, useFactory: datasetStoreOf, inject: [CONFIG] },
    { provide: DATASET_OPTIONS, useFactory: datasetOptionsOf, inject: [CONFIG, DatasetStore, CLOCK] },
    { provide: UPLOADS, useFactory: uploadsOf, inject: [CONFIG] },
    { provide: BaseSets, useFactory: baseSetsOf, inject: [CONFIG, DatasetStore, UPLOADS, CLOCK] },
    KafkaDatasets,
    { provide: DATASETS, useExisting: KafkaDatasets },
    { provide: TrainerEffects, useFactory: effectsOf, inject: [CONFIG, TELEMETRY, DATASETS, BACKEND, RESULTS] },
    { provide: MLFLOW, useFactory: mlflowOf, inject: [CONFIG, DATASETS, CLOCK, RANDOM, TELEMETRY] },
    TableReader,
    RunsTable,
    RunsSink,
    Runs,
    TrainerConsumer,
    {
      provide: APP_FILTER,
      useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry, { problemOf }),
      inject: [TELEMETRY],
    },
  ],
})
export class TrainerModule implements OnApplicationShutdown {
  constructor(@Inject(BACKEND) private readonly backend: TrainingBackend) {}

  async onApplicationShutdown(): Promise<void> {
    await this.backend.close?.();
  }
}
