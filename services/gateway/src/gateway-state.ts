/**
 * What the gateway knows: tables and the newest answers, folded from Kafka's topics while it runs. It is ready once it has
 * read what Kafka held when it started, and it holds no state that Kafka does not.
 */
import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from "@nestjs/common";
import type { Answer } from "@tributary/api";
import { type DeviceReported, topics } from "@tributary/contracts";
import { type FollowContext, follow, followAll, KafkaReader } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { CLOCK, CONFIG, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { DatasetTable } from "@tributary/training/dataset";
import { AnswerRing } from "./answers/ring.ts";
import { ANSWER_SUBSCRIBERS, type AnswerSubscribers, tailAnswers } from "./answers/tail.ts";
import type { GatewayConfig } from "./config.ts";
import { DeviceTable } from "./devices/device-table.ts";
import { VerdictTable } from "./drift/verdict-table.ts";
import { ExperimentTable } from "./experiments/experiment-table.ts";
import { ArchivedFrames } from "./labels/archived-frames.ts";
import { LabelCandidates } from "./labels/candidates.ts";
import { LabelTable } from "./labels/label-table.ts";
import { PolicyTable } from "./policies/policy-table.ts";
import { RolloutTable } from "./rollouts/rollout-table.ts";
import { TrainingTable } from "./trainings/training-table.ts";

const LEVELS = ["FULL", "LITE", "STALE", "SAFE"] as const satisfies readonly NonNullable<
  DeviceReported["driving"]
>["level"][];

@Injectable()
export class GatewayState implements OnModuleInit, BeforeApplicationShutdown {
  readonly #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();
  #isCaughtUp = false;

  constructor(
    @Inject(CONFIG) private readonly config: GatewayConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly reader: KafkaReader,
    private readonly ring: AnswerRing,
    @Inject(ANSWER_SUBSCRIBERS) private readonly subscribers: AnswerSubscribers,
    private readonly devices: DeviceTable,
    private readonly policies: PolicyTable,
    private readonly models: ModelTable,
    private readonly rollouts: RolloutTable,
    private readonly experiments: ExperimentTable,
    private readonly verdicts: VerdictTable,
    private readonly labels: LabelTable,
    private readonly candidates: LabelCandidates,
    private readonly archived: ArchivedFrames,
    private readonly trainings: TrainingTable,
    private readonly datasets: DatasetTable,
    health: Health,
  ) {
    health.add("topics", () => this.health);
    const gauge = (name: string, help: string, read: () => number) =>
      telemetry.gauge({ name: `tributary_gateway_${name}`, help }, read);
    gauge("label_candidates", "Frames worth a person's label", () => candidates.count);
    gauge("recent_answers", "Answers in memory", () => ring.size);
    gauge("rollouts", "Rollouts known", () => rollouts.count);
    gauge("experiments", "Experiments known", () => experiments.count);
    gauge("open_verdicts", "Verdicts of drift that are open", () => verdicts.open);
    gauge("open_trainings", "Trainings that have not ended", () => trainings.open);
    gauge("archived_frames", "Archived frames remembered for the label queue", () => archived.count);
    gauge("devices", "Devices registered", () => devices.count);
    const byLevel = {
      name: "tributary_gateway_devices_at_level",
      help: "Active devices whose cameras have deadlines, by the level that they reported last",
      labels: ["level"],
    };
    telemetry.gauge(byLevel, () =>
      LEVELS.map((level) => ({ labels: { level }, value: this.devices.countAtLevel(level) })),
    );
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#isCaughtUp || "still reading what Kafka holds";
  }

  async onModuleInit(): Promise<void> {
    const { config, reader, clock, random, telemetry, ring, subscribers } = this;
    const context: FollowContext = { reader, clock, random, telemetry, signal: this.#stop.signal };
    const { caughtUp, ended } = await followAll([
      this.devices.follow(context),
      this.policies.follow(context),
      follow(context, topics.models, this.models.onModel),
      follow(context, topics.modelAliases, this.models.onAliases),
      this.rollouts.follow(context),
      this.experiments.follow(context),
      this.verdicts.follow(context),
      this.labels.follow(context),
      this.archived.follow(context),
      this.trainings.follow(context),
      follow(context, topics.datasets, (dataset) => dataset && this.datasets.put(dataset)),
      tailAnswers(context, {
        ring,
        subscribers,
        telemetry,
        backlogRecordsMax: config.answers.backlogRecordsMax,
        onSeen: (deviceId, at) => this.devices.seen(deviceId, at),
        onAnswer: (answer) => this.#offer(answer),
      }),
    ]);
    const isRead = () => {
      this.#isCaughtUp = true;
    };
    caughtUp.then(isRead, () => {}); // stopped before it was
    this.#ended = ended;
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  #offer(answer: Answer): void {
    if (!this.labels.has(answer.frameId)) this.candidates.offer(answer);
  }
}
