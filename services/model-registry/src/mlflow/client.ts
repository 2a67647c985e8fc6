/**
 * What the importer asks of MLflow, by its REST API: which version is challenger, and the files of a model version.
 *
 * Files come through MLflow's own proxy (`mlflow-artifacts`), so the registry needs no access to the storage behind it.
 * Answers, files, folders and bytes are bounded (G9); a file's name stays inside its folder.
 */
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure, reasonOf } from "@tributary/kernel";

export type MlflowOptions = {
  /** Where MLflow's pages are. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Of one call; of one file's next bytes. */
  readonly timeoutMs: number;
};

export type MlflowVersion = { readonly version: string; readonly runId: string };

export type DownloadLimits = { readonly filesMax: number; readonly bytesMax: number };

const ANSWER_BYTES_MAX = 4 << 20;
const DEPTH_MAX = 8;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}$/;
const TAG_LENGTH_MAX = 1_000;

type Json = Readonly<Record<string, unknown>>;

export class MlflowClient {
  readonly #base: string;
  readonly #options: MlflowOptions;

  constructor(options: MlflowOptions) {
    this.#options = options;
    this.#base = options.url.replace(/\/+$/, "");
  }

  /** Undefined: no version has the alias, or there is no such model. */
  async aliased(name: string, alias: string, signal: AbortSignal): Promise<MlflowVersion | undefined> {
    const path = `/api/2.0/mlflow/registered-models/alias?${new URLSearchParams({ name, alias })}`;
    const response = await this.#fetch(path, signal);
    const body = await this.#json(response);
    if (response.status === 404 || body.error_code === "RESOURCE_DOES_NOT_EXIST") return undefined;
    // MLflow returns this where the model has no such alias.
    if (response.status === 400 && /alias/i.test(String(body.message))) return undefined;
    if (!response.ok) throw refused(path, response.status, body);
    const { version, run_id: runId } = (body.model_version ?? {}) as Json;
    if (typeof version !== "string" || !/^[\w.-]{1,40}$/.test(version)) throw badResponse(path);
    return { version, runId: typeof runId === "string" ? runId : "" };
  }

  /** All files of a version, below `dir`. */
  async download(
    name: string,
    version: string,
    dir: string,
    limits: DownloadLimits,
    signal: AbortSignal,
  ): Promise<void> {
    const root = await this.#artifactPath(name, version, signal);
    const left = { files: limits.filesMax, bytes: limits.bytesMax };
    const walk = async (under: string, depth: number): Promise<void> => {
      if (depth > DEPTH_MAX) throw tooMuch(name, version, `folders nest deeper than ${DEPTH_MAX}`);
      for (const { path, isDir } of await this.#list(join(root, under), signal)) {
        if (!NAME.test(path)) throw tooMuch(name, version, `"${path.slice(0, 80)}" is no plain file name`);
        const within = join(under, path);
        if (isDir) {
          await walk(within, depth + 1);
          continue;
        }
        left.files -= 1;
        if (left.files < 0) throw tooMuch(name, version, `it has more than ${limits.filesMax} files`);
        left.bytes -= await this.#file(join(root, within), join(dir, within), left.bytes, signal);
      }
    };
    await walk("", 0);
  }

  /** A mark that people see in MLflow; nothing depends on it. */
  async tag(name: string, version: string, key: string, value: string, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ name, version, key, value: value.slice(0, TAG_LENGTH_MAX) });
    const init = { method: "POST", body, headers: { "content-type": "application/json" } };
    const response = await this.#fetch("/api/2.0/mlflow/model-versions/set-tag", signal, init);
    await response.body?.cancel();
  }

  async #artifactPath(name: string, version: string, signal: AbortSignal): Promise<string> {
    const path = `/api/2.0/mlflow/model-versions/get-download-uri?${new URLSearchParams({ name, version })}`;
    const response = await this.#fetch(path, signal);
    const body = await this.#json(response);
    if (!response.ok) throw refused(path, response.status, body);
    const uri = String(body.artifact_uri ?? "");
    const found = /^mlflow-artifacts:(?:\/\/[^/]*)?\/+(.+)$/.exec(uri)?.[1];
    if (found !== undefined && !found.split("/").includes("..")) return found;
    const message = `the files of ${name} ${version} are at ${uri.slice(0, 200)}: start MLflow with --serve-artifacts, and let models be logged through it`;
    throw new Failure("mlflow-artifacts-elsewhere", "ask-a-person", message);
  }

  async #list(
    path: string,
    signal: AbortSignal,
  ): Promise<readonly { readonly path: string; readonly isDir: boolean }[]> {
    const url = `/api/2.0/mlflow-artifacts/artifacts?${new URLSearchParams({ path })}`;
    const response = await this.#fetch(url, signal);
    const body = await this.#json(response);
    if (!response.ok) throw refused(url, response.status, body);
    const files = Array.isArray(body.files) ? (body.files as Json[]) : [];
    return files.map((file) => ({ path: String(file.path), isDir: file.is_dir === true }));
  }

  async #file(path: string, to: string, bytesMax: number, signal: AbortSignal): Promise<number> {
    const url = `/api/2.0/mlflow-artifacts/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;
    const response = await this.#fetch(url, signal);
    if (!response.ok) throw refused(url, response.status, await this.#json(response));
    let bytes = 0;
    const counted = async function* () {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > bytesMax) {
          throw new Failure(
            "mlflow-model-too-large",
            "give-up",
            `${path}: the model's files exceed what may be imported`,
          );
        }
        yield chunk;
      }
    };
    await mkdir(dirname(to), { recursive: true });
    await pipeline(Readable.from(counted()), createWriteStream(to, { flags: "wx" })).catch((error: unknown) => {
      throw error instanceof Failure ? error : unreachable(this.#base, error);
    });
    return bytes;
  }

  async #fetch(path: string, signal: AbortSignal, init: RequestInit = {}): Promise<Response> {
    const { token, timeoutMs } = this.#options;
    const late = AbortSignal.timeout(timeoutMs);
    try {
      return await fetch(this.#base + path, {
        ...init,
        redirect: "error",
        signal: AbortSignal.any([signal, late]),
        headers: { ...init.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      });
    } catch (error) {
      throw unreachable(this.#base, late.aborted ? new Error(`no answer in ${timeoutMs} ms`) : error);
    }
  }

  async #json(response: Response): Promise<Json> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) throw badResponse(response.url);
        chunks.push(chunk);
      }
    } catch (error) {
      throw error instanceof Failure ? error : unreachable(this.#base, error);
    }
    try {
      const json: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      return json !== null && typeof json === "object" ? (json as Json) : {};
    } catch {
      return {};
    }
  }
}

function unreachable(base: string, error: unknown): Failure {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const message = `MLflow at ${base} cannot be reached: ${reasonOf(cause)}`;
  return new Failure("mlflow-unreachable", "retry", message, { cause: error });
}

function refused(path: string, status: number, body: Json): Failure {
  const message = `MLflow answers ${status} to ${path.split("?")[0]}: ${String(body.message ?? body.error_code ?? "").slice(0, 300)}`;
  return new Failure("mlflow-refused", status >= 500 || status === 429 ? "retry" : "ask-a-person", message);
}

const badResponse = (path: string) =>
  new Failure(
    "mlflow-bad-response",
    "ask-a-person",
    `what answers at ${path.split("?")[0]} does not have MLflow's API`,
  );

const tooMuch = (name: string, version: string, what: string) =>
  new Failure("mlflow-model-unusable", "give-up", `${name} ${version}: ${what}`);
