/** A `send` span for each record that continues a frame's trace; the record carries its context to its readers. */
import { type Classifications, type CloudRequest, topics } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";
import { type Attributes, type Span, sending, type Tracer } from "@tributary/telemetry";

export class SendSpans {
  readonly #tracer: Tracer;
  #spans: Span[] = [];

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** Frames that were sent settle one by one; a batch of kept ones has no trace. */
  answer(record: Classifications): Classifications {
    const [answer, ...others] = record.answers;
    if (answer === undefined || others.length > 0 || answer.traceparent === null) return record;
    const { source, settledBy } = answer;
    const traceparent = this.#begin(topics.classifications.name, answer.traceparent, {
      "tributary.frame.id": formatFrameId({ ...record, ...answer }),
      "tributary.answer.source": source,
      "tributary.answer.settled_by": settledBy,
    });
    return { ...record, answers: [{ ...answer, traceparent }] };
  }

  request(topic: string, request: CloudRequest): CloudRequest {
    if (request.traceparent === null) return request;
    const traceparent = this.#begin(topic, request.traceparent, {
      "tributary.frame.id": formatFrameId(request),
      "tributary.target": request.target,
    });
    return { ...request, traceparent };
  }

  end(error?: string): void {
    for (const span of this.#spans.splice(0)) span.end({ error });
  }

  #begin(topic: string, parent: string, about: Attributes): string | null {
    const span = this.#tracer.span({ ...sending("kafka", topic, about), parent });
    this.#spans.push(span);
    return span.traceparent;
  }
}
