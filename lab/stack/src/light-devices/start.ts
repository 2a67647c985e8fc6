/** Many light devices in one process, for demos and load tests: each is the agent, with real messages over real MQTT, real photos and
 * a real model, but without a process and a disk of its own. */
import "@tributary/agent/small-heap";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { agentConfig, type UpdateStore } from "@tributary/agent/compose";
import { configOrExit, httpBlock, logBlock } from "@tributary/config";
import { isValidId, reasonOf, systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { Door } from "@tributary/telemetry/http";
import { z } from "zod";
import { buildSchema, hostOf } from "./build.ts";
import { type LightDevice, openLightDevice } from "./light-device.ts";
import { PhotoPool, type Scene } from "./photos.ts";
import { SharedModels } from "./shared-models.ts";
import { openSharedStore } from "./shared-store.ts";

const BODY_BYTES_MAX = 65_536;
const CONTEXT_EVERY_MS = 500;
const CONTEXT_AGE_MS_MAX = 86_400_000;

const fps = z.number().positive().max(100);
/** Where it is, as its surroundings know it: the context of a world model. */
const context = z.record(z.string(), z.union([z.string(), z.number()])).optional();
const mix = z.record(z.string(), z.number().min(0).max(1)).optional();
const scene = { view: z.string().optional(), classes: z.array(z.string()).min(1).optional(), mix, context };
const device = z.strictObject({
  deviceId: z.string().refine(isValidId, "expected letters, digits, - and _; at most 64"),
  password: z.string().min(1),
  /** Which photos its camera sees, and in what light. */
  seed: z
    .int()
    .min(0)
    .max(2 ** 31),
  fps: fps.optional(),
  scene: z.strictObject(scene).default({}),
});
const configSchema = z.strictObject({
  http: httpBlock.prefault({}),
  log: logBlock.prefault({}),
  /** Folder of JPEGs; or of pool.bin and pool.json, a list of {view, label, from, bytes}. */
  photos: z.string().min(1),
  /** Frames a second of a device that has no rate of its own. */
  fps: fps.default(1),
  /** Of the agent; today's by default. */
  build: buildSchema.optional(),
  /** Where cameras have a deadline: it, and a folder for the devices' temperatures. */
  driving: z.strictObject({ deadlineMs: z.number().int().positive(), sensors: z.string().min(1) }).optional(),
  /** Where devices have a world model: their first one, and a folder for their contexts. */
  world: z.strictObject({ package: z.string().min(1), contexts: z.string().min(1) }).optional(),
  /** What the devices' configurations (edge/agent/src/config.ts) have in common. */
  agent: z.looseObject({ mqtt: z.looseObject({}), driving: z.looseObject({}).optional() }),
  devices: z.array(device).min(1).max(256),
});

/** What a demo or a bench does to devices. */
const devicesSchema = z.array(z.string()).max(256);
const silenceSchema = z.strictObject({ devices: devicesSchema });
const sceneSchema = z.strictObject({ devices: devicesSchema, ...scene });
const celsiusSchema = z.strictObject({ devices: devicesSchema, celsius: z.number().min(-40).max(150) });
const conditionsSchema = z.strictObject({ devices: devicesSchema, parked: z.boolean() });
const slowSchema = z.strictObject({ digest: z.string(), ms: z.number().min(0).max(60_000) });

const config = configOrExit({
  name: "tributary-light-devices",
  summary: "Many light devices in one process, for demos and load tests: real messages, real photos, a real model.",
  schema: configSchema,
  argv: process.argv.slice(2),
});
const telemetry = createTelemetry({ service: "light-devices", level: config.log.level });

try {
  const pool = await PhotoPool.open(config.photos);
  const { build } = config;
  const models = new SharedModels(build && ((digest) => hostOf(build, digest)));
  const scenes = new Map(config.devices.map(({ deviceId, scene }) => [deviceId, scene as Scene]));
  const devices = await openDevices(pool, scenes, models);
  const agents = [...devices.values()].map(({ agent }) => agent);
  const server = serve(devices, scenes, models);
  const stop = async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    await pool.close();
    server.closeAllConnections();
    telemetry.close();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      stop().catch(fail);
    });
  }
  for (const agent of agents) agent.start();
} catch (error) {
  fail(error);
}

function contextOf(dir: string, deviceId: string): string {
  return join(dir, `${deviceId}.json`);
}

/** It holds until the next one: a day, by the agents' configuration. */
function writeContext(deviceId: string, { context }: Scene): void {
  if (config.world === undefined || context === undefined) return;
  const file = contextOf(config.world.contexts, deviceId);
  writeFileSync(`${file}.next`, JSON.stringify({ at: Date.now(), ...context }));
  renameSync(`${file}.next`, file);
}

async function openDevices(
  pool: PhotoPool,
  scenes: ReadonlyMap<string, Scene>,
  runtime: SharedModels,
): Promise<ReadonlyMap<string, LightDevice>> {
  const { agent, photos, build, driving, world } = config;
  const devices = new Map<string, LightDevice>();
  let store: UpdateStore | undefined;
  let worldStore: UpdateStore | null = null;
  if (world !== undefined) mkdirSync(world.contexts, { recursive: true });
  for (const { deviceId, password, seed, fps = config.fps } of config.devices) {
    writeContext(deviceId, scenes.get(deviceId) ?? {});
    // One frame waits at most: a slow model answers fewer frames, and no queue grows (G9).
    const camera = {
      ...{ id: "cam", kind: "folder", folder: photos, fps, whenFull: "skip", queueFramesMax: 1 },
      ...(driving && { deadlineMs: driving.deadlineMs }),
    };
    const mqtt = { ...agent.mqtt, password };
    const sensors = driving && [{ kind: "celsius", file: join(driving.sensors, deviceId), scale: 0.001 }];
    const own = driving && { driving: { ...agent.driving, sensors } };
    const inWorld = world && {
      world: {
        package: world.package,
        context: { file: contextOf(world.contexts, deviceId) },
        everyMs: CONTEXT_EVERY_MS,
        ageMsMax: CONTEXT_AGE_MS_MAX,
      },
    };
    const one = agentConfig.parse({ ...agent, ...own, ...inWorld, deviceId, mqtt, cameras: [camera] });
    store ??= await openSharedStore(one);
    if (world !== undefined) worldStore ??= await openSharedStore({ ...one, dataDir: join(one.dataDir, "world") });
    const take = pool.camera(seed, () => scenes.get(deviceId) ?? {});
    devices.set(deviceId, await openLightDevice(one, { telemetry, runtime, store, worldStore, take, fps, build }));
  }
  return devices;
}

function serve(devices: ReadonlyMap<string, LightDevice>, scenes: Map<string, Scene>, models: SharedModels): Server {
  const { http } = config;
  const get: Readonly<Record<string, () => unknown>> = {
    "/health/live": () => ({ status: "ok" }),
    "/v1/status": () => ({ devices: [...devices.values()].map(({ agent }) => agent.status()) }),
  };
  const post: Readonly<Record<string, (body: unknown) => void>> = {
    "/v1/silence": (body) => {
      for (const deviceId of silenceSchema.parse(body).devices) devices.get(deviceId)?.silence();
    },
    "/v1/scene": (body) => {
      const { devices: changed, ...scene } = sceneSchema.parse(body);
      for (const deviceId of changed) {
        scenes.set(deviceId, scene);
        writeContext(deviceId, scene);
      }
    },
    "/v1/conditions": (body) => {
      const { devices: changed, parked } = conditionsSchema.parse(body);
      for (const deviceId of changed) devices.get(deviceId)?.agent.conditions({ parked });
    },
    "/v1/celsius": (body) => {
      const { devices: changed, celsius } = celsiusSchema.parse(body);
      const { driving } = config;
      if (driving === undefined) throw new Error("no camera has a deadline, so no temperature is read");
      for (const deviceId of changed) writeFileSync(join(driving.sensors, deviceId), `${celsius * 1_000}`);
    },
    "/v1/slow": (body) => {
      const { digest, ms } = slowSchema.parse(body);
      models.slow(digest, ms);
    },
  };
  const door = new Door({ address: http, telemetry, clock: systemClock, bodyBytesMax: BODY_BYTES_MAX });
  const server = createServer((request, response) => {
    if (!door.admits(request, response)) return;
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const { pathname } = new URL(request.url ?? "/", "http://light");
    const [read, act] = [get[pathname], post[pathname]];
    if (request.method === "GET" && read !== undefined) answer(200, read());
    else if (request.method === "POST" && act !== undefined) {
      bodyOf(request)
        .then((body) => act(JSON.parse(body)))
        .then(() => answer(200, { status: "ok" }))
        .catch((error: unknown) => answer(400, { code: "request-invalid", detail: reasonOf(error) }));
    } else answer(404, { code: "not-found", detail: `there is nothing at ${pathname}` });
  });
  door.guard(server);
  return server.listen(http.port, http.host, () => telemetry.ready({ http: (server.address() as AddressInfo).port }));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > BODY_BYTES_MAX) throw new Error(`at most ${BODY_BYTES_MAX} bytes`);
  }
  return body;
}

function fail(error: unknown): never {
  process.stderr.write(`tributary-light-devices: ${reasonOf(error)}\n`);
  telemetry.close();
  process.exit(1);
}
