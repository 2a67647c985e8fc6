/** The agent of one device, as it ships: an outbox on the disk, models in processes of their own, HTTP for local programs. */
import type { Server } from "node:http";
import { join } from "node:path";
import { type Clock, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { Agent } from "./agent.ts";
import { makeCamera } from "./cameras/camera.ts";
import type { AgentConfig } from "./config.ts";
import type { Separated } from "./cores.ts";
import { liteNotRaised } from "./events.ts";
import { portOf, serveHttp } from "./http-server.ts";
import { OwnProcesses } from "./model-runtime.ts";
import { inWorker } from "./outbox/outbox.ts";
import { sinceCapture } from "./pipeline.ts";
import { exportGauges } from "./status.ts";
import { diskStore } from "./updates/store.ts";
import { mqttLink } from "./uplink.ts";

export type RunningAgent = {
  readonly ports: { readonly http: number; readonly metrics?: number };
  stop(): Promise<void>;
};

type AgentOptions = {
  readonly clock?: Clock;
  /** How the process's threads were set apart, if they were. */
  readonly cores?: Separated | null;
  /** For benches, which bring a camera of their own. */
  readonly cameraOf?: typeof makeCamera;
};

export async function startAgent(
  config: AgentConfig,
  telemetry: Telemetry,
  { clock = systemClock, cores = null, cameraOf = makeCamera }: AgentOptions = {},
): Promise<RunningAgent> {
  const background = cores && { backgroundCore: cores.background, isRealTime: cores.isRealTime };
  const agent = await Agent.open(config, {
    telemetry,
    clock,
    outbox: (options, handlers) => inWorker({ ...options, ...background }, handlers),
    runtime: new OwnProcesses(config, cores, (reason) => telemetry.emit(liteNotRaised, { reason })),
    store: diskStore(config, cores),
    worldStore:
      config.world === undefined ? null : diskStore({ ...config, dataDir: join(config.dataDir, "world") }, cores),
    camera: cameraOf,
    link: mqttLink,
    latencyMs: sinceCapture,
  });
  exportGauges(telemetry, agent.parts);
  const servers = await serveHttp(config.http, agent);
  const [server, metricsServer] = servers;
  agent.start();
  return {
    ports: { http: portOf(server), ...(metricsServer && { metrics: portOf(metricsServer) }) },
    stop: async () => {
      await agent.stop();
      await Promise.all(servers.map((one) => one && closeServer(one)));
    },
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
