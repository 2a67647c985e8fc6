import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from "@nestjs/common";
import { type EdgeFrame, topics } from "@tributary/contracts";
import { DeadLetters, FencedSink, KafkajsSink, KafkajsSource, KafkaReader, Lease } from "@tributary/kafka";
import { Admission, SettlementPartition } from "@tributary/routing/settlement";
import { KafkaBatches, type ServiceContext, ThrottleTracker } from "@tributary/service-kit";
import { armsOf } from "./arms.ts";
import {
  admissionSettingsOf,
  experimentOf,
  type RouterConfig,
  relearnSettingsOf,
  settlementLimitsOf,
} from "./config.ts";
import { Draws } from "./draws.ts";
import { Learner } from "./learning/learner.ts";
import { relearnAside } from "./learning/relearning.ts";
import { Partitions } from "./partitions.ts";
import { publishFirstPolicies } from "./policies.ts";
import { ANSWERS_UNSAVED_MAX, GROUP, RouterController } from "./router.controller.ts";

const DAY_MS = 86_400_000;

/** The parts of a router and their life: policies are published before input is taken. */
export class RouterParts implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly partitions: Partitions;
  readonly #context: ServiceContext<RouterConfig>;
  readonly #sink: KafkajsSink;
  readonly #fence: FencedSink;
  readonly #lease: Lease;
  readonly #reader: KafkaReader;
  readonly #learner: Learner | undefined;
  readonly #draws: Draws;
  readonly #throttled: ThrottleTracker;
  #published = false;

  constructor(context: ServiceContext<RouterConfig>) {
    const { config, telemetry, clock, health, schemaIds } = context;
    this.#context = context;
    const kafka = { ...config.kafka, clientId: "tributary-router", telemetry, clock, schemaIds };
    this.#sink = new KafkajsSink(kafka);
    this.#reader = new KafkaReader(kafka);
    this.#lease = new Lease({ clock });
    // Requests are not fenced by themselves: one of a former owner costs a call, and its result answers nothing twice.
    const fenced = [topics.classifications.name, topics.routerState.name];
    this.#fence = new FencedSink({ ...kafka, group: GROUP, topics: fenced, lease: this.#lease });
    const admission = new Admission(admissionSettingsOf(config));
    const limits = settlementLimitsOf(config);
    const armOf = armsOf(experimentOf(config));
    this.#draws = new Draws({ reader: this.#reader, clock, telemetry, random: Math.random });
    this.#throttled = new ThrottleTracker({ reporter: "router", sink: this.#sink, clock, telemetry });
    const isDrawn = (frame: EdgeFrame) => this.#draws.isDrawn(frame);
    this.partitions = new Partitions({
      admission,
      empty: () => new SettlementPartition({ admission, target: config.target, limits, armOf, isDrawn }),
      onUnfair: (deviceId, why) => this.#throttled.note(deviceId, why),
      reader: this.#reader,
      fence: this.#fence,
      clock,
      telemetry,
      deviceIdleMsMax: config.limits.deviceIdleDaysMax * DAY_MS,
    });
    this.#learner = config.learning.enabled
      ? new Learner({
          reader: this.#reader,
          sink: this.#sink,
          clock,
          telemetry,
          target: config.target,
          settings: relearnSettingsOf(config),
          relearn: relearnAside,
          everyMs: config.learning.everyMs,
          windowMs: config.learning.windowDays * DAY_MS,
          runsExperiment: config.experiment !== undefined,
          isLeader: () => this.partitions.holds(0),
        })
      : undefined;
    health.add("policies", () => this.#published || "first policies are not published yet");
    health.add("partitions", () => this.partitions.isReady || "no partition is assigned and rebuilt yet");
  }

  consumers(): KafkaBatches[] {
    const { config, telemetry, clock, schemaIds, crash } = this.#context;
    const kafka = { ...config.kafka, clientId: "tributary-router", telemetry, clock, schemaIds };
    return [
      new KafkaBatches({
        source: (topics) =>
          this.partitions.fenced(new KafkajsSource({ ...kafka, group: GROUP, topics, lease: this.#lease })),
        events: this.partitions,
        deadLetters: new DeadLetters({ sink: this.#sink, group: GROUP, telemetry }),
        clock,
        random: Math.random,
        telemetry,
        onCrash: crash,
      }),
    ];
  }

  async onApplicationBootstrap(): Promise<void> {
    const { config, telemetry, clock } = this.#context;
    const { packages, target } = config;
    await publishFirstPolicies({ packages, target, reader: this.#reader, sink: this.#sink, clock, telemetry });
    this.#published = true;
    this.#draws.start();
    this.#throttled.start();
    this.partitions.start();
    this.#learner?.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#learner?.stop();
    await Promise.all([this.#draws.stop(), this.#throttled.stop()]);
    await this.partitions.stop();
    await this.#fence.close();
    await this.#sink.close();
    await this.#reader.close();
  }
}

@Module({})
export class RouterModule {
  constructor(@Inject(RouterParts) _parts: RouterParts) {}

  static of(parts: RouterParts, config: RouterConfig): DynamicModule {
    return {
      module: RouterModule,
      controllers: [RouterController],
      providers: [
        { provide: RouterParts, useValue: parts },
        { provide: Partitions, useValue: parts.partitions },
        { provide: ANSWERS_UNSAVED_MAX, useValue: config.limits.answersUnsavedMax },
      ],
    };
  }
}
