/** The headers of every record of ours: CloudEvents in binary mode, and W3C trace context. */
export type CloudEvent = {
  /** Identity of the message, e.g. deviceId:bootId:frames:17. */
  readonly id: string;
  /** Who wrote it, e.g. /tributary/bridge or /devices/cam-01. */
  readonly source: string;
  /** Record name of the contract, e.g. tributary.v1.EdgeFrame. */
  readonly type: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly contentType?: string;
  readonly traceparent?: string;
};

export const AVRO_CONTENT_TYPE = "application/avro";

export function cloudEventHeaders(event: CloudEvent): Record<string, string> {
  return {
    ce_id: event.id,
    ce_source: event.source,
    ce_type: event.type,
    ce_specversion: "1.0",
    ce_time: new Date(event.time).toISOString(),
    "content-type": event.contentType ?? AVRO_CONTENT_TYPE,
    ...(event.traceparent !== undefined && { traceparent: event.traceparent }),
  };
}
