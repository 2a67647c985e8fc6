/**
 * One device's MQTT connection, which reconnects without end: a thin layer over mqtt.js without its stores and reconnects.
 *
 * L1. Every connection is a new mqtt.js client with a clean session and empty stores, so mqtt.js resends, reorders and queues
 *     nothing by itself. The caller owns its records and resends them when `onOnline` is called again (G1, G3).
 * L2. `publish` sends at once, in call order, or not at all; its callback fires exactly once: true for the broker's
 *     PUBACK, false when the connection ended first.
 * L3. Between `onOnline` and `onOffline` subscriptions are active and the retained `online` is published; the last will is a
 *     retained `offline`.
 * L4. Reconnects wait a jittered, bounded backoff, reset by a connection that lasted.
 */
import { type Backoff, backoffMs, type Clock, type Random, reasonOf } from "@tributary/kernel";
import { MqttClient } from "mqtt";
import { openSocket } from "./socket.ts";

export type MqttLinkOptions = {
  /** mqtt://host:port or mqtts://host:port. */
  readonly url: string;
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
  readonly availabilityTopic: string;
  /** Subscribed at QoS 1 on each connection. */
  readonly subscriptions: readonly string[];
  /** Optional subscriptions, requested once online: a broker may refuse them without further effect. */
  readonly optionalSubscriptions?: readonly string[];
  readonly backoff: Backoff;
};

export type MqttLinkHandlers = {
  readonly onOnline: () => void;
  /** `refused`: the broker rejected the connection; a further attempt needs a change by a person, or of the broker. */
  readonly onOffline: (offline: {
    readonly reason: string;
    readonly refused: boolean;
    readonly retryMs: number;
  }) => void;
  readonly onMessage: (topic: string, payload: Buffer) => void;
};

type Pending = Set<(acked: boolean) => void>;

/** A connection that lasted this long restarts its backoff (L4). */
const STEADY_MS = 10_000;
const FAREWELL_MS = 2_000;

export class MqttLink {
  readonly #options: MqttLinkOptions;
  readonly #handlers: MqttLinkHandlers;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #online: { readonly client: MqttClient; readonly pending: Pending } | undefined;

  constructor(options: MqttLinkOptions, handlers: MqttLinkHandlers, clock: Clock, random: Random) {
    this.#options = options;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#random = random;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  get online(): boolean {
    return this.#online !== undefined;
  }

  /** At QoS 1. `settled` fires exactly once (L2). */
  publish(topic: string, payload: Uint8Array, settled: (acked: boolean) => void): void {
    const online = this.#online;
    if (online === undefined) {
      settled(false);
      return;
    }
    online.pending.add(settled);
    online.client.publish(topic, asBuffer(payload), { qos: 1 }, (error) => {
      if (!online.pending.delete(settled)) return;
      settled(!error);
      // A broker that answers a publish with an error has not taken it: start over and resend, after a backoff.
      if (error) online.client.end(true);
    });
  }

  /** Publishes `offline` where it can, then disconnects; no callback of `publish` is left open. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    const client = this.#online?.client;
    if (client !== undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, FAREWELL_MS);
        client.publish(this.#options.availabilityTopic, "offline", { qos: 1, retain: true }, () => {
          clearTimeout(timer);
          client.end(false, () => resolve());
          setTimeout(resolve, 200).unref();
        });
      });
      client.end(true);
    }
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (let attempt = 0; !signal.aborted; ) {
      const startedAtMs = this.#clock.monotonicMs();
      const end = await this.#connectOnce(signal);
      if (signal.aborted) break;
      if (end.wasOnline && this.#clock.monotonicMs() - startedAtMs >= STEADY_MS) attempt = 0;
      const retryMs = backoffMs(this.#options.backoff, attempt++, this.#random);
      this.#handlers.onOffline({ reason: end.reason, refused: end.refused, retryMs });
      await this.#clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  #connectOnce(signal: AbortSignal): Promise<{ reason: string; refused: boolean; wasOnline: boolean }> {
    const options = this.#options;
    return new Promise((resolve) => {
      const pending: Pending = new Set();
      let reason = "connection closed";
      let refused = false;
      let wasOnline = false;
      let isOver = false;
      const client: MqttClient = new MqttClient(() => openSocket(options.url), {
        protocolId: "MQTT",
        clientId: options.clientId,
        username: options.username,
        password: options.password,
        protocolVersion: 4, // MQTT 3.1.1: every broker supports it, and it is sufficient here.
        keepalive: options.keepaliveSeconds,
        connectTimeout: options.connectTimeoutMs,
        clean: true,
        reconnectPeriod: 0,
        resubscribe: false,
        queueQoSZero: false,
        will: { topic: options.availabilityTopic, payload: Buffer.from("offline"), qos: 1, retain: true },
      });
      const over = () => {
        if (isOver) return;
        isOver = true;
        signal.removeEventListener("abort", onAbort);
        if (this.#online?.client === client) this.#online = undefined;
        client.end(true);
        for (const settled of pending) settled(false);
        pending.clear();
        resolve({ reason, refused, wasOnline });
      };
      const onAbort = () => {
        if (!wasOnline) over();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      client.on("error", (error: Error & { code?: unknown }) => {
        reason = reasonOf(error) || String(error.code ?? "connection failed");
        refused = typeof error.code === "number";
        client.end(true);
      });
      client.on("close", over);
      client.on("end", over);
      client.on("message", (topic, payload) => {
        if (!isOver) this.#handlers.onMessage(topic, payload);
      });
      client.once("connect", () => {
        if (isOver) return;
        const topics = [...options.subscriptions];
        const announce = (error?: Error | null) => {
          if (isOver || signal.aborted) return client.end(true);
          if (error) {
            reason = `subscribe: ${reasonOf(error)}`;
            refused = true;
            return client.end(true);
          }
          client.publish(options.availabilityTopic, "online", { qos: 1, retain: true });
          wasOnline = true;
          this.#online = { client, pending };
          this.#handlers.onOnline();
          const optional = [...(options.optionalSubscriptions ?? [])];
          if (optional.length > 0) client.subscribe(optional, { qos: 1 }, () => {});
        };
        if (topics.length === 0) announce();
        else client.subscribe(topics, { qos: 1 }, (error) => announce(error));
      });
    });
  }
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
