/** Devices of a cloud that runs elsewhere, as in a cluster: registered through its gateway, each with an agent and a durable outbox of
 * its own, and a camera whose ledger counts what it showed. */
import { type AgentsOptions, type DeviceAgent, makeAgents } from "./agents.ts";
import { Devices } from "./devices.ts";
import { Launcher } from "./launcher.ts";
import { together } from "./part.ts";
import { edgePackage } from "./paths.ts";

export type FleetOptions = {
  /** Configuration, logs, outboxes and ledgers are kept here. */
  readonly dir: string;
  readonly gateway: { readonly url: string; readonly token: string };
  readonly mqttUrl: string;
  readonly agents: AgentsOptions;
  /** Lines for people. */
  readonly onEvent?: (line: string) => void;
  /** Gives up starting. */
  readonly signal?: AbortSignal;
};

export type Fleet = { readonly agents: readonly DeviceAgent[]; stop(): Promise<void> };

/** Each start of an agent takes a processor for a second. */
const STARTED_AT_ONCE = 4;

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { dir, gateway, mqttUrl, onEvent = () => {}, signal } = options;
  const launcher = await Launcher.open({ dir, fresh: true, supervised: true, onEvent });
  const agents: DeviceAgent[] = [];
  const stop = async () => {
    await together(agents.map(({ part }) => part)).stop();
    await launcher.close();
  };
  try {
    const devices = new Devices(dir, gateway.url, gateway.token);
    const block = (_: string, password: string) => ({ url: mqttUrl, password });
    const world = { devices, edgePackage, mqtt: { bridges: [], url: mqttUrl, block }, models: undefined };
    agents.push(...(await makeAgents(launcher, options.agents, world)));
    for (let from = 0; from < agents.length; from += STARTED_AT_ONCE) {
      signal?.throwIfAborted();
      await together(agents.slice(from, from + STARTED_AT_ONCE).map(({ part }) => part)).start();
    }
    return { agents, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
