/** The stack's devices with an agent each: registered like any other, and started with sample cameras. */
import { join } from "node:path";
import type { Mqtt } from "./bridges.ts";
import type { Devices } from "./devices.ts";
import type { Launcher } from "./launcher.ts";
import type { Part } from "./part.ts";
import { mains, samples } from "./paths.ts";

export type AgentsOptions = {
  readonly count: number;
  /** Frames a second and device; 10 by default. */
  readonly fps?: number;
  /** Of all devices together; endless by default. */
  readonly frames?: number;
  /** Folder of JPEGs that cameras show in place of the sample photos. */
  readonly photos?: string;
  /** Of the i-th agent, in place of any photos; such a camera writes no ledger unless its block names one. */
  readonly cameras?: (i: number) => readonly object[];
  /** Blocks of every agent's configuration. */
  readonly config?: object;
  /** The program of the i-th agent in place of today's; today's where undefined. */
  readonly program?: (i: number) => AgentProgram | undefined;
};

/** An agent of another version, as built elsewhere. */
export type AgentProgram = {
  readonly main: string;
  /** Keys of the configuration that it does not know yet, and would refuse. */
  readonly unknownKeys: readonly string[];
};

/** `ledger`: file in which its camera writes what it showed. */
export type DeviceAgent = {
  readonly deviceId: string;
  readonly ledger: string;
  readonly part: Part;
  readonly url: string;
};

/** What devices get to know of the stack. */
export type DeviceWorld = {
  readonly devices: Devices;
  /** Folder of the devices' first model. */
  readonly edgePackage: string;
  readonly mqtt: Mqtt;
  /** The block `models`, where devices follow what they shall run. */
  readonly models: object | undefined;
};

export const CAMERA_ID = "cam";
export const MQTT_BACKOFF = { minMs: 250, maxMs: 5_000 };

export async function makeAgents(
  launcher: Launcher,
  options: AgentsOptions,
  world: DeviceWorld,
): Promise<readonly DeviceAgent[]> {
  const startedAt = Date.now();
  const agents: DeviceAgent[] = [];
  for (let i = 0; i < options.count; i++) {
    const deviceId = `device-${i + 1}`;
    const { password } = await world.devices.register(deviceId);
    const ledger = join(launcher.dir, "ledgers", `${startedAt}.${deviceId}.jsonl`);
    const { main, unknownKeys } = options.program?.(i) ?? { main: mains.agent, unknownKeys: [] };
    const config = {
      deviceId,
      dataDir: join(launcher.dir, "devices", deviceId),
      hardwareClass: "x64",
      mqtt: { ...world.mqtt.block(deviceId, password), backoff: MQTT_BACKOFF },
      cores: "shared",
      log: { level: "info" },
      model: { package: world.edgePackage, threads: 1 },
      ...(world.models && { models: world.models }),
      ...options.config,
      cameras: options.cameras?.(i) ?? sheetCameras(options, i, ledger),
    };
    const known = Object.fromEntries(Object.entries(config).filter(([key]) => !unknownKeys.includes(key)));
    const { part, url } = await launcher.device(deviceId, main, () => known);
    agents.push({ deviceId, ledger, part, url });
  }
  return agents;
}

function sheetCameras({ count, fps = 10, frames, photos = samples }: AgentsOptions, i: number, ledger: string) {
  const own = frames === undefined ? undefined : sharesOf(frames, count)[i];
  if (own === 0) return [];
  return [
    {
      id: CAMERA_ID,
      kind: "sheet",
      sheets: photos,
      fps,
      ...(own !== undefined && { frames: own }),
      // Disjoint photos: device i shows i, i + D, i + 2D, ...
      start: i,
      stride: count,
      ledger,
      // A device that restarts continues where it was.
      resume: true,
    },
  ];
}

/** `total` in `count` shares that differ by one at most. */
const sharesOf = (total: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor((total - i - 1) / count) + 1);
