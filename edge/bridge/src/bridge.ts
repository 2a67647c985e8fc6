/**
 * The embedded bridge, put together: devices on one side, Kafka on the other, nothing kept in between but what Kafka
 * can give again.
 *
 * R1. No device is let in before the registry, the policies and the reported states are read to their ends.
 * R2. The end is orderly: no new messages, those in flight are stored and acknowledged, then the connections close.
 */
import {
  type Classifications,
  type Codec,
  mqttTopics,
  type RoutingPolicy,
  type Topic,
  topics,
  uplinkStreams,
} from "@tributary/contracts";
import type { InRecord, PartitionReader, RecordSink } from "@tributary/kafka";
import { backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { authenticate, DeviceDirectory } from "./auth.ts";
import { Broker } from "./broker.ts";
import type { BridgeConfig } from "./config.ts";
import { deadLetterTopics } from "./dead-letter.ts";
import { answersOfSentFrames, DownlinkState } from "./downlink.ts";
import {
  availabilityChanged,
  downlinkDropped,
  downlinkSent,
  losesData,
  recordUnusable,
  stateRebuilt,
  waitsForKafka,
} from "./events.ts";
import { type Following, follow } from "./follower.ts";
import { Ingest } from "./ingest.ts";
import { jsonResults } from "./json-results.ts";
import { PasswordChecker } from "./password.ts";
import type { Route } from "./routes.ts";
import type { Session } from "./session.ts";
import { traceDownlink } from "./spans.ts";

/** Sink and reader know whole topic names: a route's have no prefix of ours. */
export type Routes = { readonly list: readonly Route[]; readonly sink: RecordSink; readonly reader: PartitionReader };

export type BridgeOptions = {
  readonly config: BridgeConfig;
  /** Needed if the configuration has routes. */
  readonly routes?: Routes;
  readonly sink: RecordSink;
  readonly reader: PartitionReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

export class Bridge {
  readonly #options: BridgeOptions;
  readonly #directory = new DeviceDirectory();
  readonly #passwords: PasswordChecker;
  readonly #downlink = new DownlinkState();
  readonly #ingest: Ingest;
  readonly #broker: Broker;
  readonly #down: ReturnType<typeof mqttTopics>;
  readonly #stop = new AbortController();
  readonly #policyBytes = new WeakMap<RoutingPolicy, Map<number, Buffer>>();
  #following: Following[] = [];
  #port: number | undefined;

  constructor(options: BridgeOptions) {
    const { config, sink, clock, telemetry } = options;
    this.#options = options;
    this.#passwords = new PasswordChecker(config.limits.authenticationsMax);
    this.#down = mqttTopics(config.mqtt.prefix);
    this.#ingest = new Ingest({
      sink,
      ...(options.routes && { routes: options.routes }),
      clock,
      telemetry,
      limits: config.limits,
      mqttPrefix: config.mqtt.prefix,
      pubackBeforeKafka: config.testOnly.pubackBeforeKafka,
      onAvailability: (deviceId, state) => telemetry.emit(availabilityChanged, { deviceId, state }),
    });
    this.#broker = new Broker({
      config,
      clock,
      telemetry,
      ingest: this.#ingest,
      authenticate: (clientId, user, password) =>
        authenticate({ clientId, user, password }, this.#directory, this.#passwords),
      onSubscribed: (session, filters) => {
        const policy = this.#down.policy(session.deviceId);
        const parent = policy.slice(0, policy.lastIndexOf("/"));
        if ([policy, `${parent}/#`, `${parent}/+`].some((filter) => filters.includes(filter)))
          this.#sendPolicy(session);
      },
    });
  }

  /** The MQTT port once devices are let in; undefined before. */
  get port(): number | undefined {
    return this.#port;
  }

  /** Resolves with the MQTT port once devices are let in. R1 */
  async start(): Promise<number> {
    const { telemetry, clock, config } = this.#options;
    if (config.testOnly.pubackBeforeKafka) telemetry.emit(losesData, { setting: "testOnly.pubackBeforeKafka" });
    const startedAt = clock.monotonicMs();
    await this.#awaitTopics();
    this.#following = await Promise.all([
      this.#follow(topics.registry, "start", (record, registration) => {
        const deviceId = record.key ?? "";
        if (!this.#directory.apply(deviceId, registration)) return;
        this.#passwords.forget(deviceId);
        this.#broker.session(deviceId)?.close();
      }),
      this.#follow(topics.policies, "start", (record, policy) => {
        const digests = this.#downlink.applyPolicy(record.key ?? "", policy);
        for (const session of this.#broker.sessions) {
          if (digests.includes(this.#downlink.modelOf(session.deviceId) ?? "")) this.#sendChangedPolicy(session);
        }
      }),
      this.#follow(topics.reported, "start", (record, reported) => {
        this.#downlink.applyReported(record.key ?? "", reported);
        const session = this.#broker.session(record.key ?? "");
        if (session !== undefined) this.#sendChangedPolicy(session);
      }),
      this.#follow(
        topics.classifications,
        "now",
        (record, classified) => {
          const session = this.#broker.session(record.key ?? "");
          if (session !== undefined && classified !== undefined) this.#sendResults(session, classified);
        },
        (record) => this.#broker.session(record.key ?? "") !== undefined,
      ),
    ]);
    await Promise.all(this.#following.map(({ caughtUp }) => caughtUp));
    telemetry.emit(stateRebuilt, {
      devices: this.#directory.size,
      policies: this.#downlink.policies,
      ms: clock.monotonicMs() - startedAt,
    });
    this.#port = await this.#broker.listen();
    return this.#port;
  }

  /** R2 */
  async close(): Promise<void> {
    await this.#broker.close();
    this.#stop.abort();
    const { reader, sink, routes, clock, config } = this.#options;
    // What Kafka still does not take was never acknowledged, so nobody need wait for it.
    const done = new AbortController();
    const late = clock.sleep(config.limits.shutdownMsMax, done.signal).catch(() => {});
    const clients = [sink, reader, ...(routes === undefined ? [] : [routes.sink, routes.reader])];
    const ends = [...clients.map((client) => client.close()), ...this.#following.map((f) => f.ended)];
    await Promise.race([Promise.allSettled(ends), late]);
    done.abort();
  }

  /** Waits until Kafka is there with every topic we need: a missing one would show as devices that wait for ever. */
  async #awaitTopics(): Promise<void> {
    const { clock, random, telemetry, config } = this.#options;
    const givesUpAt = clock.monotonicMs() + config.limits.startMsMax;
    for (let attempt = 0; ; attempt++) {
      const problems = await this.#topicProblems();
      if (problems.length === 0) return;
      const reason = problems.join("; ");
      if (clock.monotonicMs() >= givesUpAt) {
        throw new Failure("topics-unusable", "ask-a-person", `Kafka or its topics cannot be used: ${reason}`);
      }
      telemetry.emit(waitsForKafka, { reason });
      await clock.sleep(backoffMs({ minMs: 200, maxMs: 2_000 }, attempt, random), this.#stop.signal);
    }
  }

  /** One line for each reason, naming the topics it holds for. */
  async #topicProblems(): Promise<string[]> {
    const followed = [topics.registry, topics.policies, topics.classifications].map(({ name }) => name);
    const needed = [...Object.values(uplinkStreams).map(({ name }) => name), ...deadLetterTopics, ...followed];
    const { reader, routes } = this.#options;
    const all = [
      ...needed.map((topic) => ({ topic, by: reader })),
      ...(routes?.list.map(({ config: { topic } }) => ({ topic, by: routes.reader })) ?? []),
    ];
    const byReason = new Map<string, string[]>();
    await Promise.all(
      all.map(async ({ topic, by }) => {
        const reason = await by.partitions(topic).then(
          (partitions) => (partitions.length > 0 ? undefined : "no such topic"),
          (error) => (/unknown topic/i.test(reasonOf(error)) ? "no such topic" : reasonOf(error)),
        );
        if (reason !== undefined) byReason.set(reason, [...(byReason.get(reason) ?? []), topic]);
      }),
    );
    return [...byReason].map(([reason, names]) => `${reason} (${names.join(", ")})`);
  }

  #follow<T>(
    topic: Topic<T>,
    from: "start" | "now",
    apply: (record: InRecord, value: T | undefined) => void,
    wants: (record: InRecord) => boolean = () => true,
  ): Promise<Following> {
    const { telemetry } = this.#options;
    return follow({
      ...this.#options,
      topic: topic.name,
      from,
      signal: this.#stop.signal,
      onRecord: (record) => {
        if (!wants(record)) return;
        try {
          apply(record, record.value === null ? undefined : topic.codec.decodeConfluent(record.value));
        } catch (error) {
          telemetry.emit(recordUnusable, { topic: topic.name, key: record.key ?? "", reason: reasonOf(error) });
        }
      },
    });
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
    const payload = policy === undefined ? Buffer.alloc(0) : this.#encodedPolicy(session.deviceId, policy);
    session.sendRetained(this.#down.policy(session.deviceId), payload);
    this.#sent(session, "policy", payload);
  }

  /** A fleet shares its policies, so each is written once. */
  #encodedPolicy(deviceId: string, policy: RoutingPolicy): Buffer {
    const { codec } = topics.policies;
    const version = this.#downlink.versionFor(deviceId, codec);
    const known = this.#policyBytes.get(policy) ?? new Map<number, Buffer>();
    this.#policyBytes.set(policy, known);
    const payload = known.get(version.id) ?? codec.encodeSingleObject(policy, version);
    known.set(version.id, payload);
    return payload;
  }

  #sendResults(session: Session, record: Classifications): void {
    const { deviceId } = session;
    const [avro, json] = [this.#down.results(deviceId), this.#down.resultsJson(deviceId)];
    const wants = { avro: session.isSubscribed(avro), json: session.isSubscribed(json) };
    const answers = wants.avro || wants.json ? answersOfSentFrames(record) : undefined;
    if (answers === undefined) return;
    const { told, end } = traceDownlink(this.#options.telemetry.tracer, answers);
    if (wants.avro) {
      const codec: Codec<Classifications> = topics.classifications.codec;
      const payload = codec.encodeSingleObject(told, this.#downlink.versionFor(deviceId, codec));
      this.#sendResult(session, avro, payload);
    }
    if (wants.json) for (const payload of jsonResults(told)) this.#sendResult(session, json, payload);
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
