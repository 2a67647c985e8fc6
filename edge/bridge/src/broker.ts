/**
 * The MQTT side: aedes behind gates. It decides nothing itself; identity is auth.ts's, messages are ingest.ts's.
 *
 * aedes writes the PUBACK after `authorizePublish` and before it publishes, so Kafka is awaited inside it (ADR 2).
 * No client subscribes to what devices publish, so a message ends with its PUBACK.
 *
 * One session per device; a second connection takes over (MQTT-3.1.4-2). Sessions are clean: nothing is queued for an
 * offline device; retained state is in Kafka. Connections, packets and bytes in flight are bounded (G9). aedes gets
 * authenticated devices only; other clients never get past preauth.ts. A device is bounded in messages, bytes and their costs a
 * second, beyond which it is read more slowly, and in subscriptions, beyond which its session ends (rates.ts). */
import { createServer, type Server, type Socket } from "node:net";
import { type Clock, reasonOf } from "@tributary/kernel";
import { THROTTLED_FROM } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { Aedes, type Client, type PublishPacket, type Subscription } from "aedes";
import { type ConnectRefusal, maySubscribe } from "./auth.ts";
import { ByteBudget } from "./budget.ts";
import type { BridgeConfig } from "./config.ts";
import { brokerFault, connected, connectionCut, disconnected, subscribeRefused, takenOver } from "./events.ts";
import { PacketGate } from "./gate.ts";
import type { Ingest } from "./ingest.ts";
import { PreAuth, type PreAuthOptions } from "./preauth.ts";
import type { RatesByDevice } from "./rates.ts";
import { Session } from "./session.ts";
import { Takeovers } from "./takeovers.ts";

/** Of the weight of other limits: the largest device that the defaults are made for may make up for half a second. */
const A_MESSAGE_HELD = 0.25;

export type BrokerOptions = {
  readonly config: BridgeConfig;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly ingest: Ingest;
  readonly rates: RatesByDevice;
  /** A device exceeds a rate; `weight` is how much that counts. */
  readonly onThrottled: (deviceId: string, reason: string, weight?: number) => void;
  readonly authenticate: PreAuthOptions["authenticate"];
  /** A device subscribed: its retained messages are to be sent. */
  readonly onSubscribed: (session: Session, filters: readonly string[]) => void;
};

type AnyClient = Client & { will?: unknown };

const SWEEP_MS = 1_000;
/** Connections that the kernel may hold for us; a returning fleet comes all at once. */
const BACKLOG = 4_096;
/** Devices named in the metric of takeovers. */
const TAKEOVERS_NAMED_MAX = 20;

export class Broker {
  readonly #options: BrokerOptions;
  readonly #budget: ByteBudget;
  readonly #server: Server;
  readonly #preAuth: PreAuth;
  readonly #takeovers: Takeovers;
  readonly #gates = new Set<PacketGate>();
  readonly #sessions = new Map<string, Session>();
  readonly #byClient = new WeakMap<Client, Session>();
  /** The newest connection of each device. */
  readonly #gateOf = new Map<string, PacketGate>();
  readonly #deviceOf = new WeakMap<PacketGate, string>();
  #aedes: Aedes | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { limits } = options.config;
    this.#budget = new ByteBudget(limits.inFlightBytesMax, limits.clientBytesMax);
    this.#takeovers = new Takeovers(limits.takeoversPerMinuteMax);
    this.#preAuth = new PreAuth({
      ...options,
      mayAdmit: (socket, deviceId) => this.#mayAdmit(socket, deviceId),
      admit: (socket, deviceId) => this.#admit(socket, deviceId),
    });
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) =>
      this.#preAuth.accept(socket),
    );
    this.#server.maxConnections = limits.connectionsMax + 2 * limits.unauthenticatedMax; // with those that are closing
    this.#server.on("drop", (drop) => {
      const remote = drop?.remoteAddress ?? "unknown";
      options.telemetry.emit(connectionCut, { code: "connections-full", deviceId: "unknown", bytes: 0, remote });
    });
    this.#gauges();
  }

  session(deviceId: string): Session | undefined {
    return this.#sessions.get(deviceId);
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  /** Resolves with the port. */
  async listen(): Promise<number> {
    const { limits, mqtt } = this.#options.config;
    const aedes = await Aedes.createBroker({
      connectTimeout: limits.connectMsMax,
      maxInflightInbound: 16,
      preConnect: (_client, packet, done) => {
        packet.clean = true;
        done(null, true);
      },
      authenticate: (client, _user, _password, done) => {
        done(null, this.#startSession(client));
      },
      authorizePublish: (client, packet, done) => this.#publish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        const session = this.#byClient.get(client);
        if (session !== undefined && !this.#maySubscribeNow(session)) return done(null, null);
        if (session !== undefined && maySubscribe(session.deviceId, subscription.topic, mqtt.prefix)) {
          return done(null, subscription);
        }
        const filter = subscription.topic.slice(0, 200);
        this.#options.telemetry.emit(subscribeRefused, { deviceId: client.id, filter });
        done(null, null); // REFUSED
      },
    } as ConstructorParameters<typeof Aedes>[0]);
    const publish = aedes.publish.bind(aedes) as (...args: unknown[]) => void;
    // Devices' messages end at Kafka; only aedes' own heartbeats are published.
    aedes.publish = ((packet: PublishPacket, client: unknown, done?: () => void) =>
      typeof client === "object" && client !== null ? done?.() : publish(packet, client, done)) as typeof aedes.publish;
    aedes.on("subscribe", (subscriptions, client) => this.#subscribed(client, subscriptions));
    for (const event of ["clientError", "connectionError"] as const) {
      aedes.on(event, (client, error) => {
        this.#options.telemetry.emit(brokerFault, { deviceId: client.id ?? "unknown", reason: reasonOf(error) });
      });
    }
    this.#aedes = aedes;
    this.#sweeper = setInterval(() => {
      for (const gate of this.#gates) gate.sweep();
    }, SWEEP_MS);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port: mqtt.port, host: mqtt.host, backlog: BACKLOG }, () => resolve());
    });
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : mqtt.port;
  }

  /** Takes no more messages, waits at most `shutdownMsMax` until those in flight are stored and acknowledged, and ends. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#sweeper);
    this.#preAuth.close();
    const { clock, ingest, config } = this.#options;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const gate of this.#gates) gate.freeze();
    const stop = new AbortController();
    const late = clock.sleep(config.limits.shutdownMsMax, stop.signal).catch(() => {});
    await Promise.race([ingest.idle(), late]);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve))); // aedes writes PUBACKs a turn later
    for (const gate of this.#gates) gate.end();
    await Promise.race([closed, clock.sleep(500, stop.signal).catch(() => {})]);
    stop.abort();
    for (const gate of this.#gates) gate.destroy();
    await new Promise<void>((resolve) => (this.#aedes ? this.#aedes.close(resolve) : resolve()));
  }

  #mayAdmit(socket: Socket, deviceId: string): ConnectRefusal | undefined {
    const { config, clock, telemetry } = this.#options;
    if (this.#closing) return "authentication-busy";
    const before = this.#gateOf.get(deviceId);
    if (before === undefined || before.destroyed) {
      return this.#gates.size < config.limits.connectionsMax ? undefined : "connections-full";
    }
    if (!this.#takeovers.take(deviceId, clock.monotonicMs())) return "takeovers-too-many";
    const [remote, previous] = [socket.remoteAddress ?? "unknown", before.remoteAddress];
    telemetry.emit(takenOver, { deviceId, remote, previous });
    return undefined;
  }

  #admit(socket: Socket, deviceId: string): void {
    const { config, clock, telemetry } = this.#options;
    this.#sessions.get(deviceId)?.close();
    this.#gateOf.get(deviceId)?.destroy();
    const gate = new PacketGate(socket, {
      budget: this.#budget,
      packetBytesMax: config.limits.packetBytesMax,
      packetMsMax: config.limits.packetMsMax,
      monotonicMs: () => clock.monotonicMs(),
      onViolation: (at, code, bytes) => {
        telemetry.emit(connectionCut, { code, deviceId, bytes, remote: at.remoteAddress });
      },
    });
    this.#gates.add(gate);
    this.#gateOf.set(deviceId, gate);
    this.#deviceOf.set(gate, deviceId);
    const client = this.#aedes?.handle(gate);
    gate.once("close", () => {
      this.#gates.delete(gate);
      if (this.#gateOf.get(deviceId) === gate) this.#gateOf.delete(deviceId);
      const session = client && this.#byClient.get(client);
      if (session === undefined) return;
      session.close();
      if (this.#sessions.get(session.deviceId) === session) this.#sessions.delete(session.deviceId);
      telemetry.emit(disconnected, { deviceId: session.deviceId, cause: gate.errored?.message ?? "closed" });
    });
  }

  /** aedes has read the CONNECT packet that preauth.ts had read before. Whether it found the same device in it, still there. */
  #startSession(client: Client): boolean {
    const gate = client.conn as PacketGate;
    const deviceId = this.#deviceOf.get(gate);
    if (deviceId === undefined || deviceId !== client.id || gate.destroyed || this.#closing) return false;
    const session = new Session(deviceId, client, gate, this.#options.config.limits.resultsQueuedMax);
    this.#sessions.set(deviceId, session);
    this.#byClient.set(client, session);
    const { rates } = this.#options;
    gate.authenticated(this.#chargeOf(deviceId), () => rates.of(deviceId).debtMs(rates.nowMs));
    this.#options.telemetry.emit(connected, { deviceId, remote: gate.remoteAddress });
    return true;
  }

  #publish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const session = client === null ? undefined : this.#byClient.get(client);
    // A will does not pass the gate. It only announces the session's end, which is known: it is dropped here.
    if (session === undefined || (client as AnyClient).will === packet) {
      done(new Error("not published"));
      return;
    }
    const { topic, qos, retain } = packet;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    packet.retain = false; // nothing a device publishes is retained by aedes
    packet.payload = EMPTY; // a QoS 2 handshake would hold it
    const grant = session.gate.nextGrant();
    const { whole } = grant;
    const uplink = { principal: session.deviceId, topic, payload, qos, retain, ...(whole && { whole }) };
    // aedes reads on when a packet is done. In the middle of the bytes that it parses, its parser would lose the bounds of packets.
    let isParsing = true;
    const end = () => (isParsing ? process.nextTick(done) : done());
    const isTaken = this.#options.ingest.take(session, uplink, end, () => grant.release());
    grant.charged();
    if (!isTaken) {
      packet.qos = 0; // aedes ends without a PUBACK (ingest.ts I5), and reads on: a keep-alive must be answered
      end();
    }
    isParsing = false;
  }

  #chargeOf(deviceId: string): (bytes: number) => number {
    const { rates, onThrottled, config } = this.#options;
    const messagesIn = (ms: number) => (ms / 1_000) * config.limits.perDevice.messagesPerSecondMax;
    return (bytes) => {
      const mine = rates.of(deviceId);
      const { nowMs } = rates;
      const [messagesMs, bytesMs] = [mine.messages.charge(1, nowMs), mine.bytes.charge(bytes, nowMs)];
      if (messagesMs > 0) onThrottled(deviceId, "messages", A_MESSAGE_HELD * messagesIn(messagesMs));
      if (bytesMs > 0) onThrottled(deviceId, "bytes");
      return Math.max(messagesMs, bytesMs);
    };
  }

  /** Ends the session of a device with too many subscriptions. */
  #maySubscribeNow(session: Session): boolean {
    if (session.isClosed) return false;
    const { rates, onThrottled, telemetry } = this.#options;
    const { deviceId, gate } = session;
    if (rates.of(deviceId).subscriptions.take(1, rates.nowMs)) return true;
    onThrottled(deviceId, "subscriptions", THROTTLED_FROM);
    telemetry.emit(connectionCut, { code: "subscribes-too-many", deviceId, bytes: 0, remote: gate.remoteAddress });
    session.close();
    gate.destroy();
    return false;
  }

  #subscribed(client: Client, subscriptions: readonly Subscription[]): void {
    const session = this.#byClient.get(client);
    const granted = subscriptions.filter(({ qos }) => (qos as number) !== REFUSED).map(({ topic }) => topic);
    if (session !== undefined && !session.isClosed) this.#options.onSubscribed(session, granted);
  }

  #gauges(): void {
    const { telemetry, ingest } = this.#options;
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_bridge_${name}`, help }, read);
    gauge("connections", "Open connections", () => this.#gates.size + this.#preAuth.size);
    gauge("unauthenticated", "Connections that are not authenticated yet", () => this.#preAuth.size);
    gauge("unauthenticated_bytes", "What those sent and the bridge holds", () => this.#preAuth.bytes);
    const devices = { name: "tributary_bridge_device_takeovers", help: "Recent takeovers and attempts at them" };
    telemetry.gauge({ ...devices, labels: ["device"] }, () =>
      this.#takeovers
        .most(TAKEOVERS_NAMED_MAX, this.#options.clock.monotonicMs())
        .map(({ deviceId, takeovers }) => ({ labels: { device: deviceId }, value: takeovers })),
    );
    gauge("sessions", "Authenticated devices", () => this.#sessions.size);
    gauge("in_flight_messages", "Received and not yet stored", () => ingest.inFlight);
    gauge("in_flight_bytes", "Bytes granted to messages on their way", () => this.#budget.usedBytes);
    gauge("connections_waiting", "Connections not read until others are stored", () => this.#budget.waiters);
  }
}

const EMPTY = Buffer.alloc(0);
/** SUBACK's failure code. */
const REFUSED = 0x80;
