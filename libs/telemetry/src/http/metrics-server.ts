/** `/metrics` on a port of its own: a scraper reaches nothing else, and clients of the other ports do not see it. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "../telemetry.ts";
import { Door, type DoorAddress } from "./door.ts";
import { pathOf } from "./respond.ts";

export type MetricsServerOptions = {
  readonly address: DoorAddress;
  readonly port: number;
  readonly telemetry: Telemetry;
  readonly clock: Pick<Clock, "monotonicMs">;
};

const CONNECTIONS_MAX = 64;

export async function serveMetrics({ address, port, telemetry, clock }: MetricsServerOptions): Promise<Server> {
  const door = new Door({ address, telemetry, clock });
  const server = createServer(async (request, response) => {
    if (!door.admits(request, response)) return;
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (pathOf(request) !== "/metrics" || !isRead) {
      response.writeHead(isRead ? 404 : 405).end();
      return;
    }
    const text = await telemetry.metrics().catch(() => undefined);
    if (text === undefined) response.writeHead(500).end();
    else
      response.writeHead(200, { "content-type": telemetry.metricsContentType, "cache-control": "no-store" }).end(text);
  });
  door.guard(server);
  server.maxConnections = CONNECTIONS_MAX;
  server.listen(port, address.host);
  await once(server, "listening");
  return server;
}
