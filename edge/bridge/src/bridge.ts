/**
 * The embedded bridge: devices on one side, Kafka on the other, without state of its own that Kafka does not have.
 *
 * No device is admitted before the registry, the policies, the reported and the desired states are read to their ends. On a
 * stop it takes no new messages, stores and acknowledges those in flight, and then closes the connections. */
import { type Classifications, type Codec, mqttTopics, topics } from "@tributary/contracts";
import { type Following, follow, followAll, type PartitionReader, type RecordSink } from "@tributary/kafka";
import { type Clock, type Random } from "@tributary/kernel";
import { sampleKeyOf, ThrottleTracker } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { authenticate, DeviceDirectory } from "./auth.ts";
import { Broker } from "./broker.ts";
import type { BridgeConfig } from "./config.ts";
import { answersOfSentFrames, DownlinkState, isSameDesired } from "./downlink.ts";
import { availabilityChanged, downlinkDropped, downlinkSent, stateRebuilt } from "./events.ts";
import { Ingest, type IngestOptions } from "./ingest.ts";
import { jsonResults } from "./json-results.ts";
import { PasswordChecker } from "./password.ts";
import { RatesByDevice } from "./rates.ts";
import type { RetentionGuard } from "./retention/retention-guard.ts";
import type { Routes } from "./routes.ts";
import type { Session } from "./session.ts";
import { traceDownlink } from "./spans.ts";

export type BridgeOptions = {
  readonly config: BridgeConfig;
  /** Needed if the configuration has routes. */
  readonly routes?: Routes;
  readonly sink: RecordSink;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly learn?: IngestOptions["learn"];
  readonly retention?: RetentionGuard;
};

export class Bridge {
  readonly #options: BridgeOptions;
  readonly #directory = new DeviceDirectory();
  readonly #passwords: PasswordChecker;
  readonly #downlink = new DownlinkState();
  readonly #ingest: Ingest;
  readonly #throttled: ThrottleTracker;
  readonly #broker: Broker;
  readonly #down: ReturnType<typeof mqttTopics>;
  readonly #stop = new AbortController();
  #following: Following | undefined;
  #port: number | undefined;

  constructor(options: BridgeOptions) {
    const { config, sink, clock, telemetry } = options;
    this.#options = options;
    this.#passwords = new PasswordChecker(this.#directory, config.limits.authenticationsMax);
    this.#down = mqttTopics(config.mqtt.prefix);
    const rates = new RatesByDevice(config.limits.perDevice, () => clock.monotonicMs());
    this.#throttled = new ThrottleTracker({ reporter: "bridge", sink, clock, telemetry });
    const onThrottled = this.#throttled.note.bind(this.#throttled);
    this.#ingest = new Ingest({
      sink,
      rates,
      onThrottled,
      ...(options.routes && { routes: options.routes }),
      ...(options.retention && { retention: options.retention }),
      clock,
      telemetry,
      limits: config.limits,
      mqttPrefix: config.mqtt.prefix,
      learn: options.learn,
      onAvailability: (deviceId, state) => telemetry.emit(availabilityChanged, { deviceId, state }),
    });
    this.#broker = new Broker({
      config,
      clock,
      telemetry,
      ingest: this.#ingest,
      rates,
      onThrottled,
      authenticate: (connect, origin) => authenticate(connect, origin, this.#directory, this.#passwords),
      onSubscribed: (session, filters) => {
        const policy = this.#down.policy(session.deviceId);
        const desired = this.#down.desired(session.deviceId);
        const check = this.#down.check(session.deviceId);
        const parent = policy.slice(0, policy.lastIndexOf("/"));
        const covers = (topic: string) => [topic, `${parent}/#`, `${parent}/+`].some((one) => filters.includes(one));
        if (covers(policy)) this.#sendPolicy(session);
        if (covers(desired)) this.#sendDesired(session);
        if (covers(check)) this.#sendCheck(session);
        this.#sendSampleKey(session, filters);
      },
    });
  }

  /** The MQTT port once devices are admitted; undefined before. */
  get port(): number | undefined {
    return this.#port;
  }

  /** Why devices are not served; undefined while they are. */
  get notReady(): string | undefined {
    return this.#port === undefined ? "rebuilding what is retained from Kafka" : undefined;
  }

  /** What does not work as it should, though devices are served. */
  get degraded(): string | undefined {
    return this.#options.retention?.degraded;
  }

  /** Resolves with the MQTT port once devices are admitted. */
  async start(): Promise<number> {
    const { telemetry, clock } = this.#options;
    const startedAt = clock.monotonicMs();
    const { signal } = this.#stop;
    const context = { ...this.#options, signal };
    this.#following = await followAll([
      follow(context, topics.registry, (registration, { key }) => {
        const deviceId = key ?? "";
        const session = this.#broker.session(deviceId);
        if (this.#directory.apply(deviceId, registration)) {
          this.#passwords.forget(deviceId);
          session?.close();
        } else if (session !== undefined) this.#sendChangedCheck(session);
      }),
      follow(context, topics.policies, (policy, { key }) => {
        this.#sendChangedPolicies(this.#downlink.applyPolicy(key ?? "", policy));
      }),
      follow(context, topics.policyVersions, (policy, { key }) => {
        this.#sendChangedPolicies(this.#downlink.applyPolicyVersion(key ?? "", policy));
      }),
      follow(context, topics.reported, (reported, { key }) => {
        this.#downlink.applyReported(key ?? "", reported);
        const session = this.#broker.session(key ?? "");
        if (session === undefined) return;
        this.#sendChangedPolicy(session);
        this.#sendChangedDesired(session);
      }),
      follow(context, topics.desired, (desired, { key, value }) => {
        const deviceId = key ?? "";
        this.#downlink.applyDesired(deviceId, desired, value);
        const session = this.#broker.session(deviceId);
        if (session === undefined) return;
        this.#sendChangedPolicy(session);
        this.#sendChangedDesired(session);
      }),
      follow(
        context,
        topics.classifications,
        (classified, { key }) => {
          const session = this.#broker.session(key ?? "");
          if (session !== undefined && classified !== null) this.#sendResults(session, classified);
        },
        { newest: 0, wants: ({ key }) => this.#broker.session(key ?? "") !== undefined },
      ),
    ]);
    await Promise.all([this.#following.caughtUp, this.#options.retention?.start()]);
    telemetry.emit(stateRebuilt, {
      devices: this.#directory.size,
      policies: this.#downlink.policies,
      ms: clock.monotonicMs() - startedAt,
    });
    this.#throttled.start();
    this.#port = await this.#broker.listen();
    return this.#port;
  }

  async close(): Promise<void> {
    await this.#broker.close();
    await this.#throttled.stop();
    this.#stop.abort();
    const { reader, sink, routes, clock, config, retention } = this.#options;
    // A message that Kafka does not take was never acknowledged, so the device still has it.
    const done = new AbortController();
    const late = clock.sleep(config.limits.shutdownMsMax, done.signal).catch(() => {});
    const clients = [sink, reader, ...(routes === undefined ? [] : [routes.sink, routes.reader])];
    const ends = [...clients.map((client) => client.close()), this.#following?.ended, retention?.close()];
    await Promise.race([Promise.allSettled(ends), late]);
    done.abort();
  }

  #sendChangedPolicies(digests: readonly string[]): void {
    for (const session of this.#broker.sessions) {
      if (digests.includes(this.#downlink.modelOf(session.deviceId) ?? "")) this.#sendChangedPolicy(session);
    }
  }

  #sendChangedPolicy(session: Session): void {
    const policy = this.#downlink.policyOf(session.deviceId);
    const topic = this.#down.policy(session.deviceId);
    if (policy?.policyVersion !== session.policyVersion && session.isSubscribed(topic)) this.#sendPolicy(session);
  }

  #sendPolicy(session: Session): void {
    const policy = this.#downlink.policyOf(session.deviceId);
    if (policy === undefined && session.policyVersion === undefined) return;
    session.policyVersion = policy?.policyVersion;
    // An empty retained message means: there is none any more.
    const payload = policy === undefined ? Buffer.alloc(0) : this.#downlink.encodedPolicy(session.deviceId, policy);
    session.sendRetained(this.#down.policy(session.deviceId), payload);
    this.#sent(session, "policy", payload);
  }

  #sendChangedDesired(session: Session): void {
    const now = this.#downlink.desiredOf(session.deviceId);
    if (now === undefined || isSameDesired(session.desired, now)) return;
    if (session.isSubscribed(this.#down.desired(session.deviceId))) this.#sendDesired(session);
  }

  #sendDesired(session: Session): void {
    const now = this.#downlink.desiredOf(session.deviceId);
    if (now === undefined || (now.record === undefined && session.desired?.record === undefined)) return;
    session.desired = now;
    const payload = this.#downlink.encodedDesired(now);
    session.sendRetained(this.#down.desired(session.deviceId), payload);
    this.#sent(session, "desired", payload);
  }

  #sendChangedCheck(session: Session): void {
    const { deviceId, checkRequestedAt } = session;
    if (this.#directory.get(deviceId)?.checkRequestedAt === checkRequestedAt) return;
    if (session.isSubscribed(this.#down.check(deviceId))) this.#sendCheck(session);
  }

  #sendCheck(session: Session): void {
    const { deviceId } = session;
    const at = this.#directory.get(deviceId)?.checkRequestedAt ?? null;
    if (at === null) return;
    session.checkRequestedAt = at;
    const payload = Buffer.from(String(at));
    session.sendRetained(this.#down.check(deviceId), payload);
    this.#sent(session, "check", payload);
  }

  /** The key that its draws are verified by (ADR 34). */
  #sendSampleKey(session: Session, filters: readonly string[]): void {
    const { deviceId } = session;
    const registration = this.#directory.get(deviceId);
    if (registration === undefined) return;
    const key = sampleKeyOf(deviceId, registration.passwordHash);
    const send = (topic: string, payload: Buffer) => {
      session.sendRetained(topic, payload);
      this.#sent(session, "sampling", payload);
    };
    const [avro, json] = [this.#down.sampling(deviceId), this.#down.samplingJson(deviceId)];
    const parent = avro.slice(0, avro.lastIndexOf("/"));
    if ([avro, `${parent}/#`, `${parent}/+`].some((one) => filters.includes(one))) send(avro, key);
    if (filters.includes(json)) send(json, Buffer.from(JSON.stringify({ key: key.toString("base64") })));
  }

  #sendResults(session: Session, record: Classifications): void {
    const { deviceId } = session;
    const [avro, json] = [this.#down.results(deviceId), this.#down.resultsJson(deviceId)];
    const wants = { avro: session.isSubscribed(avro), json: session.isSubscribed(json) };
    const answers = wants.avro || wants.json ? answersOfSentFrames(record) : undefined;
    if (answers === undefined) return;
    const { traced, end } = traceDownlink(this.#options.telemetry.tracer, answers);
    if (wants.avro) {
      const codec: Codec<Classifications> = topics.classifications.codec;
      const payload = codec.encodeSingleObject(traced, this.#downlink.versionFor(deviceId, codec));
      this.#sendResult(session, avro, payload);
    }
    if (wants.json) for (const payload of jsonResults(traced)) this.#sendResult(session, json, payload);
    end();
  }

  #sendResult(session: Session, topic: string, payload: Buffer): void {
    const { telemetry } = this.#options;
    const { deviceId } = session;
    if (session.sendResult(topic, payload) > 0) telemetry.emit(downlinkDropped, { deviceId, channel: "results" });
    this.#sent(session, "results", payload);
  }

  #sent(session: Session, channel: string, payload: Buffer): void {
    this.#options.telemetry.emit(downlinkSent, { deviceId: session.deviceId, channel, bytes: payload.length });
  }
}
