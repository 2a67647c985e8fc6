/** Which backend trains: chosen and checked by the trainer's configuration. */
import type { Clock, Random } from "@tributary/kernel";
import { z } from "zod";
import type { TrainingBackend } from "./backend.ts";
import { CommandBackend, commandSchema } from "./command.ts";
import { httpJobSchema } from "./http-config.ts";
import { HttpBackend } from "./http-job.ts";
import { LocalBackend, type LocalSources, localSchema } from "./local.ts";
import { airflowSchema, azureMlSchema, httpJobOf, kubeflowSchema } from "./presets.ts";
import { SagemakerBackend, sagemakerSchema } from "./sagemaker.ts";
import { StepFunctionsBackend, stepFunctionsSchema } from "./step-functions.ts";

const httpSchema = z.strictObject({ kind: z.literal("http"), job: httpJobSchema });

export const backendSchema = z.discriminatedUnion("kind", [
  localSchema,
  commandSchema,
  httpSchema,
  airflowSchema,
  kubeflowSchema,
  azureMlSchema,
  stepFunctionsSchema,
  sagemakerSchema,
]);

export type BackendConfig = z.output<typeof backendSchema>;

export type BackendOptions = {
  readonly clock: Clock;
  readonly random: Random;
  /** The trainer's own folder, where a backend keeps its jobs' folders. */
  readonly dataDir: string;
  /** What the local backend's inputs come from. */
  readonly sources: LocalSources;
};

export function backendOf(config: BackendConfig, options: BackendOptions): TrainingBackend {
  switch (config.kind) {
    case "local":
      return new LocalBackend(config, options.dataDir, options.sources);
    case "command":
      return new CommandBackend(config, options.dataDir, options.clock);
    case "http":
      return new HttpBackend("http", config.job, options);
    case "airflow":
    case "kubeflow":
    case "azure-ml":
      return new HttpBackend(config.kind, httpJobOf(config), options);
    case "step-functions":
      return new StepFunctionsBackend(config);
    case "sagemaker":
      return new SagemakerBackend(config);
    default:
      return config satisfies never;
  }
}
