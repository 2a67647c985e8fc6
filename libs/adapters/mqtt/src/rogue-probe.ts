/**
 * Tries, with a device's own credentials, what no device may do: it verifies the broker's ACL.
 *
 * A subscription counts by what it delivers: Mosquitto grants `#` to every client and then delivers only permitted messages.
 * Every refusal has a counterpart that must succeed, or a broker that refuses everything would pass. */
import { Failure, reasonOf } from "@tributary/kernel";
import { MqttClient } from "mqtt";
import { openSocket } from "./socket.ts";

export type RogueProbe = {
  readonly url: string;
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly connectTimeoutMs: number;
  readonly own: ProbeTopics;
  readonly other: ProbeTopics;
  /** Publishes as a client that may publish to both `down`; false when it could not. */
  readonly publish: (topic: string) => Promise<boolean>;
};

export type ProbeTopics = { readonly up: string; readonly down: string };

export type RogueAttempt = "publish-as-another" | "subscribe-another" | "subscribe-everything" | "subscribe-sys";
export type RogueFinding =
  | { readonly kind: "tried"; readonly allowed: readonly RogueAttempt[] }
  /** The broker refuses the probe's connection. */
  | { readonly kind: "kept-out"; readonly reason: string };

const FENCE_MS_MAX = 5_000;
const PROBE_MS_MAX = 30_000;
/** A message might be delivered late. */
const LATE_MS = 200;

/** Rejects with a Failure to retry when the connection ended meanwhile, e.g. because another prober has the same name. */
export async function probeAsRogue(probe: RogueProbe): Promise<RogueFinding> {
  const client = new MqttClient(() => openSocket(probe.url), {
    protocolId: "MQTT",
    protocolVersion: 5,
    clientId: probe.clientId,
    ...(probe.username !== undefined && { username: probe.username }),
    ...(probe.password !== undefined && { password: probe.password }),
    connectTimeout: probe.connectTimeoutMs,
    clean: true,
    reconnectPeriod: 0,
  });
  let timer: NodeJS.Timeout | undefined;
  const closed = new Promise<never>((_, reject) => {
    const late = () => reject(new Failure("probe-unanswered", "retry", "the broker does not answer the probe"));
    timer = setTimeout(late, PROBE_MS_MAX);
    client.on("close", () => reject(new Failure("probe-cut", "retry", "the probe's connection ended")));
  });
  closed.catch(() => {});
  try {
    const connected = new Promise<string | undefined>((resolve, reject) => {
      client.once("connect", () => resolve(undefined));
      client.once("error", (error: Error & { code?: unknown }) =>
        typeof error.code === "number" ? resolve(reasonOf(error)) : reject(error),
      );
    });
    const refusal = await Promise.race([connected, closed]);
    if (refusal !== undefined) return { kind: "kept-out", reason: refusal };
    return { kind: "tried", allowed: await Promise.race([tryAll(client, probe), closed]) };
  } finally {
    clearTimeout(timer);
    client.on("error", () => {});
    client.end(true);
  }
}

async function tryAll(client: MqttClient, { own, other, publish }: RogueProbe): Promise<readonly RogueAttempt[]> {
  const allowed = new Set<RogueAttempt>();
  if (!(await mayPublish(client, own.up))) throw controlRefused(`publish on its own ${own.up}`);
  if (await mayPublish(client, other.up)) allowed.add("publish-as-another");

  let fence: (() => void) | undefined;
  let receivesOther: RogueAttempt = "subscribe-another";
  client.on("message", (topic) => {
    if (topic === own.down) fence?.();
    else if (topic.startsWith("$SYS/")) allowed.add("subscribe-sys");
    else allowed.add(topic === other.down ? receivesOther : "subscribe-everything");
  });
  const receiveAll = async () => {
    const received = new Promise<void>((resolve) => {
      fence = resolve;
    });
    if (!(await publish(other.down)) || !(await publish(own.down))) {
      throw new Failure(
        "probe-not-published",
        "retry",
        "the bridge itself may not publish on down/ topics, or its connection ended",
      );
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(() => reject(controlRefused(`receive on its own ${own.down}`)), FENCE_MS_MAX);
    });
    await Promise.race([received, late]).finally(() => clearTimeout(timer));
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
  };
  await subscribe(client, own.down);
  await subscribe(client, other.down);
  await receiveAll();
  await client.unsubscribeAsync(other.down).catch(() => {});
  receivesOther = "subscribe-everything";
  await subscribe(client, "$SYS/#");
  await subscribe(client, "#");
  await receiveAll();
  return [...allowed];
}

const mayPublish = (client: MqttClient, topic: string): Promise<boolean> =>
  client.publishAsync(topic, Buffer.alloc(0), { qos: 1 }).then(
    () => true,
    () => false,
  );

/** Refused is as good as never delivered. */
const subscribe = (client: MqttClient, filter: string): Promise<unknown> =>
  client.subscribeAsync(filter, { qos: 1 }).catch(() => {});

const controlRefused = (what: string): Failure =>
  new Failure(
    "probe-control-refused",
    "ask-a-person",
    `the probe may not even ${what}: the broker's rules are not the shipped ones`,
  );
