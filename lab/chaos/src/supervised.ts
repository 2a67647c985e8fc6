/** Instances of one service that are started again whenever they end, as an orchestrator would.
 *
 * With `deaths`, each runs with a module of lab/sabotage that kills it at the first of these places, and logs which; once one died
 * there, the place is off the list of those that start after it. */
import { reasonOf } from "@tributary/kernel";
import { type SpawnedService, sabotaged, spawnService, waitFor } from "@tributary/testing";

export type SupervisedOptions = {
  readonly name: string;
  readonly main: string;
  readonly dir: string;
  readonly config: object;
  readonly count: number;
  /** Places, for the environment variable TRIBUTARY_DIE_AT of the module `dieAt`. */
  readonly deaths: readonly string[];
  readonly dieAt: string;
  /** Module of lab/sabotage that instances run with when they are not to die. */
  readonly sabotage?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** Path of the file that an instance's wall clock follows (lab/sabotage/wrong-clock.mjs), by index; absent: clocks are right. */
  readonly clockFile?: ((index: number) => string) | undefined;
};

const STARTS_MAX = 400;
const READY_MS_MAX = 60_000;

export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #stop = new AbortController();
  /** By index; undefined until its first start. */
  readonly services: (SpawnedService | undefined)[] = [];
  /** Where instances died. */
  readonly died: string[] = [];
  #deaths: readonly string[];
  #starts = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#deaths = options.deaths;
  }

  /** Resolves when all run. */
  async start(): Promise<void> {
    const { count, name } = this.#options;
    this.#running = Promise.all(Array.from({ length: count }, (_, i) => this.#supervise(i)));
    this.#running.catch(() => undefined);
    await waitFor(() => this.pids().length === count, { what: `${count} instances of ${name}`, timeoutMs: 90_000 });
  }

  pids(): readonly number[] {
    return this.services.flatMap((service) => (service?.alive() ? service.pid : []));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.services.map((service) => service?.stop(3_000)));
    await this.#running;
  }

  async #supervise(index: number): Promise<void> {
    const { name, main, dir, config, dieAt, sabotage, env, clockFile } = this.#options;
    while (!this.#stop.signal.aborted && this.#starts++ < STARTS_MAX) {
      const deaths = this.#deaths;
      const module = deaths.length > 0 ? dieAt : sabotage;
      const modules = [...(module === undefined ? [] : [module]), ...(clockFile === undefined ? [] : ["wrong-clock"])];
      try {
        const service = await spawnService({
          name: `${name}-${index}`,
          main,
          dir,
          config,
          nodeArgs: modules.flatMap(sabotaged),
          env: { ...env, TRIBUTARY_DIE_AT: deaths.join(","), TRIBUTARY_CLOCK_FILE: clockFile?.(index) ?? "" },
          readyMsMax: READY_MS_MAX,
          signal: this.#stop.signal,
        });
        this.services[index] = service;
        if (this.#stop.signal.aborted) await service.stop(3_000);
        await service.exited;
        const last = service.events().find(({ event }) => event === "died");
        if (typeof last?.at === "string") this.#dead(last.at);
      } catch (error) {
        // It died before it was ready: it reached its place while it caught up. Its last lines are in the error.
        const at = /"died","at":"([^"]+)"/.exec(reasonOf(error))?.[1];
        if (at !== undefined) this.#dead(at);
        else if (!this.#stop.signal.aborted) throw error;
      }
    }
  }

  #dead(at: string): void {
    this.died.push(at);
    this.#deaths = this.#deaths.filter((one) => one !== at);
  }
}
