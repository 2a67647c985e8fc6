/**
 * Spans through the OpenTelemetry SDK, to wherever its standard environment variables point. Loaded on demand: the SDK takes
 * more memory than an agent has to spare.
 *
 * The environment decides: exporter, protocol, sampler and its ratio, batch sizes, resource attributes. What waits for the
 * collector is bounded by the SDK's batch processor (G9); what it drops or cannot send is reported. No module is patched and no
 * context follows the program's own calls: every parent is handed over by name. */
import {
  type Span as ApiSpan,
  DiagLogLevel,
  diag,
  type Link,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { traceContextOf, traceparentOf } from "@tributary/kernel";
import type { Attributes, Span, SpanStart, Tracer } from "./tracer.ts";

export type OtelOptions = {
  readonly resource: Attributes;
  readonly onTrouble: (reason: string) => void;
};

export type StartedTracer = Tracer & { flush(): Promise<void> };

const KINDS = {
  internal: SpanKind.INTERNAL,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/** What a process that ends may still wait for its collector. */
const FLUSH_MS_MAX = 3_000;

export function startOtel({ resource, onTrouble }: OtelOptions): StartedTracer {
  const ids = new Ids();
  const report = (message: string, ...rest: unknown[]) => onTrouble([message, ...rest.map(String)].join(" "));
  const silent = () => {};
  if (process.env.OTEL_LOG_LEVEL === undefined) {
    const logger = { error: report, warn: report, info: silent, debug: silent, verbose: silent };
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  }
  const sdk = new NodeSDK({
    idGenerator: ids,
    resource: resourceFromAttributes(resource),
    resourceDetectors: [envDetector],
    instrumentations: [],
    textMapPropagator: null,
    // Metrics are Prometheus's to fetch, and lines are standard output's.
    metricReaders: [],
    logRecordProcessors: [],
  });
  sdk.start();
  const tracer = trace.getTracer("tributary");
  const clock = new SpanClock();
  return {
    isOn: true,
    span(start) {
      const { name, kind = "internal", parent, links, attributes, agoMs, context } = start;
      ids.useOnce(traceContextOf(context)?.spanId);
      const linked = links?.flatMap((traceparent) => linkOf(traceparent) ?? []);
      const span = tracer.startSpan(
        name,
        {
          kind: KINDS[kind],
          startTime: clock.now(agoMs),
          ...(attributes && { attributes: { ...attributes } }),
          ...(linked && { links: linked }),
        },
        parentContext(parent),
      );
      return recorded(span, clock);
    },
    async flush() {
      const timer = Promise.withResolvers<void>();
      const late = setTimeout(timer.resolve, FLUSH_MS_MAX);
      await Promise.race([sdk.shutdown().catch((error: unknown) => report(String(error))), timer.promise]);
      clearTimeout(late);
    },
  };
}

function recorded(span: ApiSpan, clock: SpanClock): Span {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return {
    traceparent: traceparentOf({ traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0 }),
    set: (attributes) => void span.setAttributes({ ...attributes }),
    link(traceparent) {
      const link = linkOf(traceparent);
      if (link !== undefined) span.addLink(link);
    },
    end({ agoMs, error } = {}) {
      if (error !== undefined) {
        span.setAttribute("error.type", error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      }
      span.end(clock.now(agoMs));
    },
  };
}

function parentContext(traceparent: SpanStart["parent"]) {
  const link = linkOf(traceparent);
  return link === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...link.context, isRemote: true });
}

function linkOf(traceparent: string | null | undefined): Link | undefined {
  const context = traceContextOf(traceparent);
  if (context === undefined) return undefined;
  const { traceId, spanId, isSampled } = context;
  return { context: { traceId, spanId, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE } };
}

/** Random ids, but for a span whose id is in a record already. */
class Ids {
  #next: string | undefined;

  useOnce(spanId: string | undefined): void {
    this.#next = spanId;
  }

  generateTraceId(): string {
    return randomHex(16);
  }

  generateSpanId(): string {
    const spanId = this.#next ?? randomHex(8);
    this.#next = undefined;
    return spanId;
  }
}

const randomHex = (bytes: number): string => Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");

/** Wall-clock time in fractions of a millisecond, which follows the machine's clock when somebody sets it. */
class SpanClock {
  #offsetMs = performance.timeOrigin;

  now(agoMs = 0): number {
    const drift = Date.now() - (this.#offsetMs + performance.now());
    if (Math.abs(drift) > 5) this.#offsetMs += drift;
    return this.#offsetMs + performance.now() - agoMs;
  }
}
