/**
 * The MQTT side: aedes behind gates. It decides nothing itself; identity is auth.ts's, messages are ingest.ts's.
 *
 * aedes writes the PUBACK after `authorizePublish` and before it publishes, so Kafka is awaited inside it (ADR 2).
 * Nobody subscribes to what devices publish, so behind the PUBACK a message's way ends.
 *
 * M1. One session per device; a second connection takes over (MQTT-3.1.4-2).
 * M2. Sessions are clean: nothing is queued for a device that is away; retained state waits in Kafka.
 * M3. Connections, packets and bytes in flight are bounded (G9).
 * M4. A last will is the device's own `offline` and nothing else.
 */
import { createServer, type Server, type Socket } from "node:net";
import { parseMqttTopic } from "@tributary/contracts";
import { type Clock, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import {
  Aedes,
  type AuthenticateError,
  type Client,
  type ConnectPacket,
  type PublishPacket,
  type Subscription,
} from "aedes";
import { type ConnectRefusal, maySubscribe, returnCodeOf } from "./auth.ts";
import { ByteBudget } from "./budget.ts";
import type { BridgeConfig } from "./config.ts";
import { brokerFault, connected, connectionCut, connectRefused, disconnected, subscribeRefused } from "./events.ts";
import { PacketGate } from "./gate.ts";
import type { Ingest } from "./ingest.ts";
import { Session } from "./session.ts";

export type BrokerOptions = {
  readonly config: BridgeConfig;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly ingest: Ingest;
  readonly authenticate: (
    clientId: string,
    user: string | undefined,
    password: Buffer | undefined,
  ) => Promise<ConnectRefusal | undefined>;
  /** A device subscribed: it wants what is retained for it. */
  readonly onSubscribed: (session: Session, filters: readonly string[]) => void;
};

type AnyClient = Client & { will?: unknown };

const SWEEP_MS = 1_000;

export class Broker {
  readonly #options: BrokerOptions;
  readonly #budget: ByteBudget;
  readonly #server: Server;
  readonly #gates = new Set<PacketGate>();
  readonly #sessions = new Map<string, Session>();
  readonly #byClient = new WeakMap<Client, Session>();
  #aedes: Aedes | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { limits } = options.config;
    this.#budget = new ByteBudget(limits.inFlightBytesMax, limits.clientBytesMax);
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) =>
      this.#accept(socket),
    );
    this.#server.maxConnections = limits.connectionsMax; // M3
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
      preConnect: (client, packet, done) => this.#preConnect(client, packet, done),
      authenticate: (client, user, password, done) => {
        void this.#authenticate(client, user, password).then((error) => done(error, error === null));
      },
      authorizePublish: (client, packet, done) => this.#publish(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        const session = this.#byClient.get(client);
        if (session !== undefined && maySubscribe(session.deviceId, subscription.topic, mqtt.prefix)) {
          return done(null, subscription);
        }
        const filter = subscription.topic.slice(0, 200);
        this.#options.telemetry.emit(subscribeRefused, { deviceId: client.id, filter });
        done(null, null); // REFUSED
      },
    } as ConstructorParameters<typeof Aedes>[0]);
    const publish = aedes.publish.bind(aedes) as (...args: unknown[]) => void;
    // What devices publish ends at Kafka; only aedes' own housekeeping goes on.
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
      this.#server.listen(mqtt.port, mqtt.host, () => resolve());
    });
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : mqtt.port;
  }

  /** Takes no more, lets what is in flight be stored and acknowledged, at most `shutdownMsMax`, and ends. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#sweeper);
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

  #accept(socket: Socket): void {
    const { config, clock, telemetry } = this.#options;
    const gate = new PacketGate(socket, {
      budget: this.#budget,
      packetBytesMax: config.limits.packetBytesMax,
      packetMsMax: config.limits.packetMsMax,
      monotonicMs: () => clock.monotonicMs(),
      onViolation: (at, code, bytes) => {
        telemetry.emit(connectionCut, { code, deviceId: client?.id ?? "unknown", bytes, remote: at.remoteAddress });
      },
    });
    this.#gates.add(gate);
    const client = this.#aedes?.handle(gate);
    gate.once("close", () => {
      this.#gates.delete(gate);
      const session = client && this.#byClient.get(client);
      if (session === undefined) return;
      session.close();
      if (this.#sessions.get(session.deviceId) === session) this.#sessions.delete(session.deviceId);
      telemetry.emit(disconnected, { deviceId: session.deviceId, cause: gate.errored?.message ?? "closed" });
    });
  }

  #preConnect(client: Client, packet: ConnectPacket, done: (error: Error | null, success: boolean) => void): void {
    const { will } = packet;
    if (will !== undefined && will !== null) {
      const topic = parseMqttTopic(will.topic, this.#options.config.mqtt.prefix);
      const isOwn = topic?.kind === "availability" && topic.deviceId === packet.clientId;
      if (!isOwn || Buffer.from(will.payload).toString("latin1") !== "offline") {
        this.#refuse(client, packet.clientId, "will-not-availability"); // M4
        done(new Error("the last will is not the device's own availability"), false);
        return;
      }
    }
    packet.clean = true; // M2
    done(null, true);
  }

  async #authenticate(
    client: Client,
    user: string | undefined,
    password: Buffer | undefined,
  ): Promise<AuthenticateError | null> {
    const refusal = await this.#options.authenticate(client.id, user, password);
    const gate = client.conn as PacketGate;
    if (refusal !== undefined) {
      this.#refuse(client, client.id, refusal);
      return Object.assign(new Error(refusal), { returnCode: returnCodeOf(refusal) });
    }
    if (gate.destroyed || this.#closing) return Object.assign(new Error("gone"), { returnCode: 3 });
    this.#sessions.get(client.id)?.close(); // M1
    const session = new Session(client.id, client, gate, this.#options.config.limits.resultsQueuedMax);
    this.#sessions.set(client.id, session);
    this.#byClient.set(client, session);
    gate.authenticated();
    this.#options.telemetry.emit(connected, { deviceId: client.id, remote: gate.remoteAddress });
    return null;
  }

  #refuse(client: Client, clientId: string, code: string): void {
    const remote = (client.conn as PacketGate).remoteAddress;
    this.#options.telemetry.emit(connectRefused, { code, clientId: JSON.stringify(clientId.slice(0, 64)), remote });
  }

  #publish(client: Client | null, packet: PublishPacket, done: (error?: Error | null) => void): void {
    const session = client === null ? undefined : this.#byClient.get(client);
    // A will comes without having passed the gate. It says that the session has ended, which we know: it ends here.
    if (session === undefined || (client as AnyClient).will === packet) {
      done(new Error("not published"));
      return;
    }
    const { topic, qos, retain } = packet;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    packet.retain = false; // nothing a device publishes is retained by aedes
    packet.payload = EMPTY; // a QoS 2 handshake would hold it
    const grant = session.gate.nextGrant();
    const uplink = { principal: session.deviceId, topic, payload, qos, retain };
    this.#options.ingest.take(session, uplink, done, () => grant.release());
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
    gauge("connections", "Open connections", () => this.#gates.size);
    gauge("sessions", "Authenticated devices", () => this.#sessions.size);
    gauge("in_flight_messages", "Received and not yet stored", () => ingest.inFlight);
    gauge("in_flight_bytes", "Bytes granted to messages on their way", () => this.#budget.usedBytes);
    gauge("connections_waiting", "Connections not read until others are stored", () => this.#budget.waiters);
  }
}

const EMPTY = Buffer.alloc(0);
/** SUBACK's failure code. */
const REFUSED = 0x80;
