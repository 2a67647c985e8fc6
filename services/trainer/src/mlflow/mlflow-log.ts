/**
 * What MLflow is to show of a training: a run with parameters, metrics, tags and its datasets, and a version of a registered model.
 *
 * MLflow is a log here, nothing depends on it: `record` may be called again after any failure, at any phase, with what is known then.
 *
 * W1. A training is one MLflow run, found by the tag `tributary.runId`, and at most one model version, found by the same tag.
 * W2. Values are cut to what MLflow takes, so a long reason does not fail the whole. */
import { createHash } from "node:crypto";
import { type Clock, Failure, type Random } from "@tributary/kernel";
import { z } from "zod";
import { secretOf, secretSchema } from "../backends/secret.ts";
import { type JsonAnswer, JsonHttp, okJson, valueAt } from "../http/json-http.ts";

export const mlflowSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: "expected http:// or https://" })
    .transform((url) => url.replace(/\/+$/, "")),
  token: secretSchema.optional(),
  experiment: z.string().min(1).max(250).default("tributary-trainings"),
  /** MLflow's name of a registered model by ours; without it no version is registered. */
  models: z.record(z.string().min(1), z.string().min(1).max(256)).default({}),
  /** Alias that a registered version gets. Not the one by which a model-registry imports: it would import what it has. */
  alias: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_-]{0,254}$/, "expected an alias, like candidate")
    .optional(),
  requestMsMax: z.number().int().positive().max(600_000).default(30_000),
});

export type MlflowConfig = z.output<typeof mlflowSchema>;

export type MlflowDataset = {
  /** MODEL/VERSION. */
  readonly name: string;
  /** MD5 of its list of files. */
  readonly md5: string;
  /** Where `dvc get` finds it. */
  readonly source: string;
  readonly context: "training" | "validation";
};

export type MlflowRecord = {
  readonly runId: string;
  readonly name: string;
  readonly model: string;
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** RUNNING until the training has ended. */
  readonly status: "RUNNING" | "FINISHED" | "FAILED" | "KILLED";
  readonly params: Readonly<Record<string, string | number | boolean>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly datasets: readonly MlflowDataset[];
  /** The files of the version to register, once there is one. */
  readonly version: {
    /** By path; asked for once, when the version is made. */
    readonly files: () => Promise<ReadonlyMap<string, Uint8Array>>;
    readonly tags: Readonly<Record<string, string>>;
  } | null;
};

export type MlflowLogged = { readonly mlflowRun: string; readonly modelVersion: string | null };

const RUN_TAG = "tributary.runId";
const PARAMS_MAX = 100;
const METRICS_MAX = 1_000;
const KEY_LENGTH_MAX = 250;
const VALUE_LENGTH_MAX = 5_000;

type Json = Readonly<Record<string, unknown>>;

export class MlflowLog {
  readonly #config: MlflowConfig;
  readonly #http: JsonHttp;

  constructor(config: MlflowConfig, options: { readonly clock: Clock; readonly random: Random }) {
    this.#config = config;
    this.#http = new JsonHttp({ ...options, callMsMax: config.requestMsMax });
  }

  async record(record: MlflowRecord, signal: AbortSignal): Promise<MlflowLogged> {
    const experiment = await this.#experiment(signal);
    const run =
      (await this.#found(experiment, record.runId, signal)) ?? (await this.#created(experiment, record, signal));
    await this.#values(run.id, record, signal);
    if (record.datasets.length > 0) {
      const datasets = record.datasets.map(inputOf);
      okJson(await this.#post("runs/log-inputs", { run_id: run.id, datasets }, signal));
    }
    const modelVersion = record.version === null ? null : await this.#version(run, record, signal);
    const end = record.endedAt === null ? {} : { end_time: record.endedAt };
    okJson(await this.#post("runs/update", { run_id: run.id, status: record.status, ...end }, signal));
    return { mlflowRun: run.id, modelVersion };
  }

  async #experiment(signal: AbortSignal): Promise<string> {
    const { experiment } = this.#config;
    const query = new URLSearchParams({ experiment_name: experiment });
    const answer = await this.#get(`experiments/get-by-name?${query}`, signal);
    if (answer.status !== 404) return textAt(okJson(answer), "experiment.experiment_id", answer);
    const created = await this.#post("experiments/create", { name: experiment }, signal);
    // Somebody else created it in between.
    if (isExisting(created)) return this.#experiment(signal);
    return textAt(okJson(created), "experiment_id", created);
  }

  /** W1. */
  async #found(experiment: string, runId: string, signal: AbortSignal): Promise<MlflowRun | undefined> {
    const filter = `tags."${RUN_TAG}" = '${runId.replace(/[^A-Za-z0-9._-]/g, "")}'`;
    const body = { experiment_ids: [experiment], filter, max_results: 1 };
    const answer = await this.#post("runs/search", body, signal);
    const run = valueAt(okJson(answer), "runs.0");
    return run === undefined ? undefined : runOf(run, answer);
  }

  async #created(experiment: string, record: MlflowRecord, signal: AbortSignal): Promise<MlflowRun> {
    const body = {
      experiment_id: experiment,
      run_name: record.name,
      start_time: record.startedAt,
      tags: [{ key: RUN_TAG, value: record.runId }],
    };
    const answer = await this.#post("runs/create", body, signal);
    return runOf(valueAt(okJson(answer), "run"), answer);
  }

  async #values(run: string, record: MlflowRecord, signal: AbortSignal): Promise<void> {
    const timestamp = record.endedAt ?? record.startedAt;
    const body = {
      run_id: run,
      params: pairs(record.params, PARAMS_MAX),
      metrics: Object.entries(record.metrics)
        .filter(([, value]) => Number.isFinite(value))
        .slice(0, METRICS_MAX)
        .map(([key, value]) => ({ key: keyOf(key), value, timestamp, step: 0 })),
      tags: pairs(record.tags, PARAMS_MAX),
    };
    okJson(await this.#post("runs/log-batch", body, signal));
  }

  /** W1. Undefined model in the configuration: none is registered. */
  async #version(run: MlflowRun, record: MlflowRecord, signal: AbortSignal): Promise<string | null> {
    const name = this.#config.models[record.model];
    if (name === undefined || record.version === null) return null;
    const filter = `name = '${name.replaceAll("'", "")}' AND tags."${RUN_TAG}" = '${record.runId.replaceAll("'", "")}'`;
    const query = new URLSearchParams({ filter, max_results: "1" });
    const search = await this.#get(`model-versions/search?${query}`, signal);
    const known = valueAt(okJson(search), "model_versions.0.version");
    const version = typeof known === "string" ? known : await this.#registered(name, run, record, signal);
    if (this.#config.alias !== undefined) {
      okJson(await this.#post("registered-models/alias", { name, alias: this.#config.alias, version }, signal));
    }
    return version;
  }

  async #registered(name: string, run: MlflowRun, record: MlflowRecord, signal: AbortSignal): Promise<string> {
    const made = await this.#post("registered-models/create", { name }, signal);
    if (!isExisting(made)) okJson(made);
    await this.#upload(run, (await record.version?.files()) ?? new Map(), signal);
    const tags = pairs({ ...record.version?.tags, [RUN_TAG]: record.runId }, PARAMS_MAX);
    const body = { name, source: `${run.artifacts}/model`, run_id: run.id, tags };
    const answer = await this.#post("model-versions/create", body, signal);
    return textAt(okJson(answer), "model_version.version", answer);
  }

  /** Through MLflow's own proxy, so the trainer needs no access to the storage behind it. */
  async #upload(run: MlflowRun, files: ReadonlyMap<string, Uint8Array>, signal: AbortSignal): Promise<void> {
    const path = /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.+)$/.exec(run.artifacts)?.[1];
    if (path === undefined) {
      const message = `the files of MLflow's run ${run.id} go to ${run.artifacts}: start MLflow with --serve-artifacts`;
      throw new Failure("mlflow-artifacts-elsewhere", "ask-a-person", message);
    }
    for (const [name, bytes] of files) {
      const url = `${this.#config.url}/api/2.0/mlflow-artifacts/artifacts/${path}/model/${name.split("/").map(encodeURIComponent).join("/")}`;
      const headers = { ...(await this.#authorization()), "content-type": "application/octet-stream" };
      okJson(await this.#http.send({ method: "PUT", url, headers, body: bytes, repeats: true }, signal));
    }
  }

  #get(path: string, signal: AbortSignal): Promise<JsonAnswer> {
    return this.#send("GET", path, undefined, signal);
  }

  /** Not repeated: MLflow would create a second run or version. `record` finds the first when it is called again. */
  #post(path: string, body: Json, signal: AbortSignal): Promise<JsonAnswer> {
    return this.#send("POST", path, body, signal);
  }

  async #send(method: "GET" | "POST", path: string, body: Json | undefined, signal: AbortSignal): Promise<JsonAnswer> {
    const url = `${this.#config.url}/api/2.0/mlflow/${path}`;
    const headers = await this.#authorization();
    return this.#http.send({ method, url, headers, body, repeats: method === "GET" }, signal);
  }

  async #authorization(): Promise<Readonly<Record<string, string>>> {
    const { token } = this.#config;
    return token === undefined ? {} : { authorization: `Bearer ${await secretOf(token)}` };
  }
}

type MlflowRun = { readonly id: string; readonly artifacts: string };

const runOf = (run: unknown, answer: JsonAnswer): MlflowRun => ({
  id: textAt(run, "info.run_id", answer),
  artifacts: textAt(run, "info.artifact_uri", answer),
});

/** MLflow's digest has at most 36 characters. */
const inputOf = ({ name, md5, source, context }: MlflowDataset) => ({
  dataset: {
    name,
    digest: /^[0-9a-f]{32}$/.test(md5) ? md5 : createHash("md5").update(md5).digest("hex"),
    source_type: "dvc",
    source: JSON.stringify({ uri: source }),
  },
  tags: [{ key: "mlflow.data.context", value: context }],
});

/** W2. MLflow refuses keys with other characters, as slices have. */
const keyOf = (key: string): string => key.replace(/[^\w. /-]/g, "_").slice(0, KEY_LENGTH_MAX);

const pairs = (values: Readonly<Record<string, string | number | boolean>>, max: number) =>
  Object.entries(values)
    .slice(0, max)
    .map(([key, value]) => ({ key: keyOf(key), value: String(value).slice(0, VALUE_LENGTH_MAX) }));

const isExisting = ({ status, json }: JsonAnswer): boolean =>
  status === 400 && valueAt(json, "error_code") === "RESOURCE_ALREADY_EXISTS";

function textAt(json: unknown, path: string, answer: JsonAnswer): string {
  const text = valueAt(json, path);
  if (typeof text === "string" && text !== "") return text;
  throw new Failure("server-malformed", "ask-a-person", `${answer.of}: there is no ${path}; is MLflow there?`);
}
