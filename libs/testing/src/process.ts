/**
 * Real processes for tests: started from dist/, known to be ready by their ready line, and never left behind.
 *
 * `spawnService` resolves on the process's ready line and rejects with its last output when it ends before. A process that
 * is still alive when the test process ends is killed with it.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";
import { exitFlags, Failure } from "@tributary/kernel";
import { waitFor } from "./wait.ts";

/** The repository. */
export const repositoryRoot: string = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

/** Node's arguments for a program that runs with a sabotage: `lab/sabotage/NAME.mjs` names what it breaks. */
export const sabotaged = (name: string): readonly string[] => [
  "--import",
  pathToFileURL(join(repositoryRoot, `lab/sabotage/${name}.mjs`)).href,
];

export type ReadyLine = {
  readonly event: "ready";
  readonly service: string;
  readonly ports: { readonly [name: string]: number };
};

export type ExitStatus = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type SpawnOptions = {
  /** For messages, e.g. `bridge`. */
  readonly name: string;
  /** JavaScript file, relative to the repository, e.g. `edge/bridge/dist/main.js`. */
  readonly main: string;
  readonly args?: readonly string[];
  /** Before the program: `sabotaged("early-puback")`. */
  readonly nodeArgs?: readonly string[];
  /** Written as a JSON file (which is YAML) and passed as `--config FILE`. */
  readonly config?: object;
  /** Where the config file goes; needed with `config`. */
  readonly dir?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly readyMsMax?: number;
  readonly signal?: AbortSignal;
};

export type SpawnedService = {
  readonly name: string;
  readonly pid: number;
  readonly ports: { readonly [name: string]: number };
  readonly exited: Promise<ExitStatus>;
  alive(): boolean;
  /** The last lines of both outputs, in order of arrival. */
  lines(): readonly string[];
  /** Log lines that are JSON. */
  events(): readonly Record<string, unknown>[];
  kill(signal?: NodeJS.Signals): Promise<ExitStatus>;
  /** SIGTERM, and SIGKILL after `graceMs`. */
  stop(graceMs?: number): Promise<ExitStatus>;
};

const LINES_MAX = 5_000;
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Starts a program and does not wait for it to be ready. */
export function spawnProcess(options: Omit<SpawnOptions, "readyMsMax">): Omit<SpawnedService, "ports"> {
  const args = [...(options.args ?? [])];
  if (options.config !== undefined) {
    if (options.dir === undefined) throw new Error(`${options.name}: a config needs a dir to be written to`);
    mkdirSync(options.dir, { recursive: true });
    const file = join(options.dir, `${options.name}.yaml`);
    writeFileSync(file, `${JSON.stringify(options.config, null, 2)}\n`);
    args.unshift("--config", file);
  }
  const child = spawn(
    process.execPath,
    [...exitFlags, ...(options.nodeArgs ?? []), resolve(repositoryRoot, options.main), ...args],
    {
      cwd: repositoryRoot,
      env: { ...environmentOfChildren(), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  running.add(child);
  const kept: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      kept.push(...parts.filter((line) => line !== ""));
      if (kept.length > LINES_MAX) kept.splice(0, kept.length - LINES_MAX);
    });
    stream.on("end", () => {
      if (rest !== "") kept.push(rest);
    });
  }
  const exited = new Promise<ExitStatus>((done) => {
    child.once("close", (code, signal) => done({ code, signal }));
    child.once("error", (error) => {
      kept.push(String(error));
      done({ code: null, signal: null });
    });
  });
  void exited.then(() => running.delete(child));
  const alive = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name: options.name,
    pid: child.pid ?? -1,
    exited,
    alive,
    lines: () => kept,
    events: () => parseJsonLines(kept),
    kill: (signal = "SIGKILL") => {
      child.kill(signal);
      return exited;
    },
    stop: async (graceMs = 30_000) => {
      if (alive()) child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      const status = await exited;
      clearTimeout(timer);
      return status;
    },
  };
}

export async function spawnService(options: SpawnOptions): Promise<SpawnedService> {
  const child = spawnProcess(options);
  try {
    const ready = await waitFor(
      () => {
        const line = child.events().find(isReady);
        if (line !== undefined) return line;
        return child.alive() ? undefined : { ended: true as const };
      },
      { what: `${options.name} to be ready`, timeoutMs: options.readyMsMax ?? 60_000 },
    );
    if ("ended" in ready) throw new Failure("service-ended", "give-up", `${options.name} ended before it was ready`);
    return { ...child, ports: ready.ports };
  } catch (error) {
    await child.kill();
    const end = child.lines().slice(-20).join("\n");
    throw new Failure("service-not-ready", "give-up", `${error instanceof Error ? error.message : error}\n${end}`);
  }
}

const isReady = (line: unknown): line is ReadyLine =>
  typeof line === "object" && line !== null && "event" in line && line.event === "ready" && "ports" in line;

/** The lines that are JSON objects; others, and a truncated one, are skipped. */
export const parseJsonLines = (lines: readonly string[]): Record<string, unknown>[] =>
  lines.flatMap((line) => {
    if (!line.startsWith("{")) return [];
    try {
      return [JSON.parse(line) as Record<string, unknown>];
    } catch {
      return [];
    }
  });

export type Ran = { readonly code: number | null; readonly out: string; readonly err: string };

type ProgramOptions = {
  /** Beside PATH. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** It is killed after this time. */
  readonly msMax?: number;
};

/** Starts any program. Not spawnSync: Jest would stand still with it, and so would what the program asks. */
export function startProgram(
  program: string,
  args: readonly string[],
  { env = {}, cwd = repositoryRoot, msMax }: ProgramOptions = {},
): { readonly child: ChildProcessByStdio<null, Readable, Readable>; readonly ended: Promise<Ran> } {
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: msMax,
  });
  running.add(child);
  const output = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    output.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output.err += chunk;
  });
  const ended = new Promise<Ran>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...output }));
  }).finally(() => running.delete(child));
  return { child, ended };
}

/** Jest's own settings must not reach the processes under test. */
function environmentOfChildren(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, JEST_WORKER_ID: _worker, NODE_ENV: _env, ...rest } = process.env;
  return rest;
}
