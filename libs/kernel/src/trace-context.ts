/** W3C trace context as our records carry it: one `traceparent` of version 00, or null without tracing. */
import type { Random } from "./random.ts";

export type TraceContext = { readonly traceId: string; readonly spanId: string; readonly isSampled: boolean };

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;
const SAMPLED = 1;

/** Undefined for what is no trace context: an invalid one starts a new trace, and never breaks one. */
export function traceContextOf(traceparent: string | null | undefined): TraceContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

export const traceparentOf = ({ traceId, spanId, isSampled }: TraceContext): string =>
  `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;

/** A span's context before the span itself: for a record that is made where no span can be started. Null: no trace. */
export function childTraceparent(parent: string | null | undefined, random: Random): string | null {
  const context = traceContextOf(parent);
  if (context === undefined) return null;
  const half = () => Math.floor(random() * 0x1_0000_0000);
  // The lowest bit is set, since no span has the number 0.
  const spanId = hex(half()) + hex((half() | 1) >>> 0);
  return traceparentOf({ ...context, spanId });
}

const hex = (value: number): string => value.toString(16).padStart(8, "0");
