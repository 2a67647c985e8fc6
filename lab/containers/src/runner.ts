/**
 * Runs workloads with podman as a cluster or an engine would: starts them, asks their probes, starts again what ended, and reports what
 * did not hold. A container that needs more memory than its limit, ends by itself, does not end within its grace, or writes where it may
 * not, is a problem of its manifest or its image.
 */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { reasonOf, systemClock } from "@tributary/kernel";
import { type Podman, prepareMount, runArguments } from "./podman.ts";
import type { Probe, Workload } from "./workload.ts";

const POLL_MS = 500;
/** A program in the container each time. */
const EXEC_POLL_MS = 3_000;
const RESTART_MS = { first: 2_000, max: 20_000 };
const LOG_LINES = "8";

export type Started = {
  /** Seconds from the start of all to its readiness, or its end as a job. */
  readonly readyAfter: ReadonlyMap<string, number>;
  readonly restarts: ReadonlyMap<string, number>;
  readonly problems: readonly string[];
};

type Process = { readonly pid: number; readonly address: string | undefined };

type RunnerOptions = {
  readonly podman: Podman;
  /** Of podman, that all share. */
  readonly network: string;
  readonly cgroup: string;
  /** For what they mount. */
  readonly dir: string;
  readonly log: (line: string) => void;
};

export class Runner {
  readonly #options: RunnerOptions;
  readonly #workloads: Workload[] = [];
  readonly #ready = new Map<string, number>();
  readonly #restarts = new Map<string, number>();
  readonly #processes = new Map<string, Process>();
  readonly #problems: string[] = [];

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** All at once; each waits for those that it names. */
  async start(workloads: readonly Workload[], readyMsMax: number): Promise<Started> {
    const beganMs = systemClock.monotonicMs();
    const states = new Map(workloads.map(({ name }) => [name, new State()]));
    await Promise.all(
      workloads.map(async (workload) => {
        const state = states.get(workload.name);
        const others = workload.startsAfter.map(({ name, state: wanted }) => states.get(name)?.reached(wanted));
        const isDue = (await Promise.all(others)).every((reached) => reached !== false);
        const isReady = isDue && (await this.#bring(workload, beganMs, readyMsMax, () => state?.started()));
        if (!isDue) this.#problems.push(`${workload.name} was not started: what it waits for failed`);
        state?.end(isReady);
      }),
    );
    return { readyAfter: this.#ready, restarts: this.#restarts, problems: this.#problems };
  }

  /** In another network than the others where `network` is given. */
  async run(workload: Workload, network = this.#options.network): Promise<void> {
    const { podman, dir, cgroup } = this.#options;
    const mounts = workload.mounts.map((mount) => prepareMount(mount, workload.name, dir));
    this.#workloads.push(workload);
    await podman.run(...runArguments(workload, { network, mounts, cgroup }));
    await this.#look(workload.name);
  }

  address(name: string): string {
    const address = this.#processes.get(name)?.address;
    if (address === undefined) throw new Error(`${name} has no address`);
    return address;
  }

  /** Ends all; reports which had ended by itself. Returns MiB used by each before. */
  async stop(): Promise<ReadonlyMap<string, number>> {
    const { podman } = this.#options;
    const used = new Map<string, number>();
    // What all others use ends last.
    const isKafka = ({ hostNames }: Workload) => hostNames.includes("kafka");
    const others = this.#workloads.filter((workload) => !isKafka(workload)).toReversed();
    for (const { name, graceSeconds, kind } of [...others, ...this.#workloads.filter(isKafka)]) {
      const state = await this.#state(name);
      if (state === undefined) continue;
      if (kind === "service") {
        if (!state.Running)
          this.#problems.push(`${name} ended by itself, with ${state.ExitCode}: ${await this.#end(name)}`);
        else used.set(name, await this.#memoryMiB(name));
        await podman.try("stop", "--time", String(graceSeconds), name);
        const ended = await this.#state(name);
        if (state.Running && ended?.ExitCode === 137)
          this.#problems.push(`${name} did not end within ${graceSeconds} s of SIGTERM: ${await this.#end(name)}`);
      }
      await podman.try("rm", "--force", "--time", "0", name);
    }
    return used;
  }

  async #bring(workload: Workload, beganMs: number, msMax: number, onStart: () => void): Promise<boolean> {
    const { name } = workload;
    try {
      await this.run(workload);
    } catch (error) {
      this.#problems.push(`${name} does not start: ${reasonOf(error)}`);
      return false;
    }
    onStart();
    let last = "";
    let passed = 0;
    while (systemClock.monotonicMs() - beganMs < msMax) {
      // podman is asked only when there is news: each call of it costs a tenth of a processor's second.
      const state = this.#isAlive(name) ? undefined : await this.#state(name);
      if (state !== undefined && !state.Running) {
        if (workload.kind === "job" && state.ExitCode === 0) return this.#isReady(workload, beganMs, "completed");
        last = `it ended with ${state.ExitCode}${state.OOMKilled ? ", out of memory" : ""}: ${await this.#end(name)}`;
        if (state.OOMKilled) break;
        await this.#restart(name);
        passed = 0;
      } else if (workload.kind === "service") {
        const probe = workload.probes[passed];
        if (probe === undefined) return this.#isReady(workload, beganMs, "ready");
        try {
          await this.#ask(name, probe);
          passed++;
          continue;
        } catch (error) {
          last = `${probe.name}: ${reasonOf(error)}`;
        }
      }
      await systemClock.sleep(workload.probes[passed]?.ask.kind === "exec" ? EXEC_POLL_MS : POLL_MS);
    }
    this.#problems.push(
      `${name} is not ${workload.kind === "job" ? "completed" : "ready"}: ${last}\n${await this.#end(name)}`,
    );
    return false;
  }

  #isReady({ name }: Workload, beganMs: number, what: string): true {
    const seconds = (systemClock.monotonicMs() - beganMs) / 1_000;
    this.#ready.set(name, seconds);
    const restarts = this.#restarts.get(name);
    this.#options.log(`${name} ${what}${restarts === undefined ? "" : ` after ${restarts} restarts`}`);
    return true;
  }

  async #restart(name: string): Promise<void> {
    const restarts = (this.#restarts.get(name) ?? 0) + 1;
    this.#restarts.set(name, restarts);
    await systemClock.sleep(Math.min(RESTART_MS.max, RESTART_MS.first * 2 ** (restarts - 1)));
    await this.#options.podman.try("start", name);
    await this.#look(name);
  }

  #isAlive(name: string): boolean {
    return existsSync(`/proc/${this.#processes.get(name)?.pid}`);
  }

  /** A container that starts again has another process and another address. */
  async #look(name: string): Promise<void> {
    const { stdout } = await this.#options.podman.try("inspect", "--type=container", name);
    const [{ State, NetworkSettings }] = JSON.parse(stdout);
    const address = NetworkSettings.Networks?.[this.#options.network]?.IPAddress;
    this.#processes.set(name, { pid: State.Pid, address });
  }

  async #ask(name: string, { ask, timeoutMs }: Probe): Promise<void> {
    switch (ask.kind) {
      case "exec":
        await this.#options.podman.run("exec", name, ...ask.command);
        return;
      case "tcp":
        return connects(this.address(name), ask.port, timeoutMs);
      case "http": {
        const url = `http://${this.address(name)}:${ask.port}${ask.path}`;
        const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
        if (!response.ok) throw new Error(`${ask.path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
        return;
      }
      default:
        return ask satisfies never;
    }
  }

  async #state(
    name: string,
  ): Promise<{ readonly Running: boolean; readonly ExitCode: number; readonly OOMKilled: boolean } | undefined> {
    const { code, stdout } = await this.#options.podman.try(
      "inspect",
      "--type=container",
      "--format={{json .State}}",
      name,
    );
    return code === 0 ? JSON.parse(stdout) : undefined;
  }

  /** The end of its output. */
  async #end(name: string): Promise<string> {
    const { stdout, stderr } = await this.#options.podman.try("logs", "--tail", LOG_LINES, name);
    return `${stdout}${stderr}`.trim().slice(-1_200);
  }

  async #memoryMiB(name: string): Promise<number> {
    const { stdout } = await this.#options.podman.try("stats", "--no-stream", "--format={{.MemUsageBytes}}", name);
    const [, number, unit] = /^([\d.]+)(MiB|GiB)/.exec(stdout.trim()) ?? [];
    return Math.round(Number(number ?? 0) * (unit === "GiB" ? 1_024 : 1));
  }
}

/** What others wait for. */
class State {
  readonly #started = Promise.withResolvers<boolean>();
  readonly #ended = Promise.withResolvers<boolean>();

  reached(wanted: "started" | "ready" | "completed"): Promise<boolean> {
    return wanted === "started" ? this.#started.promise : this.#ended.promise;
  }

  started(): void {
    this.#started.resolve(true);
  }

  end(isReady: boolean): void {
    this.#started.resolve(isReady);
    this.#ended.resolve(isReady);
  }
}

function connects(host: string, port: number, timeoutMs: number): Promise<void> {
  return new Promise((done, fail) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    socket.once("connect", () => done());
    socket.once("timeout", () => fail(new Error(`port ${port} does not answer`)));
    socket.once("error", fail);
    for (const event of ["connect", "timeout"]) socket.once(event, () => socket.destroy());
  });
}
