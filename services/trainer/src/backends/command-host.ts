/**
 * The process beside a command: it starts the command, keeps its log within bounds, writes how far it is, and ends it. A process of its
 * own, because it sees the trainer end and ends the command then, which the trainer itself could not.
 *
 * D1. The command leads a process group, which is killed as a whole: when it is cancelled, when its time is over, when its trainer
 *     ends, and after its own end, so that nothing of it is left.
 * D2. It succeeded if it ended with exit code 0 and both result files are there. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { reasonOf } from "@tributary/kernel";
import { diesWithHost } from "@tributary/kernel/processes";
import { RESULT_FILE, RESULT_MODEL } from "@tributary/training";
import { CommandFolder, type CommandRecord, HEARTBEAT_MS, LINE_LENGTH_MAX } from "./command-folder.ts";

/** Sent once by the trainer; not stored, since the environment may hold secrets. */
export type CommandSpec = {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly input: string;
  readonly msMax: number;
  readonly logBytesMax: number;
  /** Null: results are elsewhere than on this machine. */
  readonly resultsDir: string | null;
};

const CANCEL_MS_EVERY = 500;
/** Between SIGTERM and SIGKILL. */
const STOP_MS = 5_000;
const PROGRESS = /^progress (0(?:\.\d+)?|1(?:\.0+)?)(?:\s+(.*))?$/;

class CommandHost {
  readonly #folder: CommandFolder;
  readonly #spec: CommandSpec;
  #child: ChildProcess | undefined;
  #running: Extract<CommandRecord, { kind: "running" }> = { kind: "running", progress: null, line: "started" };
  /** Why it was ended from here. */
  #ended: CommandRecord | undefined;
  #logBytes = 0;
  #rest = "";
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: CommandFolder, spec: CommandSpec) {
    this.#folder = folder;
    this.#spec = spec;
  }

  async run(): Promise<void> {
    const { argv, env, cwd, input, msMax, resultsDir } = this.#spec;
    await this.#folder.write(this.#running);
    if (resultsDir !== null) mkdirSync(resultsDir, { recursive: true });
    const [program = "", ...args] = [...diesWithHost(), ...argv];
    const child = spawn(program, args, { cwd, env: { ...env }, stdio: "pipe", detached: true });
    this.#child = child;
    child.stdin.on("error", () => {}); // It may not read its input.
    child.stdin.end(input);
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => this.#output(chunk));
    const timers = [
      setInterval(() => void this.#write(this.#running), HEARTBEAT_MS),
      setInterval(async () => {
        if (await this.#folder.isCancelled()) this.stop({ kind: "cancelled" });
      }, CANCEL_MS_EVERY),
      setTimeout(() => {
        this.stop({ kind: "failed", reason: `it did not end within ${msMax} ms`, isRetryable: true });
      }, msMax),
    ];
    const end = await new Promise<CommandRecord>((resolve) => {
      child.once("error", (error) => {
        resolve({ kind: "failed", reason: `it cannot be run: ${error.message}`, isRetryable: false });
      });
      child.once("exit", (code, signal) => resolve(this.#outcome(code, signal)));
    });
    for (const timer of timers) clearTimeout(timer);
    kill(child, "SIGKILL"); // D1
    await this.#writing;
    await this.#folder.write(this.#ended ?? end);
  }

  stop(why: CommandRecord): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    if (this.#child === undefined) return;
    const child = this.#child;
    kill(child, "SIGTERM");
    setTimeout(() => kill(child, "SIGKILL"), STOP_MS).unref();
  }

  /** The trainer ended: there is nobody to wait for. */
  async abandon(): Promise<void> {
    if (this.#child !== undefined) kill(this.#child, "SIGKILL");
    this.#ended ??= { kind: "failed", reason: "it ended with the trainer that had started it", isRetryable: true };
  }

  #outcome(code: number | null, signal: NodeJS.Signals | null): CommandRecord {
    if (code !== 0) {
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
      const words = this.#running.line;
      // 126 and 127: there is no such program, or it may not be run.
      const isRetryable = code !== 126 && code !== 127;
      return { kind: "failed", reason: `it ended ${how}; its last line: ${words}`, isRetryable };
    }
    const { resultsDir } = this.#spec;
    const missing = [RESULT_MODEL, RESULT_FILE].find(
      (name) => resultsDir !== null && !existsSync(join(resultsDir, name)),
    );
    if (missing === undefined) return { kind: "succeeded" }; // D2
    const reason = `it ended with exit code 0, but ${missing} is not in ${resultsDir}`;
    return { kind: "failed", reason, isRetryable: false };
  }

  #output(chunk: Buffer): void {
    appendFileSync(this.#folder.file("log"), chunk);
    this.#logBytes += chunk.length;
    if (this.#logBytes > this.#spec.logBytesMax / 2) {
      renameSync(this.#folder.file("log"), this.#folder.file("logBefore"));
      this.#logBytes = 0;
    }
    const lines = (this.#rest + chunk.toString("utf8")).split(/[\r\n]+/);
    this.#rest = (lines.pop() ?? "").slice(-LINE_LENGTH_MAX);
    for (const line of lines) this.#line(line.slice(0, LINE_LENGTH_MAX));
  }

  #line(line: string): void {
    const found = PROGRESS.exec(line);
    if (found !== null) {
      this.#running = { kind: "running", progress: Number(found[1]), line: found[2] ?? this.#running.line };
    } else if (line.trim() !== "") {
      this.#running = { ...this.#running, line };
    }
  }

  /** One write at a time: the file has one writer. */
  #write(record: CommandRecord): Promise<void> {
    this.#writing = this.#writing.then(() => this.#folder.write(record)).catch(() => {});
    return this.#writing;
  }
}

function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone already.
  }
}

const folder = new CommandFolder(process.argv[2] ?? "");
process.once("message", (spec: CommandSpec) => {
  const host = new CommandHost(folder, spec);
  process.once("disconnect", () => void host.abandon());
  host
    .run()
    .catch((error: unknown) => folder.write({ kind: "failed", reason: reasonOf(error), isRetryable: true }))
    .finally(() => process.exit());
});
