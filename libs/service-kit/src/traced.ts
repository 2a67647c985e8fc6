/**
 * A `process` span for each record of a batch, around the work on all of them.
 *
 * The record's header names the span that sent it; the field within names an older one, for records that a device wrote. The
 * work sees its own span's context in the record, and hands it on by copying it (no context is kept by the thread). */
import { codeOf } from "@tributary/kafka";
import { processing, type Tracer } from "@tributary/telemetry";
import type { DecodedRecord } from "./batch-handling.ts";

export async function traced<T extends { readonly traceparent: string | null }>(
  tracer: Tracer,
  group: string,
  records: readonly DecodedRecord<T>[],
  work: (records: readonly DecodedRecord<T>[]) => Promise<void>,
): Promise<void> {
  const spans = records.map(({ topic, partition, offset, headers, value }) => {
    const about = {
      "messaging.consumer.group.name": group,
      "messaging.destination.partition.id": `${partition}`,
      "messaging.kafka.offset": Number(offset),
    };
    return tracer.span({ ...processing("kafka", topic, about), parent: headers.traceparent ?? value.traceparent });
  });
  const traced = records.map((record, i) => {
    const traceparent = spans[i]?.traceparent ?? null;
    return traceparent === record.value.traceparent ? record : { ...record, value: { ...record.value, traceparent } };
  });
  try {
    await work(traced);
    for (const span of spans) span.end();
  } catch (error) {
    for (const span of spans) span.end({ error: codeOf(error) });
    throw error;
  }
}
