/**
 * A service's MQTT 5 connection to a broker that is not ours, kept up for ever: shared subscriptions in a session that
 * outlives the connection, and acknowledgements by hand.
 *
 * A message is acknowledged when its receiver settles it, in the order in which the messages came. One that is not, comes again
 * on the next connection. What is received and not acknowledged is bounded in number and in bytes (G9): by
 * MQTT's receive maximum, and where the broker does not keep to it (Mosquitto 2.0 sends as many again for each PUBACK), we do not read
 * on. What is published and not acknowledged stays within the broker's receive maximum. A broker that cannot do what this
 * needs is refused by name at the start; later, whatever ends the connection, it is made again after a jittered, bounded
 * backoff.
 *
 * mqtt.js handles packets one at a time and goes on only when a message's PUBACK is handed over, so waiting for Kafka in its
 * `customHandleAcks` or `handleMessage` would take one message per round trip and hold up its own pings. So PUBACKs are taken
 * from it where it sends packets, reading goes on, and they are sent when their time comes. */
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import { type IConnackPacket, type IPublishPacket, MqttClient } from "mqtt";
import { AckOrder } from "./ack-order.ts";
import { openSocket } from "./socket.ts";

export type SharedLinkOptions = {
  /** mqtt://host:port or mqtts://host:port. */
  readonly url: string;
  /** The session's name: the same over restarts, and nobody else's. */
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly subscriptions: readonly string[];
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
  readonly sessionExpirySeconds: number;
  readonly receiveMaximum: number;
  readonly packetBytesMax: number;
  readonly inFlightBytesMax: number;
  readonly backoff: Backoff;
  /** How long the broker may be away at the start. */
  readonly startMsMax: number;
};

export type Received = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** Whether the connection it came on has ended: it comes again, and is not to be acknowledged. */
  readonly isStale: () => boolean;
  /** At most once. */
  readonly acknowledge: () => void;
  /** Exactly once, when nothing holds the payload any more. */
  readonly release: () => void;
};

export type SharedLinkHandlers = {
  readonly onOnline: (broker: { readonly sessionPresent: boolean }) => void;
  readonly onOffline: (offline: { readonly code: string; readonly reason: string; readonly retryMs: number }) => void;
  readonly onMessage: (message: Received) => void;
  readonly onPublishRefused: (refused: { readonly topic: string; readonly reason: string }) => void;
};

/** What a broker cannot do, or will not let us do. */
export type BrokerFault =
  | "broker-without-mqtt-5"
  | "broker-without-shared-subscriptions"
  | "broker-without-sessions"
  | "broker-without-qos-1"
  | "broker-refuses-credentials"
  | "broker-refuses-subscription"
  | "broker-refuses-hand-acks"
  | "broker-unavailable";

type End = { readonly code: BrokerFault; readonly reason: string; readonly wasOnline: boolean };
type Outgoing = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly settled: (taken: boolean) => void;
};
type Packet = { readonly cmd: string; readonly messageId?: number };
type PacketSender = { _sendPacket: (packet: Packet, done?: () => void, ...rest: unknown[]) => void };

const STEADY_MS = 10_000;
const OUTGOING_MAX = 64;
/** Connections in a row that the broker ended while it waited for PUBACKs, and got none. */
const UNWAITED_MAX = 3;
const faultOfCode: Readonly<Record<number, BrokerFault>> = {
  1: "broker-without-mqtt-5",
  132: "broker-without-mqtt-5",
  4: "broker-refuses-credentials",
  5: "broker-refuses-credentials",
  134: "broker-refuses-credentials",
  135: "broker-refuses-credentials",
  155: "broker-without-qos-1",
  158: "broker-without-shared-subscriptions",
};

export class SharedLink {
  readonly #options: SharedLinkOptions;
  readonly #handlers: SharedLinkHandlers;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #online: { readonly client: MqttClient; readonly outgoingMax: number } | undefined;
  #cut: ((reason: string) => void) | undefined;
  #outgoing: Outgoing[] = [];
  #flying = new Set<(error?: Error | null) => void>();
  #unacknowledged = 0;
  #bytes = 0;
  /** Lets mqtt.js read on. */
  #readOn: (() => void) | undefined;
  #unwaited = 0;
  #idle: (() => void)[] = [];

  constructor(options: SharedLinkOptions, handlers: SharedLinkHandlers, clock: Clock, random: Random) {
    this.#options = options;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#random = random;
    this.#started.promise.catch(() => {}); // Who stops us need not have waited.
  }

  get online(): boolean {
    return this.#online !== undefined;
  }

  /** Received and not released. */
  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** Resolves once subscribed; rejects with a BrokerFault. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#started.promise;
  }

  /** At QoS 1. False: not taken, or nobody knows. */
  publish(topic: string, payload: Buffer, { retain = false } = {}): Promise<boolean> {
    if (this.#online === undefined) return Promise.resolve(false);
    return new Promise((settled) => {
      this.#outgoing.push({ topic, payload, retain, settled });
      this.#pump();
    });
  }

  /** Ends the connection; what was not acknowledged comes again on the next one, after a backoff. */
  drop(reason: string): void {
    this.#cut?.(reason);
  }

  /** Leaves the group, lets what was received be acknowledged for at most `graceMs`, does what is `last`, and disconnects. */
  async stop(graceMs: number, last: () => Promise<unknown> = async () => {}): Promise<void> {
    const client = this.#online?.client;
    if (client !== undefined) {
      const late = new AbortController();
      const { subscriptions } = this.#options;
      const left = subscriptions.length === 0 ? undefined : client.unsubscribeAsync([...subscriptions]).catch(() => {});
      const idle = Promise.resolve(left)
        .then(() => this.#whenIdle())
        .then(last);
      await Promise.race([idle, this.#clock.sleep(graceMs, late.signal).catch(() => {})]);
      late.abort();
      // The acknowledgements were written this turn.
      await Promise.race([client.endAsync(false).catch(() => {}), this.#clock.sleep(500).catch(() => {})]);
    }
    this.#stopping.abort(new Error("stopped"));
    this.#cut?.("stopped");
    this.#started.reject(new Failure("mqtt-stopped", "give-up", "the connection was stopped before it stood"));
    await this.#running;
  }

  get #hasRoom(): boolean {
    const { receiveMaximum, inFlightBytesMax } = this.#options;
    return this.#unacknowledged < receiveMaximum && this.#bytes < inFlightBytesMax;
  }

  #whenIdle(): Promise<void> {
    return this.#unacknowledged === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const givesUpAt = this.#clock.monotonicMs() + this.#options.startMsMax;
    let hasStood = false;
    for (let attempt = 0; !signal.aborted; ) {
      const startedAtMs = this.#clock.monotonicMs();
      const end = await this.#connectOnce();
      if (signal.aborted) return;
      hasStood ||= end.wasOnline;
      const isHopeless = end.code !== "broker-unavailable" || this.#clock.monotonicMs() >= givesUpAt;
      if (!hasStood && isHopeless) {
        const { code, reason } = end;
        const message = `${this.#options.url}: ${reason}`;
        this.#started.reject(new Failure(code, code === "broker-unavailable" ? "retry" : "ask-a-person", message));
        return;
      }
      if (end.wasOnline && this.#clock.monotonicMs() - startedAtMs >= STEADY_MS) attempt = 0;
      const retryMs = backoffMs(this.#options.backoff, attempt++, this.#random);
      this.#handlers.onOffline({ code: end.code, reason: end.reason, retryMs });
      await this.#clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  #connectOnce(): Promise<End> {
    const options = this.#options;
    return new Promise((resolve) => {
      const order = new AckOrder();
      let end: Omit<End, "wasOnline"> = { code: "broker-unavailable", reason: "connection closed" };
      let wasOnline = false;
      let isOver = false;
      let hasAcknowledged = false;
      const fail = (code: BrokerFault, reason: string) => {
        end = { code, reason };
        client.end(true);
      };
      const client: MqttClient = new MqttClient(() => openSocket(options.url), {
        protocolId: "MQTT",
        protocolVersion: 5,
        clientId: options.clientId,
        ...(options.username !== undefined && { username: options.username }),
        ...(options.password !== undefined && { password: options.password }),
        keepalive: options.keepaliveSeconds,
        connectTimeout: options.connectTimeoutMs,
        clean: false,
        properties: {
          sessionExpiryInterval: options.sessionExpirySeconds,
          receiveMaximum: options.receiveMaximum,
          maximumPacketSize: options.packetBytesMax,
        },
        reconnectPeriod: 0, // Is ours.
        resubscribe: false,
        queueQoSZero: false,
      });
      const send = takePubacks(client, (readOn) => {
        if (isOver) return; // Nor does it take the place of the next connection's.
        if (this.#hasRoom) readOn();
        else this.#readOn = readOn;
      });
      const over = () => {
        if (isOver) return;
        isOver = true;
        if (this.#online?.client === client) this.#online = undefined;
        this.#cut = undefined;
        this.#readOn = undefined;
        client.end(true);
        for (const { settled } of this.#outgoing.splice(0)) settled(false);
        for (const settle of this.#flying) settle(new Error("connection closed"));
        // A broker that ends connections while their PUBACKs are awaited will not wait for Kafka.
        const isUnwaited = wasOnline && order.size > 0 && !hasAcknowledged && end.code === "broker-unavailable";
        this.#unwaited = isUnwaited ? this.#unwaited + 1 : 0;
        if (this.#unwaited >= UNWAITED_MAX) {
          end = {
            code: "broker-refuses-hand-acks",
            reason: `it ended ${this.#unwaited} connections while PUBACKs waited`,
          };
        }
        resolve({ ...end, wasOnline });
      };
      this.#cut = (reason) => {
        // A connection that we end ourselves shows nothing about the broker.
        hasAcknowledged = true;
        fail("broker-unavailable", reason);
        over();
      };
      client.on("error", (error: Error & { code?: unknown }) => {
        const code = typeof error.code === "number" ? faultOfCode[error.code] : undefined;
        fail(code ?? "broker-unavailable", reasonOf(error) || String(error.code ?? "connection failed"));
      });
      client.on("disconnect", (packet) => {
        end = { code: "broker-unavailable", reason: `the broker disconnects: reason ${packet.reasonCode}` };
      });
      client.on("close", over);
      client.on("end", over);
      client.on("message", (topic, payload, packet) => {
        if (isOver) return;
        this.#take(topic, payload, packet, {
          isStale: () => isOver,
          acknowledge: order.begin(() => {
            hasAcknowledged = true;
            if (!isOver && packet.qos === 1) send({ cmd: "puback", messageId: packet.messageId as number });
          }),
        });
      });
      client.once("connect", (connack) => {
        const fault = faultOf(connack);
        if (fault !== undefined) return fail(fault.code, fault.reason);
        const stands = () => {
          wasOnline = true;
          const outgoingMax = Math.min(OUTGOING_MAX, connack.properties?.receiveMaximum ?? OUTGOING_MAX);
          this.#online = { client, outgoingMax };
          this.#handlers.onOnline({ sessionPresent: connack.sessionPresent });
          this.#started.resolve();
          this.#pump();
        };
        if (options.subscriptions.length === 0) return stands();
        const how = { qos: 1, rap: true } as const;
        client.subscribe([...options.subscriptions], how, (error: (Error & { code?: number }) | null, granted) => {
          if (isOver) return;
          if (error) return fail(faultOfSuback(error.code), `subscribe: ${reasonOf(error)}`);
          if (granted?.some(({ qos }) => (qos as number) === 0)) {
            return fail("broker-without-qos-1", "it grants subscriptions at QoS 0 only");
          }
          stands();
        });
      });
    });
  }

  #take(
    topic: string,
    payload: Buffer,
    { qos, retain }: IPublishPacket,
    way: Pick<Received, "isStale" | "acknowledge">,
  ): void {
    let isHeld = true;
    this.#bytes += payload.length;
    this.#unacknowledged += 1;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#bytes -= payload.length;
      this.#unacknowledged -= 1;
      if (this.#unacknowledged === 0) for (const resolve of this.#idle.splice(0)) resolve();
      if (this.#readOn !== undefined && this.#hasRoom) {
        const readOn = this.#readOn;
        this.#readOn = undefined;
        readOn();
      }
    };
    this.#handlers.onMessage({ topic, payload, qos, retain, ...way, release });
  }

  #pump(): void {
    while (this.#online !== undefined && this.#flying.size < this.#online.outgoingMax) {
      const { client } = this.#online;
      const next = this.#outgoing.shift();
      if (next === undefined) return;
      const settle = (error?: Error | null) => {
        if (!this.#flying.delete(settle)) return;
        const isRefusal = error instanceof Error && typeof (error as { code?: unknown }).code === "number";
        if (isRefusal) this.#handlers.onPublishRefused({ topic: next.topic, reason: reasonOf(error) });
        next.settled(!error);
        this.#pump();
      };
      this.#flying.add(settle);
      client.publish(next.topic, next.payload, { qos: 1, retain: next.retain }, settle);
    }
  }
}

/** mqtt.js's own PUBACKs are not sent: `onRead` gets the function that reads on. Returns its way to send packets. */
function takePubacks(client: MqttClient, onRead: (readOn: () => void) => void): PacketSender["_sendPacket"] {
  const sender = client as unknown as PacketSender;
  if (typeof sender._sendPacket !== "function") {
    throw new Failure("mqtt-client-changed", "ask-a-person", "this version of mqtt.js sends its packets another way");
  }
  const send = sender._sendPacket.bind(client);
  sender._sendPacket = (packet, done, ...rest) => {
    if (packet.cmd === "puback") onRead(() => done?.());
    else send(packet, done, ...rest);
  };
  return send;
}

function faultOf({ properties }: IConnackPacket): { readonly code: BrokerFault; readonly reason: string } | undefined {
  if (properties?.sharedSubscriptionAvailable === false) {
    return { code: "broker-without-shared-subscriptions", reason: "its CONNACK declares no shared subscriptions" };
  }
  if (properties?.maximumQoS === 0) return { code: "broker-without-qos-1", reason: "it takes QoS 0 only" };
  if (properties?.sessionExpiryInterval === 0) {
    return { code: "broker-without-sessions", reason: "it ends sessions with their connections" };
  }
  return undefined;
}

function faultOfSuback(code: number | undefined): BrokerFault {
  return code === 158 ? "broker-without-shared-subscriptions" : "broker-refuses-subscription";
}
