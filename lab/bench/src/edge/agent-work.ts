/** The agent as it runs on a device, with a camera that captures the next frame when the last one is answered. It has no
 * broker: its messages stay in its outbox. */
import { get } from "node:http";
import { type AgentConfig, agentConfig, type FrameQueue, separateCores, startAgent } from "@tributary/agent";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import type { Work } from "./lane.ts";

/** Holds whatever a long run sends. */
const OUTBOX_BYTES = 2 ** 33;
/** Where nobody listens; tried again after a minute at the earliest. */
const NO_BROKER = { url: "mqtt://127.0.0.1:9", password: "none", backoff: { minMs: 60_000, maxMs: 600_000 } };

export async function startAgentWork(model: string, dataDir: string): Promise<Work> {
  const config: AgentConfig = agentConfig.parse({
    deviceId: "bench-01",
    dataDir,
    mqtt: NO_BROKER,
    model: { package: model, threads: 1 },
    http: { host: "127.0.0.1", port: 0 },
    outbox: { bytesMax: OUTBOX_BYTES },
    cameras: [{ id: "bench", kind: "command", command: ["the bench"], whenFull: "wait" }],
  });
  let queue: FrameQueue | undefined;
  let answered: () => void = () => {};
  let committedMs = 0;
  const telemetry = createTelemetry({ service: "agent", level: config.log.level });
  const observed: Telemetry = {
    ...telemetry,
    emit(definition, event) {
      telemetry.emit(definition, event);
      if (definition.name === "frame_answered") answered();
      if (definition.name === "outbox_committed") committedMs = performance.now();
    },
  };
  const agent = await startAgent(config, observed, {
    cores: separateCores(config), // As the agent's main does.
    cameraOf: (camera, context) => {
      queue = context.queue;
      return { id: camera.id, kind: camera.kind, state: "running", start: () => {}, stop: async () => {} };
    },
  });
  const status = () => statusAt(agent.ports.http);
  return {
    modelPid: (await status()).model.pid,
    frame: (jpeg) =>
      new Promise((resolve) => {
        answered = resolve;
        queue?.offer(jpeg);
      }),
    async done() {
      const { frames, outbox } = await status();
      return { frames: frames - outbox.uncommitted, atMs: committedMs };
    },
    stop: () => agent.stop(),
  };
}

/** Plain node:http: `fetch` would add megabytes of its own to the agent's process. */
function statusAt(port: number): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, path: "/v1/status", agent: false }, async (response) => {
      let body = "";
      for await (const chunk of response) body += chunk;
      resolve(JSON.parse(body) as AgentStatus);
    }).once("error", reject);
  });
}

type AgentStatus = {
  readonly frames: number;
  readonly outbox: { readonly uncommitted: number };
  readonly model: { readonly pid: number | null };
};
