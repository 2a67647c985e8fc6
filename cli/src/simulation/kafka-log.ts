/** Logged frames from Kafka: predictions joined with the cloud's answers and with labels, partition by partition. */
import { type CloudResult, type GroundTruth, type Topic, topics } from "@tributary/contracts";
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

export async function* loggedFrames(reader: PartitionReader, range: LogRange): AsyncIterable<LoggedLine> {
  const { target, since, unreadable } = range;
  for (const partition of await reader.partitions(topics.predictions.name)) {
    // A label may be older than the frame's arrival, and the last one counts: all are read.
    const truths = new Map<string, string | null>();
    for await (const truth of values<GroundTruth>(reader, topics.groundTruth, partition, 0, range)) {
      truths.set(formatFrameId(truth), truth.label);
    }
    const clouds = new Map<string, Cloud>();
    for await (const result of values<CloudResult>(reader, topics.results, partition, since, range)) {
      if (result.target !== target || result.outcome !== "ANSWERED" || result.label === null) continue;
      clouds.set(formatFrameId(result), { label: result.label, costMicros: Number(result.costMicros) });
    }
    // Written again after a crash, a record would count twice, and intervals would be too narrow.
    const seen = new Set<string>();
    for await (const batch of values(reader, topics.predictions, partition, since, range)) {
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
        yield {
          frameId,
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
          truth: truths.get(frameId) ?? null,
          context: prediction.context,
        };
      }
    }
  }
}

async function* values<T>(
  reader: PartitionReader,
  topic: Topic<T>,
  partition: number,
  since: number,
  { signal, unreadable }: LogRange,
): AsyncIterable<T> {
  const { next: until } = await reader.offsets(topic.name, partition);
  const from = await reader.offsetAt(topic.name, partition, since);
  if (from >= until) return;
  for await (const { value } of reader.read(topic.name, partition, { from, until, signal })) {
    try {
      if (value !== null) yield topic.codec.decodeConfluent(value);
    } catch {
      unreadable();
    }
  }
}
