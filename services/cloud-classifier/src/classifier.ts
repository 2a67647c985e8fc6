/**
 * From requests to results.
 *
 * C1. Every request that decodes gets a result, whatever happened to it (G2); only then is it committed.
 * C2. A frame whose deadline has passed is not classified, a drawn one is, whatever it was sent for: its label serves the
 *     statistics, not the caller.
 */
import {
  type CloudOutcome as CloudOutcomeName,
  type CloudRequest,
  type CloudResult,
  topics,
} from "@tributary/contracts";
import { cloudEventHeaders, codeOf, type RecordSink } from "@tributary/kafka";
import { type Clock, Failure, formatFrameId } from "@tributary/kernel";
import { sending, type Telemetry } from "@tributary/telemetry";
import { requestSettled, requestUnsettled } from "./events.ts";
import type { Lane } from "./micro-batcher.ts";
import type { Target, Verdict } from "./target.ts";

export type ClassifierOptions = {
  readonly targets: ReadonlyMap<string, Target>;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Settled = Pick<
  CloudResult,
  "outcome" | "label" | "confidence" | "margin" | "failureCode" | "modelDigest" | "attempts"
>;

export class Classifier {
  readonly #options: ClassifierOptions;

  constructor(options: ClassifierOptions) {
    this.#options = options;
  }

  /** Resolves once Kafka has a result for each. */
  async classify(requests: readonly CloudRequest[], lane: Lane): Promise<void> {
    await Promise.all(requests.map((request) => this.#one(request, lane)));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#options.targets.values()].map((target) => target.close()));
    await this.#options.sink.close();
  }

  async #one(request: CloudRequest, lane: Lane): Promise<void> {
    const { clock, targets } = this.#options;
    const takenAtMs = clock.monotonicMs();
    const target = targets.get(request.target);
    const settled = target === undefined ? failed("FAILED", "target-unknown") : await this.#ask(target, request, lane);
    const latencyMs = clock.monotonicMs() - takenAtMs;
    const costMicros = BigInt(settled.attempts * (target?.costMicrosPerCall ?? 0));
    await this.#write(request, { ...settled, latencyMs, costMicros }, lane);
  }

  async #ask(target: Target, request: CloudRequest, lane: Lane): Promise<Settled> {
    const { jpeg, deadlineAt, sampleDrawn: keepExpired } = request;
    if (!keepExpired && deadlineAt <= this.#options.clock.now()) return EXPIRED; // C2
    const frame = { jpeg, frameId: formatFrameId(request), traceparent: request.traceparent };
    return settledBy(await target.submit({ ...frame, deadlineAt, keepExpired, lane }));
  }

  async #write(
    request: CloudRequest,
    settled: Settled & Pick<CloudResult, "latencyMs" | "costMicros">,
    lane: Lane,
  ): Promise<void> {
    const { clock, sink, telemetry } = this.#options;
    const { deviceId, bootId, cameraId, frameSeq, target, arm } = request;
    const { name: topic, codec } = topics.results;
    const about = { "tributary.target": target, "tributary.outcome": settled.outcome };
    const span = telemetry.tracer.span({ ...sending("kafka", topic, about), parent: request.traceparent });
    const { traceparent } = span;
    const result: CloudResult = { deviceId, bootId, cameraId, frameSeq, target, arm, traceparent, ...settled };
    const frameId = formatFrameId(request);
    const headers = cloudEventHeaders({
      id: `${frameId}:${target}:result`,
      source: "/tributary/cloud-classifier",
      type: "tributary.v1.CloudResult",
      time: clock.now(),
      ...(traceparent !== null && { traceparent }),
    });
    try {
      await sink.send([{ topic, key: deviceId, value: codec.encodeConfluent(result), headers }]); // C1
      span.end();
    } catch (error) {
      span.end({ error: codeOf(error) });
      throw error;
    }
    const { outcome, latencyMs } = settled;
    const code = settled.failureCode ?? "";
    telemetry.emit(requestSettled, {
      // An unknown target is a stranger's word: as a label it would have no bound.
      target: this.#options.targets.has(target) ? target : "unknown",
      lane,
      outcome,
      code,
      latencyMs,
      costMicros: Number(settled.costMicros),
      traceparent,
    });
    if (outcome !== "ANSWERED") telemetry.emit(requestUnsettled, { target, outcome, code, frameId, traceparent });
  }
}

const failed = (outcome: CloudOutcomeName, failureCode: string, attempts = 0): Settled => ({
  outcome,
  label: null,
  confidence: null,
  margin: null,
  failureCode,
  modelDigest: null,
  attempts,
});

const EXPIRED = failed("EXPIRED", "deadline-passed");

function settledBy(verdict: Verdict): Settled {
  switch (verdict.kind) {
    case "expired":
      return EXPIRED;
    case "overloaded":
      return failed("OVERLOADED", "queue-full");
    case "closing":
      throw new Failure("classifier-closing", "retry", "the classifier is stopping; the request stays in Kafka");
    case "outcome": {
      const { outcome, attempts } = verdict;
      if (outcome.kind !== "answered") {
        return failed(outcome.kind === "refused" ? "REFUSED" : "FAILED", outcome.code, attempts);
      }
      const { label, confidence, margin, modelDigest } = outcome;
      return { outcome: "ANSWERED", label, confidence, margin, failureCode: null, modelDigest, attempts };
    }
    default:
      return verdict satisfies never;
  }
}
