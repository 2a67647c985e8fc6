/**
 * A `call` span for each call of a backend, linked with every traced frame in it.
 *
 * The span is in the trace of the first sampled frame and links to the others; each of those has a `batched` span that links
 * back. So a call has one span as soon as one of its frames is sampled, and it is found from all of them. The frames carry
 * its context on, for backends that pass it to their servers.
 */
import { traceContextOf } from "@tributary/kernel";
import type { Tracer } from "@tributary/telemetry";
import type { CloudBackend, CloudFrame } from "./cloud-backend.ts";

export function tracedBackend(backend: CloudBackend, target: string, tracer: Tracer): CloudBackend {
  return {
    ready: () => backend.ready(),
    close: () => backend.close(),
    async classify(batch, context) {
      const [first, ...others] = batch.flatMap(sampledOf);
      if (first === undefined || !tracer.isOn) return backend.classify(batch, context);
      const about = { "tributary.target": target, "tributary.batch.frames": batch.length };
      const call = tracer.span({
        name: `call ${target}`,
        kind: "client",
        parent: first,
        links: others,
        attributes: about,
      });
      const shares = others.map((parent) =>
        tracer.span({ name: `batched ${target}`, parent, links: [call.traceparent], attributes: about }),
      );
      const traced = batch.map((frame) => ({ ...frame, traceparent: call.traceparent }));
      const outcomes = await backend.classify(traced, context);
      const failure = outcomes.find(({ kind }) => kind !== "answered");
      const error = failure === undefined || failure.kind === "answered" ? undefined : failure.code;
      for (const span of [call, ...shares]) span.end({ error });
      return outcomes;
    },
  };
}

const sampledOf = ({ traceparent }: CloudFrame): string[] =>
  traceparent != null && traceContextOf(traceparent)?.isSampled ? [traceparent] : [];
