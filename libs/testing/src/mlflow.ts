/** A real MLflow server on a port of its own, with its store and its artifacts in one folder. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { python } from "../../../tools/peers.mjs";
import { freePort } from "./temp.ts";
import { waitFor } from "./wait.ts";

export type Mlflow = {
  readonly url: string;
  /** Asks its REST API; `body` makes it a POST. */
  ask(path: string, body?: object): Promise<Readonly<Record<string, unknown>>>;
  /** A file of a model version's or run's artifacts, by its `source` or artifact URI. */
  artifact(source: string, file: string): Promise<Response>;
  stop(): Promise<void>;
};

/** For MLflow's programs. Some of its dependencies ask the network who they are by default; its job runner is seven more processes. */
export const mlflowEnv = {
  MLFLOW_DISABLE_TELEMETRY: "true",
  DO_NOT_TRACK: "true",
  MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
  GIT_PYTHON_REFRESH: "quiet",
  ORT_DISABLE_TELEMETRY: "1",
};

/** The first start after an installation compiles what it imports. */
const READY_MS_MAX = 300_000;
const JSON_BODY = { "content-type": "application/json" };

/** `dir`: what it stores. Installs MLflow where it is missing (tools/peers.mjs). */
export async function startMlflow(dir: string): Promise<Mlflow> {
  const program = python("mlflow");
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const store = ["--backend-store-uri", `sqlite:///${join(dir, "mlflow.db")}`];
  const artifacts = ["--serve-artifacts", "--artifacts-destination", join(dir, "artifacts")];
  const args = ["-m", "mlflow", "server", ...store, ...artifacts, "--host", "127.0.0.1", "--port", `${port}`];
  const env = { ...process.env, ...mlflowEnv };
  // A group of its own: its workers end with it.
  const child = spawn(program, [...args, "--workers", "1"], { env, stdio: "ignore", detached: true });
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const kill = () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, "SIGKILL");
    }
  };
  process.once("exit", kill);
  const stop = async () => {
    process.off("exit", kill);
    kill();
    await exited;
  };
  const ended = new AbortController();
  child.once("exit", (code) => ended.abort(new Error(`MLflow ended with ${code}`)));
  const isUp = async () => (await fetch(`${url}/health`)).ok;
  const wait = { what: "MLflow", timeoutMs: READY_MS_MAX, everyMs: 300, signal: ended.signal };
  await waitFor(isUp, wait).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    url,
    ask: async (path, body) => {
      const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: JSON_BODY };
      const answer = await fetch(`${url}/api/2.0/mlflow/${path}`, init);
      return (await answer.json()) as Readonly<Record<string, unknown>>;
    },
    artifact: (source, file) =>
      fetch(`${url}/api/2.0/mlflow-artifacts/artifacts/${source.replace("mlflow-artifacts:/", "")}/${file}`),
    stop,
  };
}
