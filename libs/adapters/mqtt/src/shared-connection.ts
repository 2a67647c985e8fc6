/**
 * One connection of a shared link, from CONNECT to its end: the broker's messages, and its capabilities.
 *
 * mqtt.js handles packets one at a time and continues only when it has a message's PUBACK, so waiting for Kafka in its
 * `customHandleAcks` or `handleMessage` would take one message per round trip and delay its own pings. So its PUBACKs are
 * intercepted where it sends packets, reading continues, and they are sent once the message is settled.
 */
import { Failure, reasonOf } from "@tributary/kernel";
import { type IConnackPacket, type IPublishPacket, MqttClient } from "mqtt";
import { AckOrder } from "./ack-order.ts";
import { openSocket } from "./socket.ts";

export type ConnectionOptions = {
  /** mqtt://host:port or mqtts://host:port. */
  readonly url: string;
  /** The session's name: the same over restarts, and unique. */
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly subscriptions: readonly string[];
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
  readonly sessionExpirySeconds: number;
  readonly receiveMaximum: number;
  readonly packetBytesMax: number;
};

/** How one message is answered. */
export type Acknowledgement = {
  /** Whether its connection has ended: it is delivered again, and is not to be acknowledged. */
  readonly isStale: () => boolean;
  /** At most once. `shared-link.ts` H1 */
  readonly acknowledge: () => void;
};

export type ConnectionHandlers = {
  /** Connected and subscribed. */
  readonly onStands: (broker: {
    readonly client: MqttClient;
    /** What it takes at QoS 1 before it has acknowledged any. */
    readonly outgoingMax: number;
    readonly sessionPresent: boolean;
  }) => void;
  readonly onMessage: (topic: string, payload: Buffer, packet: IPublishPacket, answer: Acknowledgement) => void;
  /** A message was delivered; nothing more is read until `readOn` is called. */
  readonly onRead: (readOn: () => void) => void;
  /** Once. */
  readonly onOver: (end: End) => void;
};

/** A capability that the broker lacks, or does not permit. */
export type BrokerFault =
  | "broker-without-mqtt-5"
  | "broker-without-shared-subscriptions"
  | "broker-without-sessions"
  | "broker-without-qos-1"
  | "broker-refuses-credentials"
  | "broker-refuses-subscription"
  | "broker-refuses-hand-acks"
  | "broker-unavailable";

export type End = {
  readonly code: BrokerFault;
  readonly reason: string;
  readonly wasOnline: boolean;
  /** The broker ended it while it waited for PUBACKs, and had got none. */
  readonly isUnwaited: boolean;
};

type Packet = { readonly cmd: string; readonly messageId?: number };
type PacketSender = { _sendPacket: (packet: Packet, done?: () => void, ...rest: unknown[]) => void };

const OUTGOING_MAX = 64;
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

export class SharedConnection {
  readonly #client: MqttClient;
  readonly #subscriptions: readonly string[];
  readonly #handlers: ConnectionHandlers;
  readonly #order = new AckOrder();
  readonly #send: PacketSender["_sendPacket"];
  readonly #isStale = () => this.#isOver;
  #end: Pick<End, "code" | "reason"> = { code: "broker-unavailable", reason: "connection closed" };
  #wasOnline = false;
  #isOver = false;
  #hasAcknowledged = false;

  constructor(options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.#handlers = handlers;
    this.#subscriptions = options.subscriptions;
    this.#client = clientOf(options);
    this.#send = takePubacks(this.#client, (readOn) => {
      if (!this.#isOver) handlers.onRead(readOn);
    });
    this.#client.on("error", (error: Error & { code?: unknown }) => {
      const code = typeof error.code === "number" ? faultOfCode[error.code] : undefined;
      this.#fail(code ?? "broker-unavailable", reasonOf(error) || String(error.code ?? "connection failed"));
    });
    this.#client.on("disconnect", ({ reasonCode }) => {
      this.#end = { code: "broker-unavailable", reason: `the broker disconnects: reason ${reasonCode}` };
    });
    this.#client.on("close", () => this.#over());
    this.#client.on("end", () => this.#over());
    this.#client.on("message", (topic, payload, packet) => this.#take(topic, payload, packet));
    this.#client.once("connect", (connack) => this.#connected(connack));
  }

  /** Ends it at once. */
  cut(reason: string): void {
    this.#hasAcknowledged = true; // An end of our own is not the broker's fault.
    this.#fail("broker-unavailable", reason);
    this.#over();
  }

  #take(topic: string, payload: Buffer, packet: IPublishPacket): void {
    if (this.#isOver) return;
    const acknowledge = this.#order.begin(() => {
      this.#hasAcknowledged = true;
      if (this.#isOver || packet.qos !== 1) return;
      this.#send({ cmd: "puback", messageId: packet.messageId as number }); // shared-link.ts H1
    });
    this.#handlers.onMessage(topic, payload, packet, { isStale: this.#isStale, acknowledge });
  }

  #connected(connack: IConnackPacket): void {
    const fault = faultOf(connack);
    if (fault !== undefined) this.#fail(fault.code, fault.reason);
    else if (this.#subscriptions.length === 0) this.#stands(connack);
    else this.#subscribe(connack);
  }

  #subscribe(connack: IConnackPacket): void {
    const how = { qos: 1, rap: true } as const;
    this.#client.subscribe([...this.#subscriptions], how, (error: (Error & { code?: number }) | null, granted) => {
      if (this.#isOver) return;
      if (error) this.#fail(faultOfSuback(error.code), `subscribe: ${reasonOf(error)}`);
      else if (granted?.some(({ qos }) => (qos as number) === 0))
        this.#fail("broker-without-qos-1", "it grants subscriptions at QoS 0 only");
      else this.#stands(connack);
    });
  }

  #stands({ sessionPresent, properties }: IConnackPacket): void {
    this.#wasOnline = true;
    const outgoingMax = Math.min(OUTGOING_MAX, properties?.receiveMaximum ?? OUTGOING_MAX);
    this.#handlers.onStands({ client: this.#client, outgoingMax, sessionPresent });
  }

  #fail(code: BrokerFault, reason: string): void {
    this.#end = { code, reason };
    this.#client.end(true);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isAwaiting = this.#order.size > 0 && !this.#hasAcknowledged;
    const isUnwaited = this.#wasOnline && isAwaiting && this.#end.code === "broker-unavailable";
    this.#handlers.onOver({ ...this.#end, wasOnline: this.#wasOnline, isUnwaited });
    this.#client.end(true);
  }
}

function clientOf(options: ConnectionOptions): MqttClient {
  return new MqttClient(() => openSocket(options.url), {
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
      receiveMaximum: options.receiveMaximum, // shared-link.ts H2
      maximumPacketSize: options.packetBytesMax,
    },
    reconnectPeriod: 0, // The link does it. shared-link.ts H4
    resubscribe: false,
    queueQoSZero: false,
  });
}

/** mqtt.js's own PUBACKs are not sent: `onRead` is called when it is ready to continue. Returns its function to send packets. */
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
    return { code: "broker-without-shared-subscriptions", reason: "it reports that it has no shared subscriptions" };
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
