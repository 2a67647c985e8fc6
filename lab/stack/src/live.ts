/** The table's counters, which follow Kafka while the stack runs. Their memory is bounded. */
import {
  type Classifications,
  type EdgeFrame,
  type EdgePredictions,
  type FinalAnswer,
  topics,
} from "@tributary/contracts";
import { type Following, follow, followAll, KafkaReader } from "@tributary/kafka";
import { followContext } from "@tributary/testing";
import { quantiles } from "./account.ts";
import type { Marks } from "./topic-log.ts";

const LATENCIES_KEPT = 500;

export class DeviceTally {
  frames = 0;
  kept = 0;
  readonly queued: { [reason: string]: number } = {};
  dropped = 0;
  answered = 0;
  cloud = 0;
  /** Cloud answers that agree with the edge. */
  agreed = 0;
  /** Sent frames whose final answer is the edge's. */
  edgeFinal = 0;
  readonly #latencies: number[] = [];

  /** Of several devices together. */
  static of(tallies: readonly DeviceTally[]): DeviceTally {
    const sum = new DeviceTally();
    for (const tally of tallies) {
      for (const count of ["frames", "kept", "dropped", "answered", "cloud", "agreed", "edgeFinal"] as const)
        sum[count] += tally[count];
      for (const [reason, n] of Object.entries(tally.queued)) sum.queued[reason] = (sum.queued[reason] ?? 0) + n;
      sum.#latencies.push(...tally.#latencies);
    }
    return sum;
  }

  latency(ms: number): void {
    this.#latencies.push(ms);
    if (this.#latencies.length > LATENCIES_KEPT) this.#latencies.shift();
  }

  /** Capture to final answer of the last sent frames. */
  get sentLatencyMs() {
    return quantiles(this.#latencies);
  }

  get sent(): number {
    return Object.values(this.queued).reduce((sum, n) => sum + n, 0);
  }
}

export type FirstAnswer = FinalAnswer & { readonly deviceId: string; readonly seenAt: number };

export class Live {
  readonly devices = new Map<string, DeviceTally>();
  readonly #since: number;
  readonly #reader: KafkaReader;
  readonly #stopping = new AbortController();
  #following: Following | undefined;
  first: FirstAnswer | undefined;

  /** `since`: when it all began; what was captured before is of an earlier run. */
  constructor(brokers: readonly string[], prefix: string, since: number) {
    this.#since = since;
    this.#reader = new KafkaReader({ brokers, prefix, clientId: "live" });
  }

  async follow(from: Marks): Promise<void> {
    const context = followContext(this.#reader, this.#stopping.signal);
    const { classifications, predictions, frames } = topics;
    const since = ({ name }: { readonly name: string }) => ({ from: from[name] ?? [] });
    this.#following = await followAll([
      follow(context, classifications, (record) => record && this.#classifications(record), since(classifications)),
      follow(context, predictions, (record) => record && this.#predictions(record), since(predictions)),
      follow(context, frames, (record) => record && this.#frame(record), since(frames)),
    ]);
  }

  /** Together. */
  all(deviceIds: readonly string[]): DeviceTally {
    return DeviceTally.of(deviceIds.map((deviceId) => this.of(deviceId)));
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#following?.ended;
    await this.#reader.close();
  }

  of(deviceId: string): DeviceTally {
    let tally = this.devices.get(deviceId);
    if (tally === undefined) {
      tally = new DeviceTally();
      this.devices.set(deviceId, tally);
    }
    return tally;
  }

  #predictions({ deviceId, predictions }: EdgePredictions): void {
    const tally = this.of(deviceId);
    for (const { escalation } of predictions) {
      tally.frames++;
      if (escalation === "NONE") tally.kept++;
      else if (escalation === "DROPPED") tally.dropped++;
    }
  }

  #frame({ deviceId, reason }: EdgeFrame): void {
    const { queued } = this.of(deviceId);
    queued[reason] = (queued[reason] ?? 0) + 1;
  }

  #classifications({ deviceId, answers }: Classifications): void {
    const tally = this.of(deviceId);
    const first = answers.find(({ capturedAt }) => capturedAt !== null && capturedAt >= this.#since);
    if (first !== undefined) this.first ??= { ...first, deviceId, seenAt: Date.now() };
    for (const { source, settledBy, latencyMs, label, edgeLabel } of answers) {
      tally.answered++;
      if (settledBy === "KEPT" || settledBy === "DEVICE_DROPPED") continue;
      if (source === "CLOUD") tally.cloud++;
      else tally.edgeFinal++;
      if (source === "CLOUD" && label === edgeLabel) tally.agreed++;
      tally.latency(latencyMs);
    }
  }
}
