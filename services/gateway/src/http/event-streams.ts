import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from "@nestjs/common";
import { type Clock, repeatLater } from "@tributary/kernel";
import { CLOCK, CONFIG, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { ANSWER_SUBSCRIBERS, type AnswerSubscribers } from "../answers/tail.ts";
import type { GatewayConfig } from "../config.ts";
import { VERDICT_SUBSCRIBERS, type VerdictSubscribers } from "../drift/verdict-table.ts";
import { ROLLOUT_SUBSCRIBERS, type RolloutSubscribers } from "../rollouts/rollout-table.ts";
import { TRAINING_SUBSCRIBERS, type TrainingSubscribers } from "../trainings/training-table.ts";

/** Keeps the streams of server-sent events alive, and ends them before the HTTP server does. */
@Injectable()
export class EventStreams implements OnModuleInit, BeforeApplicationShutdown {
  readonly #subscribers: readonly Pick<AnswerSubscribers, "count" | "heartbeat" | "close">[];
  readonly #stop = new AbortController();
  #beating: Promise<void> = Promise.resolve();

  constructor(
    @Inject(ANSWER_SUBSCRIBERS) answers: AnswerSubscribers,
    @Inject(ROLLOUT_SUBSCRIBERS) rollouts: RolloutSubscribers,
    @Inject(VERDICT_SUBSCRIBERS) verdicts: VerdictSubscribers,
    @Inject(TRAINING_SUBSCRIBERS) trainings: TrainingSubscribers,
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) telemetry: Telemetry,
  ) {
    this.#subscribers = [answers, rollouts, verdicts, trainings];
    const gauge = { name: "tributary_gateway_event_clients", help: "Event clients now" };
    telemetry.gauge(gauge, () => this.#subscribers.reduce((sum, { count }) => sum + count, 0));
  }

  onModuleInit(): void {
    const { clock } = this;
    const everyMs = this.config.events.heartbeatMs;
    const beat = () => {
      for (const subscribers of this.#subscribers) subscribers.heartbeat();
    };
    this.#beating = repeatLater(beat, { clock, everyMs, signal: this.#stop.signal });
  }

  async beforeApplicationShutdown(): Promise<void> {
    for (const subscribers of this.#subscribers) subscribers.close();
    this.#stop.abort();
    await this.#beating;
  }
}
