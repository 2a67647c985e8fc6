/**
 * What a process reports of a frame's journey: spans at its borders. Nothing here knows OpenTelemetry; `otel.ts` does, and
 * is loaded only where the environment configures tracing.
 *
 * Times are given as ages: the caller needs no wall clock, and a span can be reported when it is over.
 *
 * S1. A span whose process does not trace hands its parent's context on, so that a silent process breaks no trace.
 * S2. Whether a trace is sampled is decided where it starts; the flag in its `traceparent` decides from there on. */
export type SpanKind = "internal" | "client" | "producer" | "consumer";

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export type SpanStart = {
  /** Few different ones: what varies belongs into attributes. */
  readonly name: string;
  readonly kind?: SpanKind;
  /** `traceparent` of the span that caused this one. A trace starts here when there is none. */
  readonly parent?: string | null | undefined;
  /** `traceparent`s of other spans that this one concerns: the messages of a batch. */
  readonly links?: readonly (string | null)[];
  readonly attributes?: Attributes;
  /** It started so many milliseconds ago. */
  readonly agoMs?: number;
  /** Its own context, when a record that carries it was formed before the span (`childTraceparent`). */
  readonly context?: string | null | undefined;
};

export interface Span {
  /** For records and headers; null where there is no trace. */
  readonly traceparent: string | null;
  set(attributes: Attributes): void;
  link(traceparent: string | null): void;
  /** Once. `error`: a code, when it failed. */
  end(how?: { readonly agoMs?: number; readonly error?: string | undefined }): void;
}

export interface Tracer {
  readonly isOn: boolean;
  span(start: SpanStart): Span;
}

const silent = (traceparent: string | null): Span => ({ traceparent, set: () => {}, link: () => {}, end: () => {} });
const NO_SPAN = silent(null);

export const noTracer: Tracer = {
  isOn: false,
  span: ({ parent }) => (parent == null ? NO_SPAN : silent(parent)),
};

export type MessagingSystem = "kafka" | "mqtt";

type Messaging = Pick<SpanStart, "name" | "kind" | "attributes">;

/** OpenTelemetry's conventions for messaging. `destination` names a topic, or the template of many. */
export const sending = (system: MessagingSystem, destination: string, more: Attributes = {}): Messaging => ({
  name: `send ${destination}`,
  kind: "producer",
  attributes: { ...messaging(system, destination), ...operation("send"), ...more },
});

export const processing = (system: MessagingSystem, destination: string, more: Attributes = {}): Messaging => ({
  name: `process ${destination}`,
  kind: "consumer",
  attributes: { ...messaging(system, destination), ...operation("process"), ...more },
});

const messaging = (system: MessagingSystem, destination: string): Attributes => ({
  "messaging.system": system,
  [destination.includes("{") ? "messaging.destination.template" : "messaging.destination.name"]: destination,
});

const operation = (name: string): Attributes => ({
  "messaging.operation.name": name,
  "messaging.operation.type": name,
});
