/**
 * A member of a consumer group that delivers small batches and commits after them.
 *
 * Batches of one partition number never run concurrently, whatever their topics; partition p of all topics is ours or none is
 * (co-partitioned-assigner.ts). `onAssigned` is awaited before the first batch of a partition number, also of one kept over a
 * rebalance unless the membership was never lost. When the group has expelled us, or may have (no heartbeat was acknowledged
 * for as long as the lease runs), `onRevoked` is called for everything at once, not when we have joined again seconds later.
 *
 * C1. Records of a partition are delivered in offset order; those that were not processed are delivered again.
 * C3. Only records that `handle` returned as processed are committed: at least once, and G2 makes repeats harmless. All
 *     partitions are committed together, every `COMMIT_EVERY_MS`: a commit costs Kafka as much as a batch does.
 * C5. A handler that throws ends `run` with a rejection. A client that crashed or stalled is replaced by a new one, however long
 *     Kafka is away: kafkajs does not restart its own reliably, and a supervisor would wait longer after each exit. Only one that
 *     cannot be closed ends `run`, as it might come back as a member.
 * C6. With `independent`, records are handled one by one as they arrive, and a partition is committed up to its first unfinished record
 *     (independent-delivery.ts). A rebalance does not wait for them; `close` does, for a bounded time.
 * C7. A round of batches takes `roundMsMin` at least: records that arrive meanwhile form one batch a partition, so that a
 *     producer of many small records causes a bounded number of requests (G13).
 * C8. Records that retention deleted before the group had read them are counted and reported (lost-records.ts); those behind them
 *     are delivered. */
import { type Backoff, backoffMs, type Clock, Failure, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type {
  Admin,
  Consumer,
  ConsumerGroupJoinEvent,
  EachBatchPayload,
  TopicPartition,
  TopicPartitionOffset,
} from "kafkajs";
import { coPartitionedAssigner } from "./co-partitioned-assigner.ts";
import { codeOf } from "./dead-letters.ts";
import {
  assignmentChanged,
  batchConsumed,
  consumerCrashed,
  consumerReplaced,
  recordsLost as lostRecords,
  membershipLost,
} from "./events.ts";
import { DRAIN_MS_MAX, IndependentDelivery, type Membership, UNPROCESSED_PAUSE_MS } from "./independent-delivery.ts";
import type { IndependentOptions } from "./independent-records.ts";
import { UNAVAILABLE } from "./joining-sink.ts";
import { kafkajsClient } from "./kafkajs-client.ts";
import { inRecordOf } from "./kafkajs-record.ts";
import { reportLag } from "./lag.ts";
import { Lease } from "./lease.ts";
import { LostRecords, recordsLost } from "./lost-records.ts";
import { isExpelled, mustRejoin } from "./membership.ts";
import { PartitionTurns } from "./partition-turns.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import type { Batch, BatchSource, InRecord, PartitionEvents, Processed, SchemaIds } from "./ports.ts";
import { withOurIds } from "./schema-ids.ts";
import { SILENT_MS_MAX } from "./silent-socket.ts";
import { type PartitionProgress, StallWatch } from "./stall-watch.ts";

export type KafkajsSourceOptions = KafkaConnection & {
  /** Without the prefix, as topics are. */
  readonly group: string;
  readonly topics: readonly string[];
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  /** Partition numbers handled concurrently. */
  readonly concurrency?: number;
  readonly batchRecordsMax?: number;
  /** The records of a partition are handled independently (C6): each comes as a batch of its own. */
  readonly independent?: IndependentOptions;
  /** 10 by default: answers wait for it. */
  readonly roundMsMin?: number;
  /** Of this membership; its session is the time without a heartbeat after which the group gives a member up. */
  readonly lease?: Lease;
  /** How long a partition may be behind without moving before the client is replaced. */
  readonly stallMsMax?: number;
};

type Handle = (batch: Batch, signal: AbortSignal) => Promise<Processed>;

type Gap = { readonly from: bigint; readonly until: bigint };

type Client = {
  readonly consumer: Consumer;
  readonly admin: Admin;
  /** Aborts when it is replaced, or closed. */
  readonly stop: AbortController;
  /** Why it is to be replaced. */
  readonly broken: PromiseWithResolvers<unknown>;
};

const HEARTBEAT_MS = 2_000;
const REBALANCE_MS = 30_000;
/** Kafka answers a request to join once the members of before have joined, too, or their time is up. */
const JOIN_SILENT_MS_MAX = REBALANCE_MS + SILENT_MS_MAX;
/** Longer than any rebalance: a partition without progress for this time is stalled. */
const STALL_MS = 45_000;
const CLOSE_MS_MAX = 10_000;
/** A handler may wait for Kafka as long as a delivery may take. */
const REPLACE_MS_MAX = 90_000;
/** To ask what is committed before it joins; without an answer, only what is lost later is found. */
const COMMITTED_MS_MAX = 3_000;
/** Without a heartbeat for so long, longer than a join takes, a client is replaced: handlers that wait for Kafka end, too. */
const AWAY_MS_MAX = 60_000;
const LEASE_LOOK_MS = 250;
/** kafkajs sends no heartbeats while it joins. A coordinator that loads refuses a join, and accepts the heartbeats of before later. */
const JOIN_GIVEN_UP_MS = 3_000;
const COMMIT_EVERY_MS = 250;
/** Of kafkajs's own tries, and of clients that replace each other. */
const RETRY: Backoff = { minMs: 200, maxMs: 2_000 };
const ROUND_MS_MIN = 10;
/** `roundMsMin` of consumers for which no answer waits. */
export const BACKGROUND_ROUND_MS = 100;
const NOT_JOINED = "its consumer has not joined its group at Kafka yet";
/** Requests of Kafka's protocol that keep a member in its group. */
const HEARTBEAT = 12;
const SYNC_GROUP = 14;

export class KafkajsSource implements BatchSource {
  readonly #options: KafkajsSourceOptions;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  readonly #turns = new PartitionTurns();
  readonly #lease: Lease;
  readonly #independent: IndependentDelivery | undefined;
  readonly #lost = new LostRecords();
  /** What was committed is asked, and this member has not joined since. */
  #isFresh = false;
  #client: Client | undefined;
  /** Clients that were replaced, since the last that joined. */
  #replacements = 0;
  #problem: string | undefined = NOT_JOINED;
  #joinAttempts = 0;
  #joinTriedAtMs = 0;
  /** The group rebalances, and informed us as a member. */
  #invited = false;
  #memberId = "";
  /** Given up with the lease; ours again if the group still counts us in. */
  #suspended: readonly number[] = [];
  #held: readonly number[] = [];
  #assigned: Readonly<Record<string, readonly number[]>> = {};
  #assigning: Promise<void> = Promise.resolve();
  #rebalancing = false;
  /** Resolves when batches must end, as the group waits for us to join again. */
  #rejoins = Promise.withResolvers<void>();
  /** Processed and not yet committed: the offset behind, by topic and partition; another map with each membership. */
  #uncommitted = new Map<string, TopicPartitionOffset>();
  #commit: EachBatchPayload["commitOffsetsIfNecessary"] | undefined;
  #failure: unknown;
  #closing: Promise<void> | undefined;
  #events: PartitionEvents = {};

  constructor(options: KafkajsSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lease = options.lease ?? new Lease({ clock: this.#clock });
    this.#ended.promise.catch(() => {});
    const { independent } = options;
    if (independent !== undefined)
      this.#independent = new IndependentDelivery({ ...options, independent, clock: this.#clock });
  }

  /** Why it takes no batches; undefined while it is a member of its group. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async run(handle: Handle, events: PartitionEvents = {}): Promise<void> {
    this.#events = events;
    void this.#runClients(handle);
    void this.#watchForStalls();
    void this.#watchLease();
    void this.#commitUntilStopped();
    await this.#ended.promise;
  }

  /** C5: one client after another. */
  async #runClients(handle: Handle): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const client = this.#newClient();
      this.#client = client;
      void this.#start(client, handle);
      const error = await client.broken.promise;
      if (this.#stop.signal.aborted) return;
      const { group, telemetry } = this.#options;
      this.#problem = `its consumer of Kafka is replaced: ${reasonOf(error)}`;
      telemetry?.emit(consumerReplaced, { group, code: codeOf(error), reason: reasonOf(error) });
      this.#expelled();
      this.#mustRejoin();
      this.#joinAttempts = 0;
      this.#invited = false;
      this.#commit = undefined;
      this.#client = undefined;
      client.stop.abort(new Failure("kafka-consumer-replaced", "retry", "the consumer of Kafka is replaced"));
      if (!(await this.#closes(client, REPLACE_MS_MAX))) return this.#fail(error);
      await this.#clock.sleep(backoffMs(RETRY, this.#replacements++, Math.random), this.#stop.signal).catch(() => {});
    }
  }

  #newClient(): Client {
    const options = this.#options;
    const retry = { initialRetryTime: RETRY.minMs, maxRetryTime: RETRY.maxMs, retries: 40 };
    const silentMsMax = () => (this.#joinAttempts > 0 ? JOIN_SILENT_MS_MAX : SILENT_MS_MAX);
    const kafka = kafkajsClient(options, options.telemetry, retry, silentMsMax);
    const consumer = kafka.consumer({
      groupId: options.prefix + options.group,
      sessionTimeout: this.#lease.sessionMs,
      rebalanceTimeout: REBALANCE_MS,
      heartbeatInterval: HEARTBEAT_MS,
      maxWaitTimeInMs: 250,
      maxBytesPerPartition: 1024 * 1024,
      allowAutoTopicCreation: false,
      partitionAssigners: [coPartitionedAssigner(() => this.#client?.consumer === consumer && this.#joining())],
      retry: { ...retry, restartOnFailure: async () => false },
    });
    return { consumer, admin: kafka.admin(), stop: new AbortController(), broken: Promise.withResolvers() };
  }

  async #start(client: Client, handle: Handle): Promise<void> {
    const { consumer, broken } = client;
    this.#listen(client);
    try {
      await consumer.connect();
      const { prefix, topics } = this.#options;
      await consumer.subscribe({ topics: topics.map((topic) => prefix + topic), fromBeginning: true });
      await this.#askCommitted(client);
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: this.#options.concurrency ?? 8,
        eachBatch: (payload) => this.#eachBatch(client, payload, handle),
      });
      // Closed while it joined, kafkajs had nothing to stop yet, and would continue as a member.
      if (client.stop.signal.aborted) await consumer.disconnect();
    } catch (error) {
      broken.resolve(error);
    }
  }

  /** C8: kafkajs commits another offset as soon as it finds that this one is gone. */
  async #askCommitted({ admin, stop }: Client): Promise<void> {
    const { prefix, group, topics } = this.#options;
    const ask = async () => {
      await admin.connect();
      const found = await admin.fetchOffsets({
        groupId: prefix + group,
        topics: topics.map((topic) => prefix + topic),
      });
      return new Map(
        found.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset }) => [`${topic}:${partition}`, BigInt(offset)] as const),
        ),
      );
    };
    const late = this.#clock.sleep(COMMITTED_MS_MAX, stop.signal).catch(() => {});
    const committed = await Promise.race([ask().catch(() => {}), late]);
    this.#lost.started(new Map([...(committed ?? [])].filter(([, offset]) => offset >= 0n)));
    this.#isFresh = true;
  }

  /** C8 */
  async #reportLost({ admin }: Client, { topic, partition }: TopicPartition, gap: Gap): Promise<void> {
    const { prefix, group, telemetry } = this.#options;
    await admin.connect();
    const kept = (await admin.fetchTopicOffsets(topic)).find((one) => one.partition === partition);
    const records = recordsLost(gap, BigInt(kept?.low ?? 0));
    if (records === 0) return;
    const about = { group, topic: topic.slice(prefix.length), partition, from: String(gap.from), records };
    telemetry?.emit(lostRecords, about);
  }

  /** Follows its membership, until it is replaced. */
  #listen(client: Client): void {
    const { consumer, broken } = client;
    const current = <E>(listen: (event: E) => void) => {
      return (event: E) => {
        if (this.#client === client) listen(event);
      };
    };
    consumer.on("consumer.crash", ({ payload }) => broken.resolve(payload.error));
    consumer.on(
      "consumer.group_join",
      current(({ payload }) => this.#joined(payload)),
    );
    consumer.on(
      "consumer.rebalancing",
      current(() => {
        this.#invited = true;
        void this.#commitProcessed(); // still as a member of the generation that ends
      }),
    );
    consumer.on(
      "consumer.network.request",
      current(({ payload }) => {
        if (payload.apiKey === HEARTBEAT || payload.apiKey === SYNC_GROUP) this.#lease.answered(payload.duration);
      }),
    );
    consumer.on(
      "consumer.heartbeat",
      current(() => this.#acknowledged()),
    );
    consumer.on(
      "consumer.end_batch_process",
      current(({ payload }) => this.#pastMarkers(payload)),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closing = new Failure("kafka-source-closed", "give-up", "the consumer is closing");
    const client = this.#client;
    this.#stop.abort(closing);
    client?.stop.abort(closing);
    client?.broken.resolve(closing);
    this.#problem = "its consumer of Kafka is closed";
    if (client !== undefined) {
      await this.#independent?.drained(client.consumer);
      await this.#closes(client, this.#independent === undefined ? CLOSE_MS_MAX : CLOSE_MS_MAX - DRAIN_MS_MAX);
    }
    await this.#events.onRevoked?.(this.#held);
    if (this.#failure === undefined) this.#ended.resolve();
    else this.#ended.reject(this.#failure);
  }

  /** Whether it is closed within `msMax`. */
  async #closes({ consumer, admin }: Client, msMax: number): Promise<boolean> {
    const closed = this.#commitProcessed()
      .then(() => Promise.all([consumer.disconnect(), admin.disconnect()]))
      .then(
        () => true,
        () => true,
      );
    const enough = new AbortController();
    const late = this.#clock.sleep(msMax, enough.signal).then(
      () => false,
      () => false,
    );
    return await Promise.race([closed, late]).finally(() => enough.abort());
  }

  /** Ends `run` with `error`. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#closing !== undefined) return;
    this.#failure = error;
    const reason = reasonOf(error);
    this.#options.telemetry?.emit(consumerCrashed, { group: this.#options.group, code: codeOf(error), reason });
    this.close().catch(() => this.#ended.reject(error));
  }

  /** Before every attempt to join. One without a rebalance, or after a failed attempt, means that we were expelled. */
  #joining(): void {
    this.#joinAttempts++;
    this.#joinTriedAtMs = this.#clock.monotonicMs();
    if (!this.#invited || this.#joinAttempts > 1) this.#expelled();
  }

  /** We are a member: of the same generation as before, unless a join is under way. */
  #acknowledged(): void {
    this.#lease.renew();
    if (this.#joinAttempts === 0) this.#problem = undefined;
    else if (this.#clock.monotonicMs() - this.#joinTriedAtMs > JOIN_GIVEN_UP_MS) {
      const what = "kafkajs gave up to join again, and continues as a member without partitions";
      this.#client?.broken.resolve(new Failure("kafka-join-given-up", "retry", what));
    }
    if (this.#suspended.length === 0 || this.#joinAttempts > 0 || !this.#lease.isHeld) return;
    const back = this.#suspended;
    this.#suspended = [];
    this.#held = back;
    this.#isMember();
    this.#announce([], back);
  }

  #expelled(): void {
    this.#lose("the group has expelled this member");
    this.#uncommitted = new Map();
    this.#independent?.records.reassigned(() => false);
    this.#suspended = [];
    this.#memberId = "";
  }

  #mustRejoin(): void {
    this.#rebalancing = true;
    this.#rejoins.resolve();
  }

  #isMember(): void {
    this.#rebalancing = false;
    this.#rejoins = Promise.withResolvers();
  }

  #lose(why: string): void {
    this.#lease.end();
    const lost = this.#held;
    if (lost.length === 0) return;
    this.#held = [];
    this.#suspended = lost;
    this.#mustRejoin();
    this.#problem = `its consumer lost its place in its group at Kafka: ${why}`;
    const { group, telemetry } = this.#options;
    telemetry?.emit(membershipLost, { group, why, partitions: lost.join(" ") });
    this.#announce(lost, []);
  }

  /** One after the other, as the changes came; but what is lost again is not prepared any longer. */
  #announce(revoked: readonly number[], assigned: readonly number[]): void {
    if (revoked.length > 0) this.#events.onLosing?.(revoked);
    this.#assigning = this.#assigning
      .then(async () => {
        if (revoked.length > 0) await this.#events.onRevoked?.(revoked);
        const held = assigned.filter((partition) => this.#held.includes(partition));
        if (held.length > 0) await this.#events.onAssigned?.(held);
      })
      .catch((error) => this.#fail(error));
  }

  async #watchLease(): Promise<void> {
    const { signal } = this.#stop;
    let client = this.#client;
    let heldAtMs = this.#clock.monotonicMs();
    let wallAheadMs = this.#clock.now() - heldAtMs;
    while (!signal.aborted) {
      await this.#clock.sleep(LEASE_LOOK_MS, signal).catch(() => {});
      const nowMs = this.#clock.monotonicMs();
      const aheadMs = this.#clock.now() - nowMs;
      if (aheadMs < wallAheadMs - HEARTBEAT_MS) {
        const what = `the clock was set back by ${Math.round(wallAheadMs - aheadMs)} ms, and kafkajs times heartbeats by it`;
        return this.#fail(new Failure("kafka-clock-set-back", "retry", what));
      }
      wallAheadMs = aheadMs;
      if (this.#lease.isHeld || this.#client !== client) {
        heldAtMs = nowMs;
        client = this.#client;
        continue;
      }
      const why = `no heartbeat was acknowledged for ${Math.round(nowMs - heldAtMs + this.#lease.leaseMs)} ms`;
      this.#lose(why);
      if (nowMs - heldAtMs > AWAY_MS_MAX) client?.broken.resolve(new Failure(UNAVAILABLE, "retry", why));
    }
  }

  /** kafkajs resolves a batch of transaction markers alone without delivering it: the group would seem to lag. */
  #pastMarkers(batch: { topic: string; partition: number; batchSize: number; lastOffset: string }): void {
    if (batch.batchSize > 0) return;
    const { topic, partition, lastOffset } = batch;
    const behind = BigInt(lastOffset) + 1n;
    const next = this.#independent?.records.passed(`${topic}:${partition}`, BigInt(lastOffset)) ?? behind;
    this.#processed({ topic, partition, offset: String(next) });
  }

  #processed(position: TopicPartitionOffset): void {
    this.#uncommitted.set(`${position.topic}:${position.partition}`, position);
  }

  async #commitUntilStopped(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#clock.sleep(COMMIT_EVERY_MS, signal).catch(() => {});
      if (!this.#rebalancing) await this.#commitProcessed();
    }
  }

  async #commitProcessed(): Promise<void> {
    const uncommitted = this.#uncommitted;
    if (uncommitted.size === 0) return;
    const taken = new Map(uncommitted);
    uncommitted.clear();
    const byTopic = Map.groupBy(taken.values(), ({ topic }) => topic);
    const offsets = [...byTopic].map(([topic, partitions]) => ({ topic, partitions }));
    try {
      if (this.#commit === undefined) await this.#client?.consumer.commitOffsets([...taken.values()]);
      else await this.#commit({ topics: offsets });
    } catch {
      // Kafka is unavailable. A member that only seemed to be lost commits them later; of a membership that ended, nobody reads this map.
      for (const [key, position] of taken) if (!uncommitted.has(key)) uncommitted.set(key, position);
    }
  }

  #joined({ memberId, memberAssignment }: ConsumerGroupJoinEvent["payload"]): void {
    const { group, telemetry } = this.#options;
    const isContinuous = memberId === this.#memberId && this.#joinAttempts === 1;
    const now = [...new Set(Object.values(memberAssignment).flat())].sort((a, b) => a - b);
    const revoked = this.#held.filter((partition) => !isContinuous || !now.includes(partition));
    const assigned = now.filter((partition) => !isContinuous || !this.#held.includes(partition));
    this.#joinAttempts = 0;
    this.#replacements = 0;
    this.#problem = undefined;
    this.#invited = false;
    this.#suspended = [];
    this.#lease.renew();
    this.#memberId = memberId;
    this.#assigned = memberAssignment;
    this.#uncommitted = new Map(); // kafkajs restarts behind what is committed
    const kept = new Set(isContinuous ? this.#held.filter((partition) => now.includes(partition)) : []);
    this.#independent?.records.reassigned((key) => kept.has(Number(key.slice(key.lastIndexOf(":") + 1))));
    this.#held = now;
    if (!this.#isFresh)
      this.#lost.keepOnly((key) => !assigned.includes(partitionIn(key)) && now.includes(partitionIn(key)));
    this.#isFresh = false;
    this.#isMember();
    const [a, r] = [assigned.join(" "), revoked.join(" ")];
    telemetry?.emit(assignmentChanged, { group, assigned: a, revoked: r, held: now.length });
    this.#announce(revoked, assigned);
  }

  async #eachBatch(client: Client, payload: EachBatchPayload, handle: Handle): Promise<void> {
    if (this.#client !== client) return;
    const { partition } = payload.batch;
    const startedAtMs = this.#clock.monotonicMs();
    this.#commit = payload.commitOffsetsIfNecessary;
    // A handler may take longer than the session; the heartbeat's answer may be that we must rejoin.
    const heart = setInterval(() => {
      payload.heartbeat().catch((error: unknown) => {
        if (this.#client !== client) return;
        if (mustRejoin(error)) this.#mustRejoin();
        if (isExpelled(error)) this.#expelled();
      });
    }, HEARTBEAT_MS / 2);
    try {
      await this.#turns.take(partition, async () => {
        await Promise.race([this.#assigning, this.#rejoins.promise]);
        this.#findGap(client, payload.batch);
        if (this.#independent === undefined) await this.#handOver(client, payload, handle);
        else await this.#independent.handOver(payload, this.#membershipOf(client), handle);
      });
      const { roundMsMin = ROUND_MS_MIN } = this.#options;
      const restMs = startedAtMs + roundMsMin - this.#clock.monotonicMs();
      if (restMs > 0) await this.#clock.sleep(restMs, client.stop.signal).catch(() => {});
      if (this.#stop.signal.aborted) await this.#commitProcessed(); // kafkajs leaves the group once this returns
    } catch (error) {
      if (this.#client === client) this.#fail(error);
    } finally {
      clearInterval(heart);
    }
  }

  async #handOver(client: Client, payload: EachBatchPayload, handle: Handle): Promise<void> {
    const { batch, resolveOffset, isStale } = payload;
    const { signal } = client.stop;
    const { group, prefix, telemetry, schemaIds } = this.#options;
    const batchRecordsMax = this.#options.batchRecordsMax ?? 250;
    const topic = batch.topic.slice(prefix.length);
    const { partition } = batch;
    const highWatermark = BigInt(batch.highWatermark);
    let at = 0;
    let pauseMs = UNPROCESSED_PAUSE_MS.min;
    while (at < batch.messages.length && !signal.aborted && !this.#rebalancing && !isStale()) {
      const chunk = batch.messages.slice(at, at + batchRecordsMax);
      const raw = chunk.map((message) => inRecordOf(topic, partition, message));
      const records = schemaIds === undefined ? raw : await ourRecords(raw, schemaIds);
      const startedAt = this.#clock.monotonicMs();
      const { processed } = await handle({ topic, partition, records, highWatermark }, signal);
      if (this.#client !== client) return; // whose partition it is now is not known
      const last = chunk[processed - 1];
      if (last === undefined) {
        await this.#clock.sleep(pauseMs, signal).catch(() => {});
        pauseMs = Math.min(UNPROCESSED_PAUSE_MS.max, pauseMs * 2);
        continue;
      }
      pauseMs = UNPROCESSED_PAUSE_MS.min;
      at += processed;
      resolveOffset(last.offset);
      const behind = at === batch.messages.length ? batch.lastOffset() : last.offset; // markers may follow the last record
      this.#processed({ topic: batch.topic, partition, offset: String(BigInt(behind) + 1n) });
      const lag = Number(highWatermark - BigInt(last.offset) - 1n);
      if (telemetry !== undefined) {
        const ms = this.#clock.monotonicMs() - startedAt;
        telemetry.emit(batchConsumed, { group, topic, records: processed, lag, ms });
        reportLag(telemetry, { group, topic, partition, lag });
      }
    }
  }

  #membershipOf(client: Client): Membership {
    return {
      signal: client.stop.signal,
      isCurrent: () => this.#client === client,
      isRebalancing: () => this.#rebalancing,
      processed: (position) => this.#processed(position),
      reportLag: (topic, partition, behind) => this.#reportLag(topic, partition, behind),
      fail: (error) => this.#fail(error),
    };
  }

  #reportLag(topic: string, partition: number, behind: bigint): void {
    const { group, prefix, telemetry } = this.#options;
    if (telemetry === undefined) return;
    reportLag(telemetry, { group, topic: topic.slice(prefix.length), partition, lag: Math.max(0, Number(behind)) });
  }

  #findGap(client: Client, batch: EachBatchPayload["batch"]): void {
    const { topic, partition } = batch;
    const key = `${topic}:${partition}`;
    // kafkajs has it, its types do not: where the fetch began.
    const until = BigInt((batch as { fetchedOffset?: string }).fetchedOffset ?? batch.firstOffset() ?? 0);
    const from = this.#lost.gapBefore(key, until);
    this.#lost.read(key, BigInt(batch.lastOffset()));
    // Without an answer of Kafka the gap is not known to be a loss.
    if (from !== undefined) this.#reportLost(client, { topic, partition }, { from, until }).catch(() => {});
  }

  async #watchForStalls(): Promise<void> {
    const stallMsMax = this.#options.stallMsMax ?? STALL_MS;
    const watch = new StallWatch(stallMsMax);
    while (!this.#stop.signal.aborted) {
      await this.#clock.sleep(stallMsMax / 4, this.#stop.signal).catch(() => {});
      if (this.#stop.signal.aborted) return;
      const client = this.#client;
      const progress = await this.#progress(client).catch(() => undefined);
      if (progress === undefined || client !== this.#client || this.#rebalancing) {
        watch.reset(); // Kafka is unavailable, or the group rebalances: that is not a stall
        continue;
      }
      const stalled = watch.observe(this.#clock.monotonicMs(), progress);
      if (stalled.length === 0) continue;
      watch.reset();
      const what = `no progress for ${stallMsMax} ms on ${stalled.join(", ")}`;
      client?.broken.resolve(new Failure("kafka-consumer-stalled", "retry", what));
    }
  }

  async #progress(client: Client | undefined): Promise<PartitionProgress[] | undefined> {
    if (client === undefined) return undefined;
    const { admin } = client;
    await admin.connect();
    const { group, prefix } = this.#options;
    const topics = Object.keys(this.#assigned);
    const committed = await admin.fetchOffsets({ groupId: prefix + group, topics });
    const progress: PartitionProgress[] = [];
    for (const { topic, partitions } of committed) {
      const held = new Set(this.#assigned[topic]);
      const ends = await admin.fetchTopicOffsets(topic);
      for (const { partition, offset } of partitions) {
        const end = ends.find((candidate) => candidate.partition === partition);
        if (end === undefined || !held.has(partition)) continue;
        const next = BigInt(offset) < 0n ? BigInt(end.low) : BigInt(offset);
        const key = `${topic}:${partition}`;
        const busy = this.#turns.isRunning(partition) || this.#independent?.records.isBusy(key) === true;
        this.#reportLag(topic, partition, BigInt(end.high) - next); // also while a handler keeps its batch
        progress.push({ key, committed: next, end: BigInt(end.high), busy });
      }
    }
    return progress;
  }
}

const partitionIn = (key: string): number => Number(key.slice(key.lastIndexOf(":") + 1));

/** One after the other: the first that needs the registry keeps the others from asking too. */
async function ourRecords(records: readonly InRecord[], ids: SchemaIds): Promise<readonly InRecord[]> {
  const ours: InRecord[] = [];
  for (const record of records) ours.push(await withOurIds(record, ids));
  return ours;
}
