/**
 * Typed events become log lines and metrics, borders become spans; services emit events and never write log strings.
 *
 * T1. One `emit` gives at most one line and exactly one observation per metric of the event.
 * T2. Lines per event name are bounded, and a source of many hides no other: an event's source is its field `remote` (an
 *     address), or else `deviceId`. Metrics are not affected by that bound (rate-bound.ts).
 * T3. Gauges are read when scraped; a gauge that throws is left out and never breaks the scrape.
 * T4. `emit` does not throw over a number that a metric cannot take: telemetry must not undo the work that it reports.
 * T5. A line about a traced frame has the trace's ids: an event's `traceparent` becomes `trace_id` and `span_id`.
 * T6. Metrics are there before anything happened, a counter without labels as 0: an alert must not wait for a first time.
 * T7. Nothing of tracing is loaded unless the environment sets where spans go.
 */
import { type Clock, reasonOf, sourceOf, systemClock, traceContextOf } from "@tributary/kernel";
import { type Logger, pino } from "pino";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import {
  type CounterDefinition,
  definedEvents,
  defineEvent,
  type EventDefinition,
  type EventFields,
  type HistogramDefinition,
} from "./events.ts";
import { RateBound } from "./rate-bound.ts";
import { type Attributes, noTracer, type Tracer } from "./tracer.ts";

export type Level = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

export type GaugeDefinition = { readonly name: string; readonly help: string; readonly labels?: readonly string[] };
export type GaugeReading = { readonly labels: Readonly<Record<string, string | number>>; readonly value: number };

export type TelemetryOptions = {
  readonly service: string;
  readonly level?: Level | "silent";
  /** Lines per event name and second. */
  readonly linesPerSecondMax?: number;
  /** Process and event-loop metrics; on by default. */
  readonly defaultMetrics?: boolean;
  /** Where lines go; standard output by default. */
  readonly write?: (line: string) => void;
  readonly clock?: Clock;
};

export interface Telemetry {
  readonly service: string;
  emit<E extends EventFields>(definition: EventDefinition<E>, event: NoInfer<E>): void;
  /** Registers a gauge that is read at scrape. A second registration of a name replaces the first. */
  gauge(definition: GaugeDefinition, read: () => number | readonly GaugeReading[]): void;
  /** The one line a supervisor waits for, written whatever the level: `{"event":"ready","service":…,"ports":{…}}`. */
  ready(ports: Readonly<Record<string, number>>): void;
  /** Prometheus text format. */
  metrics(): Promise<string>;
  readonly metricsContentType: string;
  /** Silent unless `startTracing` found a reason to speak. */
  readonly tracer: Tracer;
  /** Loads the OpenTelemetry SDK if its environment variables name a collector. */
  startTracing(resource?: Attributes): Promise<void>;
  /** Sends what spans wait, for a bounded time. Call it before `close`. */
  stopTracing(): Promise<void>;
  /** Writes what the rate bound still holds back. Call it before the process ends. */
  close(): void;
}

const WINDOW_MS = 1_000;

export const tracingTroubled = defineEvent<{ reason: string }>({
  name: "tracing_troubled",
  level: "warn",
  message: (e) => e.reason,
  counter: { name: "tributary_tracing_troubles_total", help: "What the tracing SDK warned of, such as lost spans" },
});

/** Names of prom-client's that end in "total" without being totals; the same numbers are in `nodejs_active_resources` and
 * others. */
const MISNAMED_METRICS = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

function loggerOf(options: TelemetryOptions, clock: Clock): Logger {
  return pino(
    {
      level: options.level ?? "info",
      base: { service: options.service },
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    // Synchronous, so that the last lines of a process that exits are not lost.
    options.write === undefined ? pino.destination({ dest: 1, sync: true }) : { write: options.write },
  );
}

/** The metrics of an event, each made at its first use. */
function observing(metricRegistry: Registry) {
  type Observe = (event: EventFields) => void;
  const observers = new Map<EventDefinition<never>, readonly Observe[]>();

  return <E extends EventFields>(definition: EventDefinition<E>): readonly Observe[] => {
    const known = observers.get(definition);
    if (known !== undefined) return known;
    const made = [
      ...listOf(definition.counter).map((counter) => counterOf(metricRegistry, counter)),
      ...listOf(definition.histogram).map((histogram) => histogramOf(metricRegistry, histogram)),
    ] as Observe[];
    observers.set(definition, made);
    return made;
  };
}

function writeSuppressed(logger: Logger, suppressed: ReturnType<RateBound["due"]>): void {
  for (const { event, count, most } of suppressed) {
    const from = most.map((one) => `${one.count} of ${one.source}`).join(", ");
    logger.warn(
      { event: "suppressed", suppressedEvent: event, count, ...(most.length > 0 && { most }) },
      `${count} more lines of ${event} not written${from && `: ${from}`}`,
    );
  }
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const clock = options.clock ?? systemClock;
  const metricRegistry = new Registry();
  const bound = new RateBound(options.linesPerSecondMax ?? 20, WINDOW_MS);
  const logger = loggerOf(options, clock);
  if (options.defaultMetrics !== false) {
    collectDefaultMetrics({ register: metricRegistry });
    for (const name of MISNAMED_METRICS) metricRegistry.removeSingleMetric(name);
  }

  const observersOf = observing(metricRegistry);
  const summarise = (everything = false): void => writeSuppressed(logger, bound.due(clock.monotonicMs(), everything));

  let tracer = noTracer;
  let stopTracing = async (): Promise<void> => {};

  const telemetry: Telemetry = {
    service: options.service,
    metricsContentType: metricRegistry.contentType,
    get tracer() {
      return tracer;
    },
    async startTracing(resource = {}) {
      if (!isTracingWanted(process.env)) return;
      const onTrouble = (reason: string) => telemetry.emit(tracingTroubled, { reason: reason.slice(0, 500) });
      try {
        const { startOtel } = await import("./otel.ts");
        const about = { "service.name": `tributary-${options.service}`, "service.namespace": "tributary" };
        const started = startOtel({ resource: { ...about, ...resource }, onTrouble });
        tracer = started;
        stopTracing = () => started.flush();
      } catch (error) {
        onTrouble(`nothing is traced: ${reasonOf(error)}`); // A process works whether or not it is watched.
      }
    },
    stopTracing: () => stopTracing(),
    emit(definition, event) {
      for (const observe of observersOf(definition)) observe(event);
      if (!logger.isLevelEnabled(definition.level)) return;
      summarise();
      if (!bound.admit(definition.name, sourceOfEvent(event), clock.monotonicMs())) return;
      const fields: EventFields = { event: definition.name, ...withTraceIds(event) };
      logger[definition.level](fields, definition.message(event));
    },
    gauge: (definition, read) => registerGauge(metricRegistry, definition, read),
    ready(ports) {
      const line = `${JSON.stringify({ event: "ready", service: options.service, ports })}\n`;
      if (options.write === undefined) process.stdout.write(line);
      else options.write(line);
    },
    metrics() {
      for (const definition of definedEvents()) observersOf(definition);
      summarise();
      return metricRegistry.metrics();
    },
    close() {
      summarise(true);
    },
  };
  return telemetry;
}

function registerGauge(
  metricRegistry: Registry,
  definition: GaugeDefinition,
  read: () => number | readonly GaugeReading[],
): void {
  metricRegistry.removeSingleMetric(definition.name);
  const gauge: Gauge<string> = new Gauge({
    name: definition.name,
    help: definition.help,
    labelNames: [...(definition.labels ?? [])],
    registers: [metricRegistry],
    collect: () => {
      gauge.reset();
      try {
        const value = read();
        if (typeof value === "number") gauge.set(value);
        else for (const reading of value) gauge.set(reading.labels, reading.value);
      } catch {
        gauge.reset();
      }
    },
  });
}

function isTracingWanted(env: NodeJS.ProcessEnv): boolean {
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT ?? "";
  return endpoint !== "" && env.OTEL_SDK_DISABLED?.toLowerCase() !== "true" && env.OTEL_TRACES_EXPORTER !== "none";
}

const SOURCE_CHARS_MAX = 64;

/** Where an event came from, as far as it is known. */
function sourceOfEvent({ remote, deviceId }: EventFields): string | undefined {
  if (typeof remote === "string" && remote !== "unknown") return sourceOf(remote).slice(0, SOURCE_CHARS_MAX);
  if (typeof deviceId === "string" && deviceId !== "unknown") return deviceId.slice(0, SOURCE_CHARS_MAX);
  return undefined;
}

function withTraceIds(event: EventFields): EventFields {
  if (!("traceparent" in event)) return event;
  const { traceparent, ...fields } = event;
  const context = typeof traceparent === "string" ? traceContextOf(traceparent) : undefined;
  return context === undefined ? fields : { ...fields, trace_id: context.traceId, span_id: context.spanId };
}

const listOf = <T>(one: T | readonly T[] | undefined): readonly T[] =>
  one === undefined ? [] : Array.isArray(one) ? one : [one as T];

/** Two events may share a metric: the first registers it, the others find it. */
function counterOf<E extends EventFields>(
  metricRegistry: Registry,
  definition: CounterDefinition<E>,
): (event: E) => void {
  const labels = labelNamesOf(definition.labels);
  const counter =
    (metricRegistry.getSingleMetric(definition.name) as Counter<string> | undefined) ??
    new Counter({
      name: definition.name,
      help: definition.help,
      labelNames: labels.map(([, name]) => name),
      registers: [metricRegistry],
    });
  return (event) => {
    const value = definition.value?.(event) ?? 1;
    if (Number.isFinite(value) && value >= 0) counter.inc(labelsOf(event, labels), value);
  };
}

function histogramOf<E extends EventFields>(
  metricRegistry: Registry,
  definition: HistogramDefinition<E>,
): (event: E) => void {
  const labels = labelNamesOf(definition.labels);
  const histogram =
    (metricRegistry.getSingleMetric(definition.name) as Histogram<string> | undefined) ??
    new Histogram({
      name: definition.name,
      help: definition.help,
      buckets: [...definition.buckets],
      labelNames: labels.map(([, name]) => name),
      registers: [metricRegistry],
    });
  return (event) => {
    const value = definition.value(event);
    if (Number.isFinite(value)) histogram.observe(labelsOf(event, labels), value);
  };
}

type LabelName = readonly [field: string, name: string];

/** Fields are camelCase as in our records, labels snake_case as in Prometheus. */
const labelNamesOf = (fields: readonly string[] = []): readonly LabelName[] =>
  fields.map((field) => [field, field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]);

const labelsOf = (event: EventFields, labels: readonly LabelName[]): Record<string, string> =>
  Object.fromEntries(labels.map(([field, name]) => [name, String(event[field])]));
