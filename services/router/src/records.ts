/** What the router writes for others: answers and requests. */
import { Classifications, CloudRequest, topics } from "@tributary/contracts";
import { cloudEventHeaders, type OutRecord } from "@tributary/kafka";
import { formatFrameId, type Instant } from "@tributary/kernel";
import type { Lane } from "@tributary/routing/settlement";

const SOURCE = "/tributary/router";

export function answerRecord(record: Classifications, now: Instant): OutRecord {
  const first = record.answers[0];
  const of = first === undefined ? record.deviceId : formatFrameId({ ...record, ...first });
  const traceparent = record.answers.length === 1 ? first?.traceparent : null;
  return {
    topic: topics.classifications.name,
    key: record.deviceId,
    value: Classifications.encodeConfluent(record),
    headers: headersOf(`${of}:answer`, "tributary.v1.Classifications", now, traceparent),
  };
}

export const requestTopic = (lane: Lane): string =>
  (lane === "high" ? topics.requestsHigh : topics.requestsNormal).name;

export function requestRecord(lane: Lane, request: CloudRequest, now: Instant): OutRecord {
  return {
    topic: requestTopic(lane),
    key: request.deviceId,
    value: CloudRequest.encodeConfluent(request),
    headers: headersOf(`${formatFrameId(request)}:request`, "tributary.v1.CloudRequest", now, request.traceparent),
    timestamp: now,
  };
}

const headersOf = (id: string, type: string, time: Instant, traceparent: string | null | undefined) =>
  cloudEventHeaders({ id, source: SOURCE, type, time, ...(traceparent != null && { traceparent }) });
