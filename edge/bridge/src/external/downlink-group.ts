/**
 * Publishes to the devices behind one broker: its bridges share a Kafka group, and each publishes to the devices of its
 * partitions.
 *
 * Answers of sent frames are published once read; those that are too old, and those that the broker does not take, are skipped
 * and counted: Kafka has them.
 *
 * X1. A device's policy, desired state and last request to check are retained at the broker, published again whenever its partition comes to another
 *     bridge, and when they change; a few at a time, however many wait.
 * X3. A revoked device has no desired state: its retained messages are cleared. */
import { type Classifications, type Codec, mqttTopics, topics } from "@tributary/contracts";
import { type Batch, type BatchSource, type InRecord, takeOrSkip } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { answersOfSentFrames, type DesiredMessage, type DownlinkState, isSameDesired } from "../downlink.ts";
import { downlinkDropped, downlinkSent } from "../events.ts";
import { jsonResults } from "../json-results.ts";
import { traceDownlink } from "../spans.ts";

export type DownlinkGroupParts = {
  /** Of classifications, in the bridges' group. */
  readonly source: BatchSource;
  readonly state: DownlinkState;
  readonly isRevoked: (deviceId: string) => boolean;
  /** When somebody last asked the device to check its golden frames; null: never. */
  readonly checkRequestedAt: (deviceId: string) => number | null;
  readonly prefix: string;
  readonly publish: (topic: string, payload: Buffer, options?: { readonly retain?: boolean }) => Promise<boolean>;
  /** Whether the broker is connected: a message that it did not take then was refused. */
  readonly isOnline: () => boolean;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

/** A new group would otherwise start with a week of answers. */
const RESULT_AGE_MS_MAX = 60_000;
const AT_ONCE = 32;

export class DownlinkGroup {
  readonly #parts: DownlinkGroupParts;
  readonly #topics: ReturnType<typeof mqttTopics>;
  readonly #held = new Set<number>();
  readonly #partitions = new Map<string, number>();
  /** Version of the published policy, by device; empty: none. */
  readonly #publishedPolicies = new Map<string, string>();
  readonly #publishedDesired = new Map<string, DesiredMessage>();
  readonly #publishedChecks = new Map<string, number>();
  /** Devices to which something may have to be published. */
  readonly #due = new Set<string>();
  #isPublishing = false;

  constructor(parts: DownlinkGroupParts) {
    this.#parts = parts;
    this.#topics = mqttTopics(parts.prefix);
  }

  /** Runs until `close`; rejects when the consumer crashed. */
  run(): Promise<void> {
    return this.#parts.source.run((batch) => this.#results(batch), {
      onAssigned: async (partitions) => {
        for (const partition of partitions) this.#held.add(partition);
        for (const [deviceId, partition] of this.#partitions) if (this.#held.has(partition)) this.due(deviceId);
      },
      onRevoked: async (partitions) => {
        for (const partition of partitions) this.#held.delete(partition);
        for (const [deviceId, partition] of this.#partitions) {
          if (this.#held.has(partition)) continue;
          this.#publishedPolicies.delete(deviceId);
          this.#publishedDesired.delete(deviceId);
          this.#publishedChecks.delete(deviceId);
        }
      },
    });
  }

  close(): Promise<void> {
    return this.#parts.source.close();
  }

  /** A device reported: its record's partition decides which bridge it belongs to. */
  reported(deviceId: string, partition: number): void {
    this.#partitions.set(deviceId, partition);
    this.due(deviceId);
  }

  /** The state to publish to a device may have changed. One that never reported belongs to no bridge yet. */
  due(deviceId: string): void {
    if (!this.#partitions.has(deviceId)) return;
    this.#due.add(deviceId);
    void this.#publishDue();
  }

  modelDue(digests: readonly string[]): void {
    const { state } = this.#parts;
    for (const deviceId of this.#partitions.keys()) {
      if (digests.includes(state.modelOf(deviceId) ?? "")) this.due(deviceId);
    }
  }

  /** The broker is connected again: publishes the messages that it did not take. */
  online(): void {
    void this.#publishDue();
  }

  async #publishDue(): Promise<void> {
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    const failed: string[] = [];
    try {
      while (this.#due.size > 0) {
        const some = [...this.#due].slice(0, AT_ONCE);
        for (const deviceId of some) this.#due.delete(deviceId);
        const taken = await Promise.all(some.map((deviceId) => this.#publishTo(deviceId)));
        failed.push(...some.filter((_, i) => !taken[i]));
        if (!this.#parts.isOnline()) return; // Until it is again.
      }
    } finally {
      for (const deviceId of failed) this.#due.add(deviceId); // Published with the next news.
      this.#isPublishing = false;
    }
  }

  /** False: the broker did not take it. */
  async #publishTo(deviceId: string): Promise<boolean> {
    if (!this.#isHeld(deviceId)) return true;
    return (
      (await this.#publishPolicy(deviceId)) &&
      (await this.#publishDesired(deviceId)) &&
      (await this.#publishCheck(deviceId))
    );
  }

  /** Also asked after publishing: its partition may have gone meanwhile. */
  #isHeld(deviceId: string): boolean {
    return this.#held.has(this.#partitions.get(deviceId) ?? -1);
  }

  async #publishDesired(deviceId: string): Promise<boolean> {
    const { state, isRevoked, publish } = this.#parts;
    const wanted = state.desiredOf(deviceId);
    if (wanted === undefined) return true;
    const now = isRevoked(deviceId) ? { ...wanted, record: undefined } : wanted;
    if (isSameDesired(this.#publishedDesired.get(deviceId), now)) return true;
    const payload = state.encodedDesired(now);
    if (!(await publish(this.#topics.desired(deviceId), payload, { retain: true }))) return false;
    if (this.#isHeld(deviceId)) this.#publishedDesired.set(deviceId, now);
    this.#sent(deviceId, "desired", payload);
    return true;
  }

  async #publishCheck(deviceId: string): Promise<boolean> {
    const at = this.#parts.checkRequestedAt(deviceId);
    if (at === null || this.#publishedChecks.get(deviceId) === at) return true;
    const payload = Buffer.from(String(at));
    if (!(await this.#parts.publish(this.#topics.check(deviceId), payload, { retain: true }))) return false;
    if (this.#isHeld(deviceId)) this.#publishedChecks.set(deviceId, at);
    this.#sent(deviceId, "check", payload);
    return true;
  }

  async #publishPolicy(deviceId: string): Promise<boolean> {
    const { state, publish } = this.#parts;
    const policy = state.policyOf(deviceId);
    const version = policy?.policyVersion ?? "";
    if (this.#publishedPolicies.get(deviceId) === version) return true;
    // An empty retained message means: there is none any more.
    const payload = policy === undefined ? Buffer.alloc(0) : state.encodedPolicy(deviceId, policy);
    if (!(await publish(this.#topics.policy(deviceId), payload, { retain: true }))) return false;
    if (this.#isHeld(deviceId)) this.#publishedPolicies.set(deviceId, version);
    this.#sent(deviceId, "policy", payload);
    return true;
  }

  async #results({ records }: Batch): Promise<{ processed: number }> {
    const since = this.#parts.clock.now() - RESULT_AGE_MS_MAX;
    await Promise.all(records.map((record) => (record.timestamp < since ? undefined : this.#result(record))));
    return { processed: records.length };
  }

  async #result(record: InRecord): Promise<void> {
    const { state, telemetry } = this.#parts;
    const codec: Codec<Classifications> = topics.classifications.codec;
    const { value } = record;
    if (value === null) return;
    const answers = takeOrSkip(telemetry, record, () => answersOfSentFrames(codec.decodeConfluent(value)));
    if (answers === undefined) return;
    const { deviceId } = answers;
    const { traced, end } = traceDownlink(telemetry.tracer, answers);
    const avro = codec.encodeSingleObject(traced, state.versionFor(deviceId, codec));
    const sends = [this.#send(deviceId, this.#topics.results(deviceId), avro)];
    // Only the broker knows the subscribers; a device that has announced its Avro schemas needs no JSON.
    if (state.acceptedBy(deviceId).length === 0) {
      for (const payload of jsonResults(traced))
        sends.push(this.#send(deviceId, this.#topics.resultsJson(deviceId), payload));
    }
    await Promise.all(sends);
    end();
  }

  async #send(deviceId: string, topic: string, payload: Buffer): Promise<void> {
    if (await this.#parts.publish(topic, payload)) this.#sent(deviceId, "results", payload);
    else this.#parts.telemetry.emit(downlinkDropped, { deviceId, channel: "results" });
  }

  #sent(deviceId: string, channel: string, payload: Buffer): void {
    this.#parts.telemetry.emit(downlinkSent, { deviceId, channel, bytes: payload.length });
  }
}
