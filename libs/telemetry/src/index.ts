/** @public The inferred types of events that other packages define name it. */
export type { EventDefinition } from "./events.ts";
export { defineEvent } from "./events.ts";
export { createTelemetry, type Telemetry } from "./telemetry.ts";
export { type Attributes, noTracer, processing, type Span, type SpanStart, sending, type Tracer } from "./tracer.ts";
