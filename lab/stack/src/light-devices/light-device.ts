/**
 * One light device: the agent, composed so that many fit into a process. Its outbox is in memory, and its models are shared.
 *
 * Its latency is its own frame's preprocessing and run: waiting for a shared model does not count.
 */
import {
  Agent,
  type AgentConfig,
  type AgentPorts,
  inMemory,
  type LatencyOf,
  mqttLink,
  type OpenLink,
} from "@tributary/agent/compose";
import { systemClock } from "@tributary/kernel";
import { type Build, sentBy } from "./build.ts";
import { PhotoCamera } from "./photo-camera.ts";

type LightDevicePorts = Pick<AgentPorts, "telemetry" | "runtime" | "store" | "worldStore"> & {
  readonly take: () => Promise<Buffer>;
  readonly fps: number;
  /** Today's where undefined. */
  readonly build?: Build | undefined;
};

export type LightDevice = {
  readonly agent: Agent;
  /** Cuts its network: nothing leaves any more, while it continues to classify. */
  readonly silence: () => void;
};

const ofFrame: LatencyOf = (_, { timingsMs }) => timingsMs.preprocess + timingsMs.run;

export async function openLightDevice(config: AgentConfig, ports: LightDevicePorts): Promise<LightDevice> {
  const { telemetry, take, fps, runtime, store, worldStore, build } = ports;
  const { deviceId, mqtt } = config;
  let isSilent = false;
  const link: OpenLink = (...args) => {
    const real = mqttLink(...args);
    return {
      start: () => real.start(),
      stop: () => real.stop(),
      publish: (topic, payload, settled) => {
        if (isSilent) return;
        const sent = build ? sentBy(build, { deviceId, mqttPrefix: mqtt.prefix }, topic, payload) : payload;
        real.publish(topic, sent, settled);
      },
      get online() {
        return real.online;
      },
    };
  };
  const agent = await Agent.open(config, {
    runtime,
    store,
    worldStore,
    link,
    clock: systemClock,
    outbox: inMemory,
    latencyMs: ofFrame,
    telemetry: {
      ...telemetry,
      emit: (definition, event) => telemetry.emit(definition, { deviceId, ...event } as typeof event),
    },
    camera: ({ id }, context) => new PhotoCamera(id, context, take, fps, Math.random),
  });
  const silence = () => {
    isSilent = true;
  };
  return { agent, silence };
}
