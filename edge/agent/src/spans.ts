/**
 * The device's spans of a sent frame: its trace starts here, and ends with the final answer.
 *
 * The outbox stores the trace with the frame, so that one that waits over a restart, or over days, continues the same trace.
 */
import { processing, type Span, sending, type Tracer } from "@tributary/telemetry";
import { monotonicMs } from "./device-time.ts";
import type { SendTrace } from "./outbox/rows.ts";

const UP = "tributary/v1/{deviceId}/up/";
const RESULTS = "tributary/v1/{deviceId}/down/results";

export type DecidedFrame = {
  readonly frameId: string;
  readonly cameraId: string;
  readonly reason: string;
  readonly label: string;
  /** On the monotonic clock. */
  readonly capturedMs: number;
  readonly inferFromMs: number;
  readonly inferredMs: number;
};

/** Called for a frame that is to be sent: others have no trace. Null: this device does not trace. */
export function traceFrame(tracer: Tracer, frame: DecidedFrame): string | null {
  if (!tracer.isOn) return null;
  const nowMs = monotonicMs();
  const ago = (ms: number) => ({ agoMs: nowMs - ms });
  const root = tracer.span({
    name: "frame",
    ...ago(frame.capturedMs),
    attributes: {
      "tributary.frame.id": frame.frameId,
      "tributary.camera.id": frame.cameraId,
      "tributary.reason": frame.reason,
      "tributary.label": frame.label,
    },
  });
  const parent = root.traceparent;
  tracer.span({ name: "infer", parent, ...ago(frame.inferFromMs) }).end(ago(frame.inferredMs));
  tracer.span({ name: "decide", parent, ...ago(frame.inferredMs) }).end();
  root.end();
  return parent;
}

/** From the publication to its acknowledgement; the record names this span already. */
export function traceSend(
  tracer: Tracer,
  stream: string,
  bytes: number,
  trace: SendTrace | undefined,
): Span | undefined {
  if (trace === undefined) return undefined;
  const { parent, context, waitedMs } = trace;
  tracer.span({ name: "outbox", parent, agoMs: waitedMs }).end();
  return tracer.span({ ...sending("mqtt", UP + stream, { "messaging.message.body.size": bytes }), parent, context });
}

export function traceResult(tracer: Tracer, frameId: string, parent: string | null): void {
  if (parent !== null) tracer.span({ ...processing("mqtt", RESULTS, { "tributary.frame.id": frameId }), parent }).end();
}
