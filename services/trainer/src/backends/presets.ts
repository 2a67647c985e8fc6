/**
 * Airflow, Kubeflow Pipelines and Azure ML as configurations of the one HTTP job: what a person would otherwise copy from their
 * documentation. Airflow's is tested against Airflow itself; the requests of the others are checked by the models that their makers
 * publish (presets.peer.test.ts), and neither was met live.
 *
 * What runs there gets the order of job-order.ts as JSON, and leaves `model.onnx` and `result.json` at `places.results`. */
import { httpUrl } from "@tributary/config";
import { z } from "zod";
import { type HttpJobConfig, type HttpJobInput, httpJobSchema } from "./http-config.ts";
import { secretSchema } from "./secret.ts";
import { bodyTemplate } from "./template.ts";

const name = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,249}$/, "expected letters, digits, dots and dashes");
const url = httpUrl.transform((text) => text.replace(/\/+$/, ""));
const text = z.string().min(1).max(1_024);
const requestMsMax = z.number().int().positive().max(600_000).default(30_000);

const CANCELLED = "cancelled by Tributary";

export const airflowSchema = z.strictObject({
  kind: z.literal("airflow"),
  /** Of Airflow 3's API server, without /api/v2. */
  url,
  dag: name,
  /** Either a token, or name and password, for which /auth/token issues one. */
  auth: z.union([z.strictObject({ token: secretSchema }), z.strictObject({ username: text, password: secretSchema })]),
  /** The task whose log `tributary train logs` shows. */
  logsTask: name.optional(),
  requestMsMax,
});

export const kubeflowSchema = z.strictObject({
  kind: z.literal("kubeflow"),
  /** Of the Kubeflow Pipelines API server, without /apis/v2beta1. */
  url,
  pipelineId: name,
  pipelineVersionId: name,
  experimentId: name.optional(),
  serviceAccount: name.optional(),
  token: secretSchema.optional(),
  /** The pipeline's parameters; `{{job}}` is a parameter of type STRUCT. */
  parameters: z.record(name, bodyTemplate).default({ job: "{{job}}" }),
  requestMsMax,
});

export const azureMlSchema = z.strictObject({
  kind: z.literal("azure-ml"),
  url: url.default("https://management.azure.com"),
  subscription: name,
  resourceGroup: z.string().regex(/^[\p{L}\p{N}_().-]{1,90}$/u, "expected a resource group's name"),
  workspace: name,
  /** A bearer token for the management API; whoever renews it writes the file. */
  token: secretSchema,
  /** ARM ids of the environment and of the computer. */
  environmentId: text,
  computeId: text.optional(),
  codeId: text.optional(),
  /** Run there, with the order in the variable TRIBUTARY_JOB. */
  command: z.string().min(1).max(8_192),
  experiment: name.default("tributary"),
  jobMsMax: z
    .number()
    .int()
    .min(60_000)
    .default(6 * 3_600_000),
  requestMsMax,
});

export type PresetConfig = z.output<typeof airflowSchema | typeof kubeflowSchema | typeof azureMlSchema>;

export function httpJobOf(config: PresetConfig): HttpJobConfig {
  switch (config.kind) {
    case "airflow":
      return httpJobSchema.parse(airflow(config));
    case "kubeflow":
      return httpJobSchema.parse(kubeflow(config));
    case "azure-ml":
      return httpJobSchema.parse(azureMl(config));
    default:
      return config satisfies never;
  }
}

/** The id of a DAG run is ours, so a second start is answered with 409. A run that is set to failed carries our note, since DAG runs
 * have no state for being cancelled. */
function airflow(config: z.output<typeof airflowSchema>): HttpJobInput {
  const { auth, logsTask, requestMsMax } = config;
  const runs = `${config.url}/api/v2/dags/${encodeURIComponent(config.dag)}/dagRuns`;
  const run = `${runs}/{{jobId}}`;
  return {
    start: {
      method: "POST",
      url: runs,
      body: { dag_run_id: "{{name}}", logical_date: null, conf: "{{job}}" },
      exists: [409],
    },
    jobId: "{{name}}",
    status: {
      url: run,
      states: { path: "state", running: ["queued", "running"], succeeded: ["success"], failed: ["failed"] },
      cancelMark: { path: "note", value: CANCELLED },
    },
    cancel: { method: "PATCH", url: run, body: { state: "failed", note: CANCELLED } },
    ...(logsTask !== undefined && {
      logs: {
        url: `${run}/taskInstances/${encodeURIComponent(logsTask)}/logs/1?full_content=true`,
        linesPath: "content",
        textPath: "event",
      },
    }),
    auth:
      "token" in auth
        ? { kind: "bearer", token: auth.token }
        : { kind: "login", url: `${config.url}/auth/token`, username: auth.username, password: auth.password },
    requestMsMax,
  };
}

/** A run's id is the server's, and names may occur twice: the run is looked for by its name first (http-job.ts H1). */
function kubeflow(config: z.output<typeof kubeflowSchema>): HttpJobInput {
  const { pipelineId, pipelineVersionId, experimentId, serviceAccount, token, parameters, requestMsMax } = config;
  const runs = `${config.url}/apis/v2beta1/runs`;
  const named = { predicates: [{ operation: "EQUALS", key: "display_name", string_value: "NAME" }] };
  const filter = encodeURIComponent(JSON.stringify(named)).replace("NAME", "{{name}}");
  const within = experimentId === undefined ? "" : `experiment_id=${encodeURIComponent(experimentId)}&`;
  return {
    find: { url: `${runs}?${within}page_size=1&filter=${filter}`, path: "runs.0.run_id" },
    start: {
      method: "POST",
      url: runs,
      body: {
        display_name: "{{name}}",
        description: "Training of {{model}} on {{dataset}}, for Tributary's run {{runId}}",
        ...(experimentId !== undefined && { experiment_id: experimentId }),
        ...(serviceAccount !== undefined && { service_account: serviceAccount }),
        pipeline_version_reference: { pipeline_id: pipelineId, pipeline_version_id: pipelineVersionId },
        runtime_config: { parameters: parameters as Readonly<Record<string, z.core.util.JSONType>> },
      },
    },
    jobIdPath: "run_id",
    status: {
      url: `${runs}/{{jobId}}`,
      states: {
        path: "state",
        running: ["RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "PAUSED", "CANCELING"],
        succeeded: ["SUCCEEDED"],
        failed: ["FAILED", "SKIPPED"],
        cancelled: ["CANCELED"],
      },
      reasonPath: "error.message",
    },
    cancel: { method: "POST", url: `${runs}/{{jobId}}:terminate` },
    auth: token === undefined ? { kind: "none" } : { kind: "bearer", token },
    requestMsMax,
  };
}

const AZURE_ML_API = "2024-04-01";

/** A job's name is ours and PUT makes it, so a repeated start finds the first job. */
function azureMl(config: z.output<typeof azureMlSchema>): HttpJobInput {
  const { subscription, resourceGroup, workspace, environmentId, computeId, codeId, token, requestMsMax } = config;
  const within = `/subscriptions/${subscription}/resourceGroups/${encodeURIComponent(resourceGroup)}`;
  const provider = "/providers/Microsoft.MachineLearningServices";
  const jobs = `${config.url}${within}${provider}/workspaces/${workspace}/jobs`;
  const version = `api-version=${AZURE_ML_API}`;
  return {
    find: { url: `${jobs}/{{name}}?${version}`, path: "name" },
    start: {
      method: "PUT",
      url: `${jobs}/{{name}}?${version}`,
      body: {
        properties: {
          jobType: "Command",
          displayName: "{{name}}",
          description: "Training of {{model}} on {{dataset}}, for Tributary's run {{runId}}",
          experimentName: config.experiment,
          command: config.command,
          environmentId,
          ...(computeId !== undefined && { computeId }),
          ...(codeId !== undefined && { codeId }),
          environmentVariables: { TRIBUTARY_JOB: "{{jobText}}" },
          limits: { jobLimitsType: "Command", timeout: durationOf(config.jobMsMax) },
        },
      },
      exists: [409],
    },
    jobId: "{{name}}",
    status: {
      url: `${jobs}/{{jobId}}?${version}`,
      states: {
        path: "properties.status",
        running: [
          ...["NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing"],
          ...["CancelRequested", "NotResponding", "Paused", "Unknown"],
        ],
        succeeded: ["Completed"],
        failed: ["Failed"],
        cancelled: ["Canceled"],
      },
    },
    cancel: { method: "POST", url: `${jobs}/{{jobId}}/cancel?${version}` },
    auth: { kind: "bearer", token },
    requestMsMax,
  };
}

/** ISO 8601, up to whole minutes. */
function durationOf(ms: number): string {
  const minutes = Math.ceil(ms / 60_000);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return `PT${hours > 0 ? `${hours}H` : ""}${rest > 0 ? `${rest}M` : ""}`;
}
