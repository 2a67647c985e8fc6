/** A process of many light devices, for demos and loads: the device's contract in real messages over real MQTT, real photos
 * and a real model, without a process and a disk of its own for each. */
import "./small-heap.ts";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { configOrExit } from "@tributary/config";
import { reasonOf, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { createTelemetry } from "@tributary/telemetry";
import { Door } from "@tributary/telemetry/http";
import { z } from "zod";
import { lightDevicesConfig } from "./light/config.ts";
import { LightDevice } from "./light/light-device.ts";
import { PhotoPool } from "./light/photos.ts";
import { SharedModels } from "./light/shared-models.ts";
import { SharedShelf } from "./light/shared-shelf.ts";

const BODY_BYTES_MAX = 65_536;

/** What a demo or a bench does to devices. */
const faultSchema = z.strictObject({
  devices: z.array(z.string()).max(256),
  digest: z.string().default(""),
  ms: z.number().min(0).max(60_000).default(0),
});
const faults: Readonly<Record<string, (device: LightDevice, fault: z.output<typeof faultSchema>) => void>> = {
  "/v1/silence": (device) => device.silence(),
  "/v1/slow": (device, { digest, ms }) => device.slow(digest, ms),
};

const config = configOrExit({
  name: "tributary-light-devices",
  summary: "Many light devices in one process, for demos and loads: real messages, real photos, a real model.",
  schema: lightDevicesConfig,
  argv: process.argv.slice(2),
});
const telemetry = createTelemetry({ service: "light-devices", level: config.log.level });

try {
  const photos = await PhotoPool.open(config.photos);
  const models = new SharedModels();
  const { registry, hardwareClass, dataDir } = config;
  const packages =
    registry === undefined
      ? null
      : await SharedShelf.open({ dataDir, hardwareClass, registry: registry.url, root: registry.root });
  const factory = await loadPackage(config.model.package);
  const devices: LightDevice[] = [];
  for (const { deviceId, password, seed } of config.devices) {
    devices.push(
      new LightDevice(
        {
          ...{ deviceId, password, mqtt: config.mqtt, hardwareClass, fps: config.fps },
          ...{ batchWaitMs: config.predictions.batchWaitMs, windowMs: config.windows.lengthMs },
        },
        {
          camera: photos.camera(seed),
          models,
          packages,
          factory: await models.hold(factory.dir, factory.digest),
          clock: systemClock,
          random: Math.random,
        },
      ),
    );
  }

  const door = new Door({ address: config.http, telemetry, clock: systemClock, bodyBytesMax: BODY_BYTES_MAX });
  const server = createServer((request, response) => {
    if (!door.admits(request, response)) return;
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(body)}\n`);
    };
    const path = new URL(request.url ?? "/", "http://light").pathname;
    if (request.method === "GET" && path === "/health/live") answer(200, { status: "ok" });
    else if (request.method === "GET" && path === "/v1/status")
      answer(200, { devices: devices.map((d) => d.status()) });
    else if (request.method === "POST" && path in faults) {
      bodyOf(request).then(
        (body) => {
          const wanted = faultSchema.parse(JSON.parse(body));
          const found = devices.filter(({ deviceId }) => wanted.devices.includes(deviceId));
          for (const device of found) faults[path]?.(device, wanted);
          answer(200, { devices: found.map(({ deviceId }) => deviceId) });
        },
        (error: unknown) => answer(400, { code: "request-invalid", detail: reasonOf(error) }),
      );
    } else answer(404, { code: "not-found", detail: `there is nothing at ${path}` });
  });
  door.guard(server);
  server.listen(config.http.port, config.http.host, () =>
    telemetry.ready({ http: (server.address() as AddressInfo).port }),
  );
  const stop = async () => {
    await Promise.all(devices.map((device) => device.stop()));
    await models.close();
    await photos.close();
    server.closeAllConnections();
    telemetry.close();
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      stop().catch(fail);
    });
  }
  await Promise.all(devices.map((device) => device.start()));
} catch (error) {
  fail(error);
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
