/** Light devices of the stack: registered like any other, and run many to a process (light-devices/main.ts). */
import { join } from "node:path";
import { type DeviceWorld, MQTT_BACKOFF } from "./agents.ts";
import type { Launcher } from "./launcher.ts";
import type { Part } from "./part.ts";
import { mains } from "./paths.ts";

export type LightOptions = {
  /** Devices in all, and how many processes share them. */
  readonly devices: number;
  readonly processes: number;
  /** Frames a second and device. */
  readonly fps: number;
  /** Folder of JPEGs, of sheets, or of pool.bin and pool.json. */
  readonly photos: string;
  readonly batchWaitMs: number;
  readonly windowMs: number;
};

export type LightProcess = {
  readonly deviceIds: readonly string[];
  readonly part: Part;
  readonly url: string;
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
  const ids = Array.from({ length: options.devices }, (_, i) => `light-${String(i + 1).padStart(3, "0")}`);
  const credentials: { deviceId: string; password: string; seed: number }[] = [];
  for (let from = 0; from < ids.length; from += REGISTERED_AT_ONCE) {
    const some = ids
      .slice(from, from + REGISTERED_AT_ONCE)
      .map(async (deviceId, i) => ({ ...(await devices.register(deviceId)), seed: from + i + 1 }));
    credentials.push(...(await Promise.all(some)));
  }
  return Promise.all(
    Array.from({ length: options.processes }, async (_, p): Promise<LightProcess> => {
      const own = credentials.filter((_, i) => i % options.processes === p);
      const name = `light-devices-${p + 1}`;
      const { part, url } = await launcher.device(name, mains.lightDevices, () => ({
        log: { level: "info" },
        photos: options.photos,
        fps: options.fps,
        agent: {
          dataDir: join(launcher.dir, "devices", name),
          hardwareClass: "x64",
          clock: "synchronized", // All share this machine's clock.
          mqtt: { url: mqtt.url, connectTimeoutMs: 20_000, backoff: MQTT_BACKOFF },
          model: { package: edgePackage },
          ...(models && { models: { ...models, bytesPerSecondMax: BYTES_PER_SECOND_MAX } }),
          updates: { memoryBytesMin: 0 },
          outbox: { bytesMax: OUTBOX_BYTES_MAX },
          predictions: { batchWaitMs: options.batchWaitMs },
          windows: { lengthMs: options.windowMs },
        },
        devices: own,
      }));
      return { deviceIds: own.map(({ deviceId }) => deviceId), part, url };
    }),
  );
}
