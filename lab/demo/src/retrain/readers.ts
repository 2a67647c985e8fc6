/** DVC and MLflow themselves read what the loop left: the dataset from its remote, the run and the model's version from a server. Where one
 * of them cannot be installed, it is left out, and the report has the reason. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GatewayClient, TrainingDetail } from "@tributary/api";
import { reasonOf } from "@tributary/kernel";
import { type Mlflow, openDvc, startMlflow, waitFor } from "@tributary/testing";
import { parseDatasetManifest } from "@tributary/training/dataset";
import type { Check } from "../rollout/run-case.ts";

/** `skipped`: why it was left out. */
export type Reading = { readonly tool: string; readonly checks: readonly Check[]; readonly skipped: string | null };

/** MLflow's name of the registered model, and the alias of the newest version. */
export const REGISTERED = "water at the edge";
export const ALIAS = "candidate";
const EXPERIMENT = "tributary-trainings";
const SHOWN_MS_MAX = 120_000;

/** The server, or why there is none. */
export async function mlflowOrWhy(dir: string, log: (line: string) => void): Promise<Mlflow | string> {
  log("starting MLflow");
  rmSync(dir, { recursive: true, force: true });
  return startMlflow(dir).catch((error: unknown) => reasonOf(error));
}

export async function readByDvc(
  api: GatewayClient,
  { model, datasetVersion: version }: TrainingDetail,
  { dir, remote }: { readonly dir: string; readonly remote: string },
): Promise<Reading> {
  const tool = "DVC";
  rmSync(dir, { recursive: true, force: true });
  const opened = await openDvc(dir, remote).catch((error: unknown) => reasonOf(error));
  if (typeof opened === "string") return { tool, checks: [], skipped: opened };
  const { repository, dvc } = opened;
  const [text, manifest] = await Promise.all([
    api.datasets.dvc({ model, version }),
    api.datasets.manifest({ model, version }),
  ]);
  const folder = /^ {2}path: (.+)$/m.exec(Buffer.from(text).toString())?.[1] ?? "";
  writeFileSync(join(repository, `${folder}.dvc`), text);
  await dvc("pull", "--quiet");
  const frames = parseDatasetManifest(Buffer.from(manifest).toString());
  const pulled = readdirSync(join(repository, folder, "frames"));
  const other = frames.filter(({ file, sha256 }) => digestOf(join(repository, folder, file)) !== sha256);
  const status = (await dvc("status", "--json")).trim();
  return {
    tool: `${tool} ${(await dvc("--version")).trim()}`,
    skipped: null,
    checks: [
      {
        name: `dvc pull ${model}/${version}: every frame of its manifest, byte for byte`,
        holds: frames.length > 0 && pulled.length === frames.length && other.length === 0,
        found: `${pulled.length} of ${frames.length} files, ${other.length} with another SHA-256`,
      },
      { name: "dvc status finds nothing changed", holds: status === "{}", found: status },
    ],
  };
}

const digestOf = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

type Pair = { readonly key: string; readonly value: string | number };
type MlflowRun = {
  readonly info: { readonly run_id: string; readonly status: string };
  readonly data: {
    readonly params?: readonly Pair[];
    readonly metrics?: readonly Pair[];
    readonly tags?: readonly Pair[];
  };
  readonly inputs?: { readonly dataset_inputs?: readonly { readonly dataset: { readonly name: string } }[] };
};

/** `network`: SHA-256 of the network that devices run. */
export async function readByMlflow(
  mlflow: Mlflow | string,
  { runId, model, slice, datasetVersion, candidateVersion }: TrainingDetail,
  network: string,
): Promise<Reading> {
  const tool = "MLflow";
  if (typeof mlflow === "string") return { tool, checks: [], skipped: mlflow };
  const runs = await waitFor(
    async () => {
      const found = await searched(mlflow, runId);
      return found.some(({ info }) => info.status === "FINISHED") ? found : undefined;
    },
    { what: "MLflow to have the training", timeoutMs: SHOWN_MS_MAX, everyMs: 500 },
  ).catch(() => searched(mlflow, runId));
  const [run] = runs;
  const params = valuesOf(run?.data.params);
  const metrics = valuesOf(run?.data.metrics);
  const inputs = run?.inputs?.dataset_inputs?.map(({ dataset }) => dataset.name) ?? [];
  const version = await versionOf(mlflow);
  return {
    tool: `${tool} ${await (await fetch(`${mlflow.url}/version`)).text()}`,
    skipped: null,
    checks: [
      {
        name: "MLflow finds one run of the training, and it is finished",
        holds: runs.length === 1 && run?.info.status === "FINISHED",
        found: runs.map(({ info }) => `${info.run_id} ${info.status}`).join(", ") || "none",
      },
      {
        name: "its parameters, metrics and datasets are the training's",
        holds:
          params.get("model") === model &&
          params.get("slice") === slice &&
          metrics.size > 0 &&
          inputs.includes(`${model}/${datasetVersion}`),
        found: `${params.size} parameters, ${metrics.size} metrics, ${inputs.join(" and ") || "no dataset"}`,
      },
      {
        name: `one version of "${REGISTERED}" is registered, of this run, with the network that devices run`,
        holds:
          version !== null &&
          version.number === "1" &&
          version.run === run?.info.run_id &&
          version.candidate === candidateVersion &&
          version.network === network,
        found:
          version === null
            ? "none"
            : `version ${version.number}: ${version.candidate}, ${version.network.slice(0, 12)}`,
      },
    ],
  };
}

async function searched(mlflow: Mlflow, runId: string): Promise<readonly MlflowRun[]> {
  const { experiment } = (await mlflow.ask(`experiments/get-by-name?experiment_name=${EXPERIMENT}`)) as {
    readonly experiment?: { readonly experiment_id: string };
  };
  if (experiment === undefined) return [];
  const filter = `tags.\`tributary.runId\` = '${runId}'`;
  const { runs = [] } = await mlflow.ask("runs/search", { experiment_ids: [experiment.experiment_id], filter });
  return runs as readonly MlflowRun[];
}

/** Of the alias. */
async function versionOf(mlflow: Mlflow) {
  const query = new URLSearchParams({ name: REGISTERED, alias: ALIAS });
  const { model_version: version } = (await mlflow.ask(`registered-models/alias?${query}`)) as {
    readonly model_version?: {
      readonly version: string;
      readonly run_id: string;
      readonly source: string;
      readonly tags?: readonly Pair[];
    };
  };
  if (version === undefined) return null;
  const file = await mlflow.artifact(version.source, "model.onnx");
  return {
    number: version.version,
    run: version.run_id,
    candidate: valuesOf(version.tags).get("tributary.version"),
    network: createHash("sha256")
      .update(Buffer.from(await file.arrayBuffer()))
      .digest("hex"),
  };
}

const valuesOf = (pairs: readonly Pair[] = []): ReadonlyMap<string, string | number> =>
  new Map(pairs.map(({ key, value }) => [key, value]));
