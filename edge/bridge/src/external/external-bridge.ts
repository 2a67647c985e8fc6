/**
 * A bridge behind a broker that is not ours (any that speaks MQTT 5), one of several that share its devices' messages.
 *
 * A message is acknowledged to the broker after Kafka's ack (ingest.ts I1); the device gets the acknowledgement after which it
 * may delete a record on down/acks, which names exactly the records that this bridge stored, dead letters included (G1, G8).
 * The sender of a message is the device of its topic: the broker's ACL guarantees that, and nothing is taken before a rogue was
 * refused (probe.ts). A revoked device is refused here as well. When Kafka does not take a message, the connection ends
 * unacknowledged, and the broker sends it again. On a stop it leaves the group, stores and acknowledges messages in flight,
 * and then closes the connection. */
import { DeviceAcks, mqttTopics, parseMqttTopic, topics } from "@tributary/contracts";
import {
  type BatchSource,
  type Following,
  follow,
  followAll,
  type PartitionReader,
  type RecordSink,
} from "@tributary/kafka";
import { type Clock, Failure, isValidId, type Random, reasonOf } from "@tributary/kernel";
import { type Received, SharedLink } from "@tributary/mqtt";
import { ThrottleTracker } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { DeviceDirectory } from "../auth.ts";
import type { BridgeConfig } from "../config.ts";
import { DownlinkState } from "../downlink.ts";
import { availabilityChanged, stateRebuilt } from "../events.ts";
import { Ingest, type IngestOptions } from "../ingest.ts";
import { RatesByDevice } from "../rates.ts";
import type { RetentionGuard } from "../retention/retention-guard.ts";
import { deviceOfTopic, type Routes, routeOf, subscriptionOf } from "../routes.ts";
import type { Refusal, Uplink } from "../uplink.ts";
import { DownlinkGroup } from "./downlink-group.ts";
import { acksDropped, brokerOffline, brokerOnline, brokerRefused, deviceTrustsBroker, downRefused } from "./events.ts";
import { PendingAcks, storedRecordOf } from "./pending-acks.ts";
import { PROBE_STREAM, refuseOpenBroker } from "./probe.ts";
import { type ExternalSettings, externalSettings } from "./settings.ts";

export type ExternalBridgeOptions = {
  readonly config: BridgeConfig;
  readonly routes?: Routes;
  readonly sink: RecordSink;
  readonly reader: PartitionReader;
  /** Of classifications, in the bridges' group. */
  readonly answers: BatchSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly learn?: IngestOptions["learn"];
  readonly retention?: RetentionGuard;
  /** The group's consumer ended by an error. */
  readonly onCrash: (error: unknown) => void;
};

/** Acknowledgements that wait for the broker. */
const ACKS_MAX = 100_000;
const UNKNOWN_DEVICE = "unknown";

export class ExternalBridge {
  readonly #options: ExternalBridgeOptions;
  readonly #settings: ExternalSettings;
  readonly #directory = new DeviceDirectory();
  readonly #state = new DownlinkState();
  readonly #pendingAcks = new PendingAcks(ACKS_MAX);
  readonly #ingest: Ingest;
  readonly #link: SharedLink;
  readonly #group: DownlinkGroup;
  readonly #topics: ReturnType<typeof mqttTopics>;
  readonly #throttled: ThrottleTracker;
  readonly #stop = new AbortController();
  #following: Following | undefined;
  #publishing: NodeJS.Timeout | undefined;
  #isOpen = false;

  constructor(options: ExternalBridgeOptions) {
    const { config, sink, routes, clock, random, telemetry } = options;
    const settings = externalSettings(config.mqtt);
    this.#options = options;
    this.#settings = settings;
    this.#topics = mqttTopics(config.mqtt.prefix);
    this.#throttled = new ThrottleTracker({ reporter: "bridge", sink, clock, telemetry });
    this.#ingest = new Ingest({
      sink,
      rates: new RatesByDevice(config.limits.perDevice, () => clock.monotonicMs()),
      onThrottled: this.#throttled.note.bind(this.#throttled),
      ...(routes && { routes }),
      clock,
      telemetry,
      limits: config.limits,
      mqttPrefix: config.mqtt.prefix,
      learn: options.learn,
      admit: (uplink) => this.#admit(uplink),
      onStored: (uplink) => this.#stored(uplink),
      onAvailability: (deviceId, state) => telemetry.emit(availabilityChanged, { deviceId, state }),
    });
    const anyDevice = `$share/${settings.shareName}/${config.mqtt.prefix}/v1/+`;
    this.#link = new SharedLink(
      {
        ...settings,
        subscriptions: [
          `${anyDevice}/up/#`,
          `${anyDevice}/availability`,
          ...config.routes.map((route) => `$share/${settings.shareName}/${subscriptionOf(route)}`),
        ],
        packetBytesMax: config.limits.packetBytesMax,
        inFlightBytesMax: config.limits.inFlightBytesMax,
        startMsMax: config.limits.startMsMax,
      },
      {
        onOnline: ({ sessionPresent }) => {
          telemetry.emit(brokerOnline, { url: settings.url, sessionPresent });
          this.#group.online();
        },
        onOffline: (offline) => telemetry.emit(brokerOffline, offline),
        onMessage: (message) => this.#take(message),
        onPublishRefused: (refused) => telemetry.emit(downRefused, refused),
      },
      clock,
      random,
    );
    this.#group = new DownlinkGroup({
      source: options.answers,
      state: this.#state,
      isRevoked: (deviceId) => this.#directory.get(deviceId)?.status === "REVOKED",
      checkRequestedAt: (deviceId) => this.#directory.get(deviceId)?.checkRequestedAt ?? null,
      prefix: config.mqtt.prefix,
      publish: (topic, payload, how) => this.#link.publish(topic, payload, how),
      isOnline: () => this.#link.online,
      clock,
      telemetry,
    });
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_bridge_${name}`, help }, read);
    gauge("broker_online", "1 while subscribed at the broker", () => (this.#link.online ? 1 : 0));
    gauge("in_flight_messages", "Received and not yet stored", () => this.#ingest.inFlight);
    gauge("acks_waiting", "Stored records that are not yet acknowledged to devices", () => this.#pendingAcks.size);
  }

  /** Why devices are not served; undefined while they are. */
  get notReady(): string | undefined {
    if (!this.#isOpen) return "rebuilding what is retained from Kafka, and trying the broker";
    return this.#link.online ? undefined : "the broker is away";
  }

  /** What does not work as it should, though devices are served. Nothing is held here: all devices share one connection. */
  get degraded(): string | undefined {
    const behind = this.#options.retention?.degraded;
    return behind && "records that no router has read come near the end of retention; start routers";
  }

  /** Resolves once messages are taken. */
  async start(): Promise<undefined> {
    const { telemetry, clock } = this.#options;
    const startedAt = clock.monotonicMs();
    await Promise.all([this.#follow(), this.#options.retention?.start()]);
    telemetry.emit(stateRebuilt, {
      devices: this.#directory.size,
      policies: this.#state.policies,
      ms: clock.monotonicMs() - startedAt,
    });
    try {
      await this.#tryBroker();
      await this.#link.start();
    } catch (error) {
      const code = error instanceof Failure ? error.code : "unexpected";
      telemetry.emit(brokerRefused, { code, reason: reasonOf(error) });
      throw error;
    }
    this.#group.run().catch(this.#options.onCrash);
    this.#throttled.start();
    this.#isOpen = true;
    return undefined;
  }

  async close(): Promise<void> {
    const { reader, sink, routes, clock, config, retention } = this.#options;
    const graceMs = config.limits.shutdownMsMax;
    await this.#group.close();
    await this.#link.stop(graceMs, () => this.#publishAcks());
    this.#stop.abort();
    await this.#throttled.stop();
    clearTimeout(this.#publishing);
    const done = new AbortController();
    const late = clock.sleep(graceMs, done.signal).catch(() => {});
    const clients = [sink, reader, ...(routes === undefined ? [] : [routes.sink, routes.reader])];
    const ends = [...clients.map((client) => client.close()), this.#following?.ended, retention?.close()];
    await Promise.race([Promise.allSettled(ends), late]);
    done.abort();
  }

  async #follow(): Promise<void> {
    const { telemetry } = this.#options;
    const context = { ...this.#options, signal: this.#stop.signal };
    let isRebuilt = false;
    this.#following = await followAll([
      follow(context, topics.registry, (registration, { key }) => {
        this.#directory.apply(key ?? "", registration);
        this.#group.due(key ?? "");
      }),
      follow(context, topics.policies, (policy, { key }) => {
        this.#group.modelDue(this.#state.applyPolicy(key ?? "", policy));
      }),
      follow(context, topics.policyVersions, (policy, { key }) => {
        this.#group.modelDue(this.#state.applyPolicyVersion(key ?? "", policy));
      }),
      follow(context, topics.reported, (reported, { key, partition }) => {
        const deviceId = key ?? "";
        this.#state.applyReported(deviceId, reported);
        this.#group.reported(deviceId, partition);
        const accepted = reported?.acceptedSchemas ?? [];
        const waits = DeviceAcks.versions.some(({ fingerprint }) => accepted.includes(fingerprint));
        if (isRebuilt && accepted.length > 0 && !waits) telemetry.emit(deviceTrustsBroker, { deviceId });
      }),
      follow(context, topics.desired, (desired, { key, value }) => {
        const deviceId = key ?? "";
        this.#state.applyDesired(deviceId, desired, value);
        this.#group.due(deviceId);
      }),
    ]);
    await this.#following.caughtUp;
    isRebuilt = true;
  }

  /** Uses a connection without subscriptions, so that nothing is taken meanwhile. */
  async #tryBroker(): Promise<void> {
    const { clock, random, telemetry, config } = this.#options;
    const settings = this.#settings;
    const { packetBytesMax, inFlightBytesMax, startMsMax } = config.limits;
    // Messages of the session may arrive here, too; unacknowledged, they are delivered again.
    const onMessage = ({ release }: Received) => release();
    const quiet = { onOnline: () => {}, onOffline: () => {}, onMessage, onPublishRefused: () => {} };
    const link = new SharedLink(
      { ...settings, subscriptions: [], packetBytesMax, inFlightBytesMax, startMsMax },
      quiet,
      clock,
      random,
    );
    try {
      await link.start();
      await refuseOpenBroker({
        settings,
        prefix: config.mqtt.prefix,
        publish: (topic) => link.publish(topic, Buffer.alloc(0)),
        clock,
        random,
        telemetry,
        signal: this.#stop.signal,
      });
    } finally {
      await link.stop(0);
    }
  }

  #take(message: Received): void {
    const { topic, payload, qos, retain, isStale, acknowledge, release } = message;
    const { config } = this.#options;
    const parsed = parseMqttTopic(topic, config.mqtt.prefix);
    const isProbe = parsed?.kind === "up" && parsed.stream === PROBE_STREAM && payload.length === 0;
    if (isProbe) {
      acknowledge();
      release();
      return;
    }
    const principal = parsed?.deviceId ?? this.#routedDevice(topic) ?? UNKNOWN_DEVICE;
    const sender = {
      deviceId: principal,
      get isClosed() {
        return isStale();
      },
      isShared: true,
      begin: (settle: () => void) => settle,
      // A late failure is of a connection that has ended already.
      close: () => {
        if (!isStale()) this.#link.drop(`a record of ${principal} is not stored yet`);
      },
    };
    const uplink: Uplink = { principal, topic, payload, qos, retain };
    this.#ingest.take(sender, uplink, acknowledge, release);
  }

  #admit({ principal }: Uplink): Refusal | undefined {
    const refused = { kind: "refuse", stream: "unknown" } as const;
    if (!isValidId(principal)) return { ...refused, reason: "device-malformed", message: "its device is no device id" };
    if (this.#directory.get(principal)?.status !== "REVOKED") return undefined;
    return { ...refused, reason: "device-revoked", message: "the registry has revoked this device" };
  }

  /** The device that a route's topic names, which the broker's ACL guarantees. */
  #routedDevice(topic: string): string | undefined {
    for (const config of this.#options.config.routes) {
      const device = deviceOfTopic(config, topic);
      if (device !== undefined && routeOf(this.#options.routes?.list ?? [], topic, device) !== undefined) return device;
    }
    return undefined;
  }

  #stored(uplink: Uplink): void {
    const record = storedRecordOf(uplink, this.#options.config.mqtt.prefix);
    if (record === undefined) return;
    const { deviceId, stream } = record;
    if (!this.#pendingAcks.add(record)) this.#options.telemetry.emit(acksDropped, { deviceId, stream, cause: "full" });
    this.#publishing ??= setTimeout(() => void this.#publishAcks(), this.#settings.ackDelayMs);
  }

  /** One round at a time; acknowledgements that arrive meanwhile form the next. */
  async #publishAcks(): Promise<void> {
    const codec = DeviceAcks;
    const published = this.#pendingAcks.take().map(async (acks) => {
      const { deviceId, stream } = acks;
      const payload = codec.encodeSingleObject(acks, this.#state.versionFor(deviceId, codec));
      const isPublished = await this.#link.publish(this.#topics.acks(deviceId), payload);
      if (!isPublished) this.#options.telemetry.emit(acksDropped, { deviceId, stream, cause: "broker" });
    });
    await Promise.all(published);
    const isMore = this.#pendingAcks.size > 0 && !this.#stop.signal.aborted;
    this.#publishing = isMore ? setTimeout(() => void this.#publishAcks(), this.#settings.ackDelayMs) : undefined;
  }
}
