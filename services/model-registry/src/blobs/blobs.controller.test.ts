import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { FolderBlobStore } from "@tributary/blob-store";
import { Problem } from "@tributary/service-kit";
import { createTelemetry } from "@tributary/telemetry";
import { tempDir, waitFor } from "@tributary/testing";
import { BlobsController } from "./blobs.controller.ts";

const dir = tempDir("blobs");
/** More than sockets hold for those who do not read. */
const BYTES = 32 << 20;
let server: Server;
let port: number;
let url: string;

/** One place for downloads, and eight seconds without a byte before another gets it: a busy machine stalls for some. */
beforeAll(async () => {
  const blobs = await FolderBlobStore.open({ dir: dir.path });
  const { digest } = await blobs.put(Readable.from([Buffer.alloc(BYTES)]), { bytesMax: BYTES });
  const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
  const limits = { bytesMax: BYTES, uploadsMax: 1, downloadsMax: 1, downloadIdleMsMax: 8_000 };
  const controller = new BlobsController(
    blobs,
    limits,
    telemetry,
    { has: async () => true },
    { demandRight: () => {} },
  );
  server = createServer((request, response) => {
    controller.get(digest, request, response).catch((error: unknown) => {
      response.writeHead(error instanceof Problem ? error.details.status : 500).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  url = `http://127.0.0.1:${port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  dir.remove();
});

/** Waits for the place, and starts a download. */
const started = () =>
  waitFor(
    async () => {
      const response = await fetch(url);
      if (response.ok) return response;
      await response.body?.cancel();
      return undefined;
    },
    { what: "a place" },
  );

test("a device that keeps its connection and takes nothing loses its place", async () => {
  const device = connect(port, "127.0.0.1", () => device.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  device.on("error", () => {});
  await once(device, "data");
  device.pause();
  expect((await fetch(url)).status).toBe(503);
  const response = await started();
  await response.body?.cancel();
  device.destroy();
});

test("a device that is slow, and takes something now and then, completes its download", async () => {
  const response = await started();
  let [bytes, pauses] = [0, 0];
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes < (pauses + 1) * (BYTES / 8)) continue;
    pauses += 1;
    await sleep(1_100);
  }
  expect([bytes, pauses]).toEqual([BYTES, 8]);
});
