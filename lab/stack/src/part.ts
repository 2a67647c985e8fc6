/**
 * One process of the stack: started, awaited until ready, killed on purpose, restarted when it crashes.
 *
 * `start` resolves on the process's ready line and rejects with the end of its log if it exits before. It writes to a file,
 * not to a pipe, so it does not depend on its parent. A supervised part that exits unexpectedly is restarted after a
 * jittered, bounded backoff, and counted. A supervised part that fails its liveness probe several times in a row is killed,
 * and restarted in the same way.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { backoffMs, exitFlags, Failure, reasonOf, systemClock } from "@tributary/kernel";
import { parseJsonLines } from "@tributary/testing";
import type { Journal } from "./journal.ts";

export type PartOptions = {
  readonly name: string;
  readonly main: string;
  /** Before the program. */
  readonly nodeArgs?: readonly string[];
  /** Its configuration; written to `DIR/NAME.yaml` at each start. */
  readonly config: () => object;
  readonly dir: string;
  readonly journal: Journal;
  readonly supervised: boolean;
  readonly probe?: Probe;
  readonly onEvent?: (line: string) => void;
};

export type Probe = { readonly everyMs: number; readonly timeoutMs: number; readonly failuresMax: number };
export type PartState = "stopped" | "starting" | "running" | "restarting";
export type Ports = { readonly [name: string]: number };

const READY_MS_MAX = 120_000;
const BACKOFF = { minMs: 250, maxMs: 10_000 };
const STEADY_MS = 20_000;
const STARTS_MAX = 3;
const PROBE: Probe = { everyMs: 5_000, timeoutMs: 4_000, failuresMax: 4 };

export class Part {
  readonly name: string;
  readonly logFile: string;
  readonly #options: PartOptions;
  readonly #journal: Journal;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #isWanted = false;
  #attempt = 0;
  #ports: Ports = {};
  #backoff = new AbortController();
  state: PartState = "stopped";
  /** Restarts by the supervisor. */
  restarts = 0;

  constructor(options: PartOptions) {
    this.name = options.name;
    this.#options = options;
    this.#journal = options.journal;
    this.logFile = join(options.dir, "logs", `${options.name}.log`);
    mkdirSync(dirname(this.logFile), { recursive: true, mode: 0o700 });
  }

  get pid(): number | undefined {
    return this.isAlive ? this.#child?.pid : undefined;
  }

  get ports(): Ports {
    return this.#ports;
  }

  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#launch();
        break;
      } catch (error) {
        // A process with an invalid configuration exits with 2; any other exit may be temporary.
        if (!this.#options.supervised || attempt === STARTS_MAX || this.#child?.exitCode !== 1) throw error;
        this.restarts++;
      }
    }
    this.#isWanted = true;
    this.#backoff = new AbortController();
    void this.#probe();
  }

  /** Ends it at once and, when supervised, lets the supervisor restart it. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** Stops it until `start`. */
  async stop(graceMs = 10_000): Promise<void> {
    this.#isWanted = false;
    this.#backoff.abort();
    if (this.isAlive) {
      this.#child?.kill("SIGTERM");
      const timer = setTimeout(() => this.#child?.kill("SIGKILL"), graceMs);
      await this.#exited;
      clearTimeout(timer);
    }
    this.state = "stopped";
  }

  /** The log's JSON lines. */
  events(): Record<string, unknown>[] {
    return parseJsonLines(readFileSync(this.logFile, "utf8").split("\n"));
  }

  async #launch(): Promise<void> {
    const { name, main, dir, nodeArgs = [] } = this.#options;
    const configFile = join(dir, `${name}.yaml`);
    writeFileSync(configFile, `${JSON.stringify(this.#options.config(), null, 2)}\n`, { mode: 0o600 });
    chmodSync(configFile, 0o600); // it holds a password, and an earlier run may have left it readable
    this.state = this.restarts > 0 ? "restarting" : "starting";
    const log = openSync(this.logFile, "a");
    const logStart = statSync(this.logFile).size;
    const child = spawn(process.execPath, [...exitFlags, ...nodeArgs, main, "--config", configFile], {
      cwd: dir,
      env: this.#journal.env,
      stdio: ["ignore", log, log], // A file, not a pipe, which would need this process to read it.
      // A group of its own: Ctrl-C on the terminal reaches the launcher, which stops its parts in order.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    if (child.pid !== undefined) this.#journal.started(name, child.pid);
    const launchedAt = performance.now();
    this.#exited = new Promise((done) => {
      child.once("exit", (code, signal) => {
        this.#journal.ended(name);
        done();
        if (this.#child === child) this.#onExit(`${code ?? signal}`, performance.now() - launchedAt);
      });
      child.once("error", () => done());
    });
    const until = performance.now() + READY_MS_MAX;
    let output = "";
    for (;;) {
      output = tail(this.logFile, logStart);
      const ready = parseJsonLines(output.split("\n")).find(isReady);
      if (ready !== undefined) {
        this.#ports = ready.ports;
        break;
      }
      if (!this.isAlive)
        throw new Failure("part-ended", "give-up", `${name} ended before it was ready:\n${endOf(output)}`);
      if (performance.now() > until) {
        await this.kill();
        throw new Failure("part-not-ready", "give-up", `${name} was not ready in time:\n${endOf(output)}`);
      }
      await systemClock.sleep(30);
    }
    if (this.isAlive) this.state = "running";
  }

  async #probe(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.#options.supervised) return;
    const ended = new AbortController();
    child.once("exit", () => ended.abort());
    const url = `http://127.0.0.1:${this.#ports.http}/health/live`;
    const { everyMs, timeoutMs, failuresMax } = this.#options.probe ?? PROBE;
    for (let failures = 0; failures < failuresMax; ) {
      try {
        await systemClock.sleep(everyMs, ended.signal);
      } catch {
        return;
      }
      const isLive = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) }).then(
        (response) => response.ok,
        () => false,
      );
      failures = isLive ? 0 : failures + 1;
    }
    this.#options.onEvent?.(`${this.name} does not answer ${url}`);
    child.kill("SIGKILL");
  }

  #onExit(how: string, lastedMs: number): void {
    if (!this.#isWanted) {
      this.state = "stopped";
      return;
    }
    this.state = "restarting";
    if (!this.#options.supervised || this.#backoff.signal.aborted) return;
    this.#attempt = lastedMs > STEADY_MS ? 0 : this.#attempt + 1;
    void this.#again(how);
  }

  async #again(how: string): Promise<void> {
    const waitMs = backoffMs(BACKOFF, this.#attempt, Math.random);
    this.#options.onEvent?.(`${this.name} ended (${how}); again in ${Math.round(waitMs)} ms, see ${this.logFile}`);
    this.#backoff = new AbortController();
    try {
      await systemClock.sleep(waitMs, this.#backoff.signal);
    } catch {
      return;
    }
    if (!this.#isWanted) return;
    this.restarts++;
    try {
      await this.#launch();
      void this.#probe();
    } catch (error) {
      this.#options.onEvent?.(reasonOf(error));
    }
  }
}

/** Processes that start together and stop together. */
export const together = (parts: readonly Part[]) => ({
  start: async (): Promise<void> => void (await Promise.all(parts.map((part) => part.start()))),
  stop: async (): Promise<void> => void (await Promise.all(parts.map((part) => part.stop()))),
});

type ReadyLine = { readonly event: "ready"; readonly ports: Ports };
const isReady = (line: Record<string, unknown>): line is ReadyLine & Record<string, unknown> =>
  line.event === "ready" && typeof line.ports === "object";

function tail(file: string, from: number): string {
  const size = statSync(file).size - from;
  if (size <= 0) return "";
  const buffer = Buffer.alloc(Math.min(size, 1 << 20));
  const fd = openSync(file, "r");
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, from)).toString("utf8");
  } finally {
    closeSync(fd);
  }
}

const endOf = (text: string): string => text.trimEnd().split("\n").slice(-15).join("\n");
