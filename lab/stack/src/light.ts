/** Light devices of the stack: registered like any other, and run many to a process (light-devices/start.ts). */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import { type DeviceWorld, MQTT_BACKOFF } from "./agents.ts";
import type { Credentials, Place } from "./devices.ts";
import type { Launcher } from "./launcher.ts";
import type { Build } from "./light-devices/build.ts";
import type { Scene } from "./light-devices/photos.ts";
import type { Part } from "./part.ts";
import { mains } from "./paths.ts";

export type LightOptions = {
  /** Devices, and how many processes share those that ask for none of their own. */
  readonly devices: number | readonly LightDeviceOptions[];
  readonly processes: number;
  /** Frames a second of a device that has no rate of its own. */
  readonly fps: number;
  /** Folder of JPEGs, of sheets, or of pool.bin and pool.json. */
  readonly photos: string;
  readonly batchWaitMs: number;
  readonly windowMs: number;
  /** Their cameras have a deadline, and this small model stands in. */
  readonly driving?: { readonly deadlineMs: number; readonly lite: string; readonly ladder?: object };
  /** Folder of their first world model; contexts come with their scenes. */
  readonly world?: string;
};

export type LightDeviceOptions = Partial<Place> & {
  readonly deviceId: string;
  readonly fps?: number;
  /** What its camera sees in place of a mix of its own. */
  readonly scene?: Scene;
  /** Devices that name the same process are alone in it. */
  readonly process?: string;
};

export type LightProcess = {
  readonly name: string;
  readonly deviceIds: readonly string[];
  readonly part: Part;
  readonly url: string;
  /** Restarts its devices with another build of the agent. */
  install(build: Build): Promise<void>;
};

/** Registers so many devices at once; each costs the gateway a password hash. */
const REGISTERED_AT_ONCE = 8;
/** Of one device, in memory. */
const OUTBOX_BYTES_MAX = 8 << 20;
/** Of downloads, which one device of a process makes for all. */
const BYTES_PER_SECOND_MAX = 100 << 20;

export async function makeLightProcesses(
  launcher: Launcher,
  options: LightOptions,
  { devices, edgePackage, mqtt, models }: DeviceWorld,
): Promise<readonly LightProcess[]> {
  const wanted = devicesOf(options);
  if (options.driving !== undefined) {
    mkdirSync(sensorsDir(launcher), { recursive: true });
    for (const { deviceId } of wanted) writeFileSync(join(sensorsDir(launcher), deviceId), "45000");
  }
  const credentials: DeviceBlock[] = [];
  for (let from = 0; from < wanted.length; from += REGISTERED_AT_ONCE) {
    const some = wanted
      .slice(from, from + REGISTERED_AT_ONCE)
      .map(async ({ deviceId, site, labels, fps, scene, process }, i) => ({
        process: process ?? String(((from + i) % options.processes) + 1),
        block: { ...(await devices.register(deviceId, { site, labels })), seed: from + i + 1, fps, scene },
      }));
    credentials.push(...(await Promise.all(some)));
  }
  return Promise.all(
    [...Map.groupBy(credentials, ({ process }) => process)].map(async ([process, own]): Promise<LightProcess> => {
      const name = `light-devices-${process}`;
      let build: Build | undefined;
      const { part, url } = await launcher.device(name, mains.lightDevices, () => ({
        log: { level: "info" },
        photos: options.photos,
        fps: options.fps,
        build,
        ...(options.driving && { driving: { deadlineMs: options.driving.deadlineMs, sensors: sensorsDir(launcher) } }),
        ...(options.world && {
          world: { package: options.world, contexts: join(launcher.dir, "devices", "contexts") },
        }),
        agent: {
          dataDir: join(launcher.dir, "devices", name),
          hardwareClass: "x64",
          clock: "synchronized", // All share this machine's clock.
          mqtt: { url: mqtt.url, connectTimeoutMs: 20_000, backoff: MQTT_BACKOFF },
          model: { package: edgePackage },
          ...(models && { models: { ...models, bytesPerSecondMax: BYTES_PER_SECOND_MAX } }),
          ...(options.driving && {
            driving: { lite: { package: options.driving.lite }, sensorsEveryMs: 1_000, ...options.driving.ladder },
          }),
          updates: { memoryBytesMin: 0 },
          outbox: { bytesMax: OUTBOX_BYTES_MAX },
          predictions: { batchWaitMs: options.batchWaitMs },
          windows: { lengthMs: options.windowMs },
        },
        devices: own.map(({ block }) => block),
      }));
      const install = async (installed: Build) => {
        build = installed;
        await part.stop();
        await part.start();
      };
      return { name, deviceIds: own.map(({ block }) => block.deviceId), part, url, install };
    }),
  );
}

/** Asks the processes of these devices for something (light-devices/start.ts). */
export async function askLight(
  light: readonly LightProcess[],
  path: string,
  deviceIds: readonly string[],
  body: object,
): Promise<void> {
  for (const { part, deviceIds: own, url } of light) {
    const devices = deviceIds.filter((deviceId) => own.includes(deviceId));
    if (devices.length === 0) continue;
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ devices, ...body }),
    });
    if (!response.ok) throw new Failure("light-refused", "give-up", `${part.name}: ${await response.text()}`);
  }
}

/** A file of each device has its temperature in millidegrees. */
const sensorsDir = ({ dir }: Launcher): string => join(dir, "devices", "temperatures");

type DeviceBlock = {
  readonly process: string;
  readonly block: Credentials & { readonly seed: number; readonly fps?: number; readonly scene?: Scene };
};

function devicesOf({ devices }: LightOptions): readonly LightDeviceOptions[] {
  if (typeof devices !== "number") return devices;
  return Array.from({ length: devices }, (_, i) => ({ deviceId: `light-${String(i + 1).padStart(3, "0")}` }));
}
