/**
 * From requests to results.
 *
 * Every request that decodes gets a result, whatever happened to it (G2); only then is it committed. A frame whose deadline
 * has passed is not classified, except a drawn one, whatever it was sent for: its label serves the statistics, not the
 * caller. A shadow target gets a share of the frames as well, and its answers go to a topic of their own, from which nobody
 * is answered. It never delays a result, its frames are the first to be shed, and what is lost of it at a shutdown is not
 * asked again.
 */
import { Inject, Injectable, type OnApplicationShutdown } from "@nestjs/common";
import { type CloudRequest, type CloudResult, topics } from "@tributary/contracts";
import { cloudEventHeaders, codeOf, KafkajsSink } from "@tributary/kafka";
import { type Clock, formatFrameId } from "@tributary/kernel";
import { CLOCK, CONFIG, TELEMETRY } from "@tributary/service-kit";
import { sending, type Telemetry } from "@tributary/telemetry";
import type { ClassifierConfig } from "./config.ts";
import { dispatch } from "./dispatch.ts";
import { fallbackTaken, requestSettled, requestUnsettled, shadowSettled } from "./events.ts";
import type { Lane } from "./micro-batcher.ts";
import { type Plan, planOf, type Route } from "./routes.ts";
import { EXPIRED, type Settled, settledBy, unasked } from "./settled.ts";
import type { Submission } from "./target.ts";
import { TARGETS, type Targets } from "./targets.ts";

type Timed = Settled & Pick<CloudResult, "latencyMs">;

@Injectable()
export class Classifier implements OnApplicationShutdown {
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #shadows = new Set<Promise<void>>();

  constructor(
    @Inject(CONFIG) config: ClassifierConfig,
    @Inject(TARGETS) private readonly targets: Targets,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {
    this.#routes = new Map(Object.entries(config.routes));
  }

  /** Resolves once Kafka has a result for each. */
  async classify(requests: readonly CloudRequest[], lane: Lane): Promise<void> {
    await Promise.all(requests.map((request) => this.#one(request, lane)));
  }

  /** The consumer has drained by now: what it waited for needed the targets. */
  async onApplicationShutdown(): Promise<void> {
    await Promise.all([...this.targets.values()].map((target) => target.close()));
    await Promise.all(this.#shadows);
  }

  async #one(request: CloudRequest, lane: Lane): Promise<void> {
    const { clock } = this;
    const takenAtMs = clock.monotonicMs();
    const plan = planOf(this.#routes.get(request.target), { ...request, frameId: formatFrameId(request) });
    const armed = { ...request, arm: plan.arm };
    if (plan.shadow !== null) this.#shadow(plan.shadow, armed);
    const settled = await this.#ask(plan, request, lane);
    await this.#write(armed, { ...settled, latencyMs: clock.monotonicMs() - takenAtMs }, lane);
  }

  async #ask(plan: Plan, request: CloudRequest, lane: Lane): Promise<Settled> {
    const { clock, telemetry } = this;
    const targets = plan.targets.flatMap((name) => this.targets.get(name) ?? []);
    if (targets.length === 0) return unasked("FAILED", "target-unknown");
    if (!request.sampleDrawn && request.deadlineAt <= clock.now()) return EXPIRED;
    const route = this.#routes.get(request.target);
    const { target, verdict } = await dispatch(submissionOf(request, lane), {
      targets,
      reserveMs: route?.fallbackReserveMs ?? 0,
      clock,
      onFallback: (event) => telemetry.emit(fallbackTaken, event),
    });
    return settledBy(verdict, route === undefined ? null : target);
  }

  /** Asks the shadow target beside the others; its errors are counted only. */
  #shadow(name: string, request: CloudRequest): void {
    const { clock, targets, telemetry } = this;
    const target = targets.get(name);
    if (target === undefined) return;
    const takenAtMs = clock.monotonicMs();
    const asked = target
      .submit({ ...submissionOf(request, "normal"), keepExpired: false })
      .then(async (verdict) => {
        if (verdict.kind === "closing") return;
        const settled = { ...settledBy(verdict, name), latencyMs: clock.monotonicMs() - takenAtMs };
        await this.#send(topics.shadow.name, request, settled, request.traceparent);
        const { outcome, failureCode, latencyMs, costMicros } = settled;
        const event = { target: name, outcome, code: failureCode ?? "", latencyMs, costMicros: Number(costMicros) };
        telemetry.emit(shadowSettled, event);
      })
      .catch((error) => {
        const nothing = { target: name, outcome: "UNKNOWN", latencyMs: 0, costMicros: 0 };
        telemetry.emit(shadowSettled, { ...nothing, code: codeOf(error) });
      })
      .finally(() => this.#shadows.delete(asked));
    this.#shadows.add(asked);
  }

  async #write(request: CloudRequest, settled: Timed, lane: Lane): Promise<void> {
    const { telemetry } = this;
    const { target } = request;
    const about = { "tributary.target": target, "tributary.outcome": settled.outcome };
    const span = telemetry.tracer.span({
      ...sending("kafka", topics.results.name, about),
      parent: request.traceparent,
    });
    const { traceparent } = span;
    try {
      await this.#send(topics.results.name, request, settled, traceparent);
      span.end();
    } catch (error) {
      span.end({ error: codeOf(error) });
      throw error;
    }
    const { outcome, latencyMs, answeredBy } = settled;
    const code = settled.failureCode ?? "";
    // An unknown target's name comes from outside: as a metric label it would be unbounded.
    const known = this.targets.has(target) || this.#routes.has(target) ? target : "unknown";
    telemetry.emit(requestSettled, {
      target: answeredBy ?? known,
      lane: lane === "high" && request.reason === "FALLBACK" ? "fallback" : lane,
      outcome,
      code,
      latencyMs,
      costMicros: Number(settled.costMicros),
      traceparent,
    });
    const frameId = formatFrameId(request);
    if (outcome !== "ANSWERED") telemetry.emit(requestUnsettled, { target, outcome, code, frameId, traceparent });
  }

  async #send(topic: string, request: CloudRequest, settled: Timed, traceparent: string | null): Promise<void> {
    const { clock, sink } = this;
    const { deviceId, bootId, cameraId, frameSeq, target, arm } = request;
    const result: CloudResult = { deviceId, bootId, cameraId, frameSeq, target, arm, traceparent, ...settled };
    const headers = cloudEventHeaders({
      id: `${formatFrameId(request)}:${target}:${topic === topics.shadow.name ? "shadow" : "result"}`,
      source: "/tributary/cloud-classifier",
      type: "tributary.v1.CloudResult",
      time: clock.now(),
      ...(traceparent !== null && { traceparent }),
    });
    await sink.send([{ topic, key: deviceId, value: topics.results.codec.encodeConfluent(result), headers }]);
  }
}

const submissionOf = (request: CloudRequest, lane: Lane): Submission => ({
  jpeg: request.jpeg,
  frameId: formatFrameId(request),
  traceparent: request.traceparent,
  deadlineAt: request.deadlineAt,
  keepExpired: request.sampleDrawn,
  lane,
  deviceId: request.deviceId,
});
