/** A traced frame passes the bridge twice: up into Kafka, and its final answer down. Each pass is a span. */
import { type Classifications, topics, type UplinkStream, uplinkStreams } from "@tributary/contracts";
import { processing, type Span, sending, type Tracer } from "@tributary/telemetry";

const MQTT = "tributary/v1/{deviceId}";

export type Crossing<T> = { readonly traced: T; end(error?: string): void };

/** `traced` is the context for Kafka's header: the record itself stays as the device wrote it (uplink.ts U4). */
export function traceUplink(
  tracer: Tracer,
  { stream, deviceId, bytes }: { readonly stream: UplinkStream; readonly deviceId: string; readonly bytes: number },
  parent: string | undefined,
): Crossing<string | null> {
  const about = { "tributary.device.id": deviceId, "messaging.message.body.size": bytes };
  const received = tracer.span({ ...processing("mqtt", `${MQTT}/up/${stream}`, about), parent });
  const sent = tracer.span({ ...sending("kafka", uplinkStreams[stream].name), parent: received.traceparent });
  return { traced: sent.traceparent, end: endOf([sent, received]) };
}

/** `traced` are the answers with the contexts that the device continues. */
export function traceDownlink(tracer: Tracer, record: Classifications): Crossing<Classifications> {
  if (record.answers.every(({ traceparent }) => traceparent === null)) return { traced: record, end: () => {} };
  const spans: Span[] = [];
  const answers = record.answers.map((answer) => {
    if (answer.traceparent === null) return answer;
    const read = tracer.span({ ...processing("kafka", topics.classifications.name), parent: answer.traceparent });
    const about = { "tributary.device.id": record.deviceId };
    const sent = tracer.span({ ...sending("mqtt", `${MQTT}/down/results`, about), parent: read.traceparent });
    spans.push(sent, read);
    return { ...answer, traceparent: sent.traceparent };
  });
  return { traced: { ...record, answers }, end: endOf(spans) };
}

const endOf = (spans: readonly Span[]) => (error?: string) => {
  for (const span of spans) span.end({ error });
};
