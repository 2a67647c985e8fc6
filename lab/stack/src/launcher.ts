/**
 * Takes a folder for a stack, and starts processes there: configuration, logs, data, and the journal of who runs.
 * Ports stay the same over restarts of a process, as an address does in production.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { freePort, sabotaged } from "@tributary/testing";
import { type Journal, openJournal } from "./journal.ts";
import { EARLIER, forget, putAside } from "./leftovers.ts";
import { Part, type Probe } from "./part.ts";
import { portFor } from "./ports.ts";

export type LauncherOptions = {
  /** Configuration, logs, Kafka's data and the devices' are kept here. */
  readonly dir: string;
  /** Forgets what earlier runs left in the folder. */
  readonly fresh?: boolean;
  /** Labels of this run's models: what a run of other classes left in the folder is moved aside. */
  readonly classes?: readonly string[];
  /** Whether processes that die or hang are started again, as an orchestrator would; a probe sets how soon they count as hanging. */
  readonly supervised?: boolean | Probe;
  /** By a process's name: the module of lab/sabotage that it runs with. */
  readonly sabotage?: Readonly<Record<string, string>>;
  /** Kafka on 9092, MQTT on 1883 and the gateway on 8080, where these are free; any free ports by default. */
  readonly wellKnownPorts?: boolean;
  /** Lines for people: restarts, busy ports, what an earlier run had left. */
  readonly onEvent?: (line: string) => void;
};

/** `url`: of its HTTP server. */
export type Instance = { readonly part: Part; readonly url: string };

export class Launcher {
  readonly dir: string;
  readonly journal: Journal;
  readonly #options: LauncherOptions;

  /** Ends what a killed launcher left running in the folder; fails where one still runs. */
  static async open(options: LauncherOptions): Promise<Launcher> {
    const { dir, fresh, classes, onEvent: log = () => {} } = options;
    const { journal, reclaimed } = await openJournal(dir);
    if (reclaimed > 0) log(`ended ${reclaimed} processes that an earlier run had left`);
    if (fresh) forget(dir);
    if (classes !== undefined && putAside(dir, classes))
      log(`the last run here had other classes: what it left is in ${join(dir, EARLIER)}, and this one starts afresh`);
    rmSync(join(dir, "ledgers"), { recursive: true, force: true });
    for (const name of ["logs", "ledgers"]) mkdirSync(join(dir, name), { recursive: true, mode: 0o700 });
    return new Launcher(options, journal);
  }

  private constructor(options: LauncherOptions, journal: Journal) {
    this.dir = options.dir;
    this.journal = journal;
    this.#options = options;
  }

  readonly log = (line: string): void => this.#options.onEvent?.(line);

  /** A process that is not started yet; `config` is asked at each start. */
  part(name: string, main: string, config: () => object): Part {
    const { dir, supervised = false, sabotage, onEvent } = this.#options;
    const module = sabotage?.[name];
    return new Part({
      name,
      main,
      config,
      dir,
      journal: this.journal,
      supervised: supervised !== false,
      ...(typeof supervised === "object" && { probe: supervised }),
      ...(module !== undefined && { nodeArgs: sabotaged(module) }),
      ...(onEvent && { onEvent }),
    });
  }

  /** The same, with an address in its block `http`. */
  async device(name: string, main: string, config: () => object): Promise<Instance> {
    return this.#instance(name, main, config, { port: await freePort() });
  }

  /** The same, with its metrics on a port of their own. */
  async service(name: string, main: string, config: () => object, port?: number): Promise<Instance> {
    return this.#instance(name, main, config, { port: port ?? (await freePort()), metricsPort: await freePort() });
  }

  #instance(
    name: string,
    main: string,
    config: () => object,
    ports: { readonly port: number; readonly metricsPort?: number },
  ): Instance {
    const http = { host: "127.0.0.1", ...ports };
    return { part: this.part(name, main, () => ({ ...config(), http })), url: `http://127.0.0.1:${ports.port}` };
  }

  /** The port that people expect, where that is wanted and free. */
  port(of: string, wellKnown: number): Promise<number> {
    return portFor(of, this.#options.wellKnownPorts ? wellKnown : undefined, this.log);
  }

  /** Ends what processes of the stack left behind, and gives the folder free. */
  async close(): Promise<void> {
    await this.journal.sweep(2_000);
    this.journal.close();
  }
}
