/**
 * The user's kubectl, with the user's kubeconfig: reads only, each call bounded in time and bytes.
 *
 * Pods and nodes are asked over `kubectl proxy` on a socket that only this user can open, since `kubectl get --raw` does not print the body of
 * a 503, which is where a service says why it is not ready.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { reasonOf } from "@tributary/kernel";
import { z } from "zod";
import { CliError, exitCodes } from "../../exit-codes.ts";
import type { Listed } from "./objects.ts";

export type KubectlOptions = {
  readonly namespace: string;
  readonly context?: string | undefined;
  /** Has PATH and KUBECONFIG. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
};
export type Answer = { readonly status: number; readonly text: string };
export type Get = (path: string) => Promise<Answer>;

const CALL_MS_MAX = 20_000;
const OUTPUT_BYTES_MAX = 32 * 2 ** 20;
const ASK_MS_MAX = 5_000;
const ANSWER_BYTES_MAX = 8 * 2 ** 20;
/** Only what is asked below may pass the proxy. */
const PASSES = "^/api/v1/namespaces/[^/]+/pods/[^/]+/proxy/,^/api/v1/nodes/[^/]+/proxy/stats/summary$";

export class Kubectl {
  readonly #options: KubectlOptions;

  constructor(options: KubectlOptions) {
    this.#options = options;
  }

  /** What it prints; fails with its own words. */
  async run(...args: readonly string[]): Promise<string> {
    const { signal, env } = this.#options;
    const bounds = { env, timeout: CALL_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX, signal, encoding: "utf8" } as const;
    try {
      const call = promisify(execFile)("kubectl", [...this.#shared, "--request-timeout=15s", ...args], bounds);
      return (await call).stdout;
    } catch (error) {
      throw failureOf(error);
    }
  }

  /** The objects of a kind; of one that may not be listed, why. */
  async list<T extends z.ZodType>(item: T, ...args: readonly string[]): Promise<Listed<z.infer<T>>> {
    try {
      return { items: parsed(z.object({ items: z.array(item) }), await this.run("get", ...args, "-o", "json")).items };
    } catch (error) {
      return { items: [], refused: reasonOf(error) };
    }
  }

  /** `use` may ask pods and nodes through the API server; the proxy ends with it. */
  async withProxy<T>(use: (get: Get) => Promise<T>): Promise<T> {
    const dir = await mkdtemp(join(tmpdir(), "tributary-kubectl-")); // of mode 0700
    const socketPath = join(dir, "api");
    const reads = ["--reject-methods=^(POST|PUT|PATCH|DELETE|CONNECT)$", `--accept-paths=${PASSES}`];
    const proxy = spawn("kubectl", [...this.#shared, "proxy", `--unix-socket=${socketPath}`, ...reads], {
      env: this.#options.env,
    });
    const ended = new Promise((resolve) => proxy.once("close", resolve));
    try {
      await served(proxy);
      return await use((path) => ask(socketPath, path, this.#options.signal));
    } finally {
      proxy.kill();
      await ended;
      await rm(dir, { recursive: true, force: true });
    }
  }

  get #shared(): string[] {
    const { namespace, context } = this.#options;
    return [`--namespace=${namespace}`, ...(context === undefined ? [] : [`--context=${context}`])];
  }
}

export function parsed<T extends z.ZodType>(schema: T, text: string): z.infer<T> {
  const result = schema.safeParse(jsonOf(text));
  if (result.success) return result.data;
  throw new CliError(exitCodes.failed, `kubectl printed what Kubernetes does not: ${z.prettifyError(result.error)}`);
}

/** Nothing of what is not JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failureOf(error: unknown): CliError {
  const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
  if (code === "ENOENT") {
    const install = "install it (https://kubernetes.io/docs/tasks/tools), or put it on the PATH";
    return new CliError(exitCodes.unreachable, `kubectl was not found: ${install}`);
  }
  if (killed === true) {
    const late = `kubectl did not answer within ${CALL_MS_MAX / 1_000} s: can the cluster be reached from here?`;
    return new CliError(exitCodes.unreachable, late);
  }
  const printed = (stderr ?? "").trim().split("\n").at(-1) || reasonOf(error);
  return new CliError(/\bforbidden\b/i.test(printed) ? exitCodes.failed : exitCodes.unreachable, `kubectl: ${printed}`);
}

function served(proxy: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const timer = setTimeout(() => reject(new Error("kubectl proxy did not start in time")), CALL_MS_MAX);
    proxy.once("error", reject);
    proxy.once("close", () => reject(new Error(`kubectl proxy: ${printed.trim() || "ended"}`)));
    for (const output of [proxy.stdout, proxy.stderr]) {
      output?.on("data", (chunk: Buffer) => {
        printed = `${printed}${chunk.toString()}`.slice(-1_000);
        if (!printed.includes("Starting to serve")) return;
        clearTimeout(timer);
        resolve();
      });
    }
    proxy.once("close", () => clearTimeout(timer));
  });
}

function ask(socketPath: string, path: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bounds = { timeout: ASK_MS_MAX, signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_MS_MAX)]) };
    const call = request({ socketPath, path, headers: { host: "localhost" }, ...bounds }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > ANSWER_BYTES_MAX) response.destroy(new Error("its answer is too large"));
      });
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    call.once("error", reject);
    call.end();
  });
}
