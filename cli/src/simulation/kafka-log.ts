/** Logged frames from Kafka: predictions joined with the cloud's answers, final answers and labels, partition by partition. */
import { type Classifications, type CloudResult, type GroundTruth, type Topic, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";
import type { LoggedLine } from "./logged-line.ts";

export type LogRange = {
  readonly target: string;
  /** Milliseconds since 1970; older predictions are skipped. */
  readonly since: number;
  readonly signal: AbortSignal;
  readonly unreadable: () => void;
};

type Cloud = { readonly label: string; readonly costMicros: number };
type Final = { readonly settledBy: string; readonly latencyMs: number };

export async function* loggedFrames(reader: PartitionReader, range: LogRange): AsyncIterable<LoggedLine> {
  const { target, since, unreadable } = range;
  for (const partition of await reader.partitions(topics.predictions.name)) {
    // A label may be older than the frame's arrival, and the last one counts: all are read.
    const truths = new Map<string, string | null>();
    for await (const { value: truth } of records<GroundTruth>(reader, topics.groundTruth, partition, 0, range)) {
      truths.set(formatFrameId(truth), truth.label);
    }
    const clouds = new Map<string, Cloud>();
    for await (const { value: result } of records<CloudResult>(reader, topics.results, partition, since, range)) {
      if (result.target !== target || result.outcome !== "ANSWERED" || result.label === null) continue;
      clouds.set(formatFrameId(result), { label: result.label, costMicros: Number(result.costMicros) });
    }
    // Of frames that a device kept, its prediction says as much.
    const finals = new Map<string, Final>();
    for await (const { value: batch } of records<Classifications>(
      reader,
      topics.classifications,
      partition,
      since,
      range,
    )) {
      for (const { settledBy, latencyMs, ...answer } of batch.answers) {
        if (settledBy === "KEPT") continue;
        const frameId = formatFrameId({ ...batch, ...answer });
        if (!finals.has(frameId)) finals.set(frameId, { settledBy, latencyMs }); // The first is the final one.
      }
    }
    // Written again after a crash, a record would count twice, and intervals would be too narrow.
    const seen = new Set<string>();
    for await (const { value: batch, at } of records(reader, topics.predictions, partition, since, range)) {
      const record = `${batch.deviceId}:${batch.bootId}:${batch.seq}`;
      if (seen.has(record)) continue;
      seen.add(record);
      const { modelDigest, policyVersion, arm } = batch;
      for (const prediction of batch.predictions) {
        const { label, confidence, margin, entropy, samplePropensity, sampleDrawn, reason } = prediction;
        if (!(samplePropensity > 0 && samplePropensity <= 1)) {
          unreadable(); // without a propensity a frame cannot be simulated
          continue;
        }
        const frameId = formatFrameId({ ...batch, ...prediction });
        const cloud = clouds.get(frameId);
        const kept = reason === "NONE" ? { settledBy: "KEPT", latencyMs: prediction.latencyMs } : null;
        const final = finals.get(frameId) ?? kept;
        yield {
          frameId,
          at,
          modelDigest,
          policyVersion,
          arm,
          label,
          confidence,
          margin,
          entropy,
          propensity: samplePropensity,
          drawn: sampleDrawn,
          reason,
          cloudLabel: cloud?.label ?? null,
          costMicros: cloud?.costMicros ?? null,
          settledBy: final?.settledBy ?? null,
          latencyMs: final?.latencyMs ?? null,
          truth: truths.get(frameId) ?? null,
          context: prediction.context,
        };
      }
    }
  }
}

async function* records<T>(
  reader: PartitionReader,
  topic: Topic<T>,
  partition: number,
  since: number,
  { signal, unreadable }: LogRange,
): AsyncIterable<{ readonly value: T; readonly at: number }> {
  const { next: until } = await reader.offsets(topic.name, partition);
  const from = await reader.offsetAt(topic.name, partition, since);
  if (from >= until) return;
  for await (const { value, timestamp: at } of reader.read(topic.name, partition, { from, until, signal })) {
    try {
      if (value !== null) yield { value: topic.codec.decodeConfluent(value), at };
    } catch {
      unreadable();
    }
  }
}
