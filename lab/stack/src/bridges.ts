/** What devices reach: one bridge that is the broker, or several that share the messages of a broker that is there. */
import { agentMqtt, bridgeMqtt, bridgeNames, type ExternalMqtt } from "./external-mqtt.ts";
import type { Launcher } from "./launcher.ts";
import type { Part } from "./part.ts";
import { mains } from "./paths.ts";

export type Mqtt = {
  readonly bridges: readonly Part[];
  readonly url: string;
  /** The block `mqtt` of a device. */
  block(deviceId: string, password: string): object;
};

/** `shared`: blocks of every service's configuration. */
export async function makeBridges(
  launcher: Launcher,
  shared: object,
  external: ExternalMqtt | undefined,
): Promise<Mqtt> {
  if (external !== undefined) {
    const made = bridgeNames(external).map((name) =>
      launcher.service(name, mains.bridge, () => ({ ...shared, mqtt: bridgeMqtt(external, name) })),
    );
    return {
      bridges: (await Promise.all(made)).map(({ part }) => part),
      url: external.url,
      block: (deviceId, password) => agentMqtt(external, deviceId, password),
    };
  }
  const port = await launcher.port("MQTT", 1883);
  const mqtt = { host: "127.0.0.1", port };
  const { part } = await launcher.service("bridge", mains.bridge, () => ({ ...shared, mqtt }));
  const url = `mqtt://127.0.0.1:${port}`;
  return { bridges: [part], url, block: (_, password) => ({ url, password }) };
}
