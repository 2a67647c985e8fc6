/**
 * A trainer. Whoever holds the partition of the verdicts owns all trainings:
 *
 *   TrainerConsumer -> Runs -> RunsWorker -> RunsSink         training.requests.v1, training.results.v1, datasets.v1
 *                                  TrainerEffects             datasets, the backend's jobs, the model registry
 *   training.results.v1 -> RunsTable -> RunsController        in every instance
 */
import { join } from "node:path";
import { Module } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import { clientOf, modelRegistryApi } from "@tributary/api";
import { ConfigError } from "@tributary/config";
import { Lease } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { CLOCK, CONFIG, KafkaModule, ProblemFilter, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { BACKEND, type TrainingBackend } from "./backends/backend.ts";
import { backendOf } from "./backends/index.ts";
import type { TrainerConfig } from "./config.ts";
import { DATASETS, type Datasets } from "./datasets/port.ts";
import { RunsController } from "./http/runs.controller.ts";
import { downloadPackage } from "./registry/blobs.ts";
import { TrainerEffects } from "./runs/effects.ts";
import { PackagePacker } from "./runs/packer.ts";
import { FolderResults } from "./runs/results.ts";
import { Runs } from "./runs/runs.ts";
import { RunsTable } from "./runs/runs-table.ts";
import { RunsSink, TableReader } from "./sinks.ts";
import { TrainerConsumer } from "./trainer.consumer.ts";
import { TrainerController } from "./trainer.controller.ts";

function effectsOf(
  config: TrainerConfig,
  telemetry: Telemetry,
  datasets: Datasets,
  backend: TrainingBackend,
): TrainerEffects {
  const { dataDir, modelRegistry, packing } = config;
  const registry = clientOf(modelRegistryApi, modelRegistry);
  const results = new FolderResults(join(dataDir, "results"));
  const scratch = join(dataDir, "scratch");
  const packer = new PackagePacker({ datasets, registry, results, scratch, telemetry, ...packing });
  return new TrainerEffects({ datasets, backend, registry, registryUrl: modelRegistry.url, packer, results });
}

function trainingBackendOf(config: TrainerConfig, datasets: Datasets, clock: Clock, random: Random): TrainingBackend {
  const { blobs } = clientOf(modelRegistryApi, config.modelRegistry);
  const sources = {
    packageInto: (digest: string, dir: string, signal: AbortSignal) => downloadPackage(blobs, digest, dir, signal),
    datasetInto: datasets.materialise.bind(datasets),
  };
  return backendOf(config.backend, { clock, random, dataDir: config.dataDir, sources });
}

const missing = (key: string) => (): never => {
  throw new ConfigError("configuration", [`${key}: missing`]);
};

@Module({
  imports: [KafkaModule],
  controllers: [TrainerController, RunsController],
  providers: [
    { provide: Lease, useFactory: (clock: Clock) => new Lease({ clock }), inject: [CLOCK] },
    { provide: BACKEND, useFactory: trainingBackendOf, inject: [CONFIG, DATASETS, CLOCK, RANDOM] },
    { provide: DATASETS, useFactory: missing("datasets") },
    { provide: TrainerEffects, useFactory: effectsOf, inject: [CONFIG, TELEMETRY, DATASETS, BACKEND] },
    TableReader,
    RunsTable,
    RunsSink,
    Runs,
    TrainerConsumer,
    { provide: APP_FILTER, useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry), inject: [TELEMETRY] },
  ],
})
export class TrainerModule {}
