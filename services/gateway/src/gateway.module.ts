/** The gateway: its tables follow Kafka (gateway-state.ts), its controllers answer from them, changes go to Kafka or upstream. */
import { Module } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { KafkaReader } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { schemaRegistryOf } from "@tributary/schema-registry";
import {
  CLOCK,
  CONFIG,
  KAFKA,
  type KafkaConnection,
  KafkaModule,
  ProblemFilter,
  TELEMETRY,
} from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { DatasetTable } from "@tributary/training/dataset";
import { AnswersController } from "./answers/answers.controller.ts";
import { AnswerRing } from "./answers/ring.ts";
import { ANSWER_SUBSCRIBERS, answerStream } from "./answers/tail.ts";
import { ArchiveController } from "./archive/archive.controller.ts";
import { ASYNCAPI, AsyncApiController, asyncApiFiles } from "./asyncapi/asyncapi.controller.ts";
import type { GatewayConfig } from "./config.ts";
import { DatasetsController } from "./datasets/datasets.controller.ts";
import { DeviceTable } from "./devices/device-table.ts";
import { DevicesController } from "./devices/devices.controller.ts";
import { Registrar } from "./devices/registrar.ts";
import { DriftController } from "./drift/drift.controller.ts";
import { ProfileReader } from "./drift/profile-reader.ts";
import { Reviews } from "./drift/reviews.ts";
import { VERDICT_SUBSCRIBERS, type VerdictSubscribers, VerdictTable, verdictStream } from "./drift/verdict-table.ts";
import { clientDropped, entryForgotten } from "./events.ts";
import { ExperimentTable } from "./experiments/experiment-table.ts";
import { ExperimentsController } from "./experiments/experiments.controller.ts";
import { Upstream } from "./forwarding/upstream.ts";
import { ExplainSources } from "./frames/explain.ts";
import { FRAME_ARCHIVE, FramePictures } from "./frames/frame-pictures.ts";
import { FramesController } from "./frames/frames.controller.ts";
import { FrameSearch } from "./frames/search.ts";
import { GatewayState } from "./gateway-state.ts";
import { EventStreams } from "./http/event-streams.ts";
import { problemOf } from "./http/failures.ts";
import { StartingGuard } from "./http/starting.guard.ts";
import { type StreamFormat, Subscribers } from "./http/subscribers.ts";
import { ArchivedFrames } from "./labels/archived-frames.ts";
import { LabelCandidates } from "./labels/candidates.ts";
import { FrameIndex } from "./labels/frame-index.ts";
import { LabelTable } from "./labels/label-table.ts";
import { LabelsController } from "./labels/labels.controller.ts";
import { Labels } from "./labels/labels.ts";
import { MODEL_REGISTRY, ModelsController } from "./models/models.controller.ts";
import { PoliciesController } from "./policies/policies.controller.ts";
import { PolicyTable } from "./policies/policy-table.ts";
import { PolicyVersions } from "./policies/policy-versions.ts";
import { refusalOf } from "./registry/errors.ts";
import { REGISTRY, RegistryController } from "./registry/registry.controller.ts";
import { ROLLOUT_SUBSCRIBERS, type RolloutSubscribers, RolloutTable, rolloutStream } from "./rollouts/rollout-table.ts";
import { ROLLOUT_MANAGER, RolloutsController } from "./rollouts/rollouts.controller.ts";
import { TrainingReports } from "./trainings/training-reports.ts";
import {
  TRAINER,
  TRAINING_SUBSCRIBERS,
  type TrainingSubscribers,
  TrainingTable,
  trainingStream,
} from "./trainings/training-table.ts";
import { TrainingsController } from "./trainings/trainings.controller.ts";

const subscribersOf =
  <Item, Filter>(format: StreamFormat<Item, Filter>) =>
  ({ events }: GatewayConfig, telemetry: Telemetry) =>
    new Subscribers(format, events, ({ reason }) => telemetry.emit(clientDropped, { reason }));

/** For a table that devices share: what its bound made it forget is counted. */
const counting = (telemetry: Telemetry, table: string) => (deviceId: string) =>
  telemetry.emit(entryForgotten, { table, deviceId });

const tables = [
  PolicyTable,
  ModelTable,
  DatasetTable,
  DeviceTable,
  {
    provide: AnswerRing,
    useFactory: ({ answers }: GatewayConfig, telemetry: Telemetry) =>
      new AnswerRing(answers.recentMax, counting(telemetry, "recent-answers")),
    inject: [CONFIG, TELEMETRY],
  },
  {
    provide: RolloutTable,
    useFactory: (
      { rollouts, scan }: GatewayConfig,
      reader: KafkaReader,
      search: FrameSearch,
      models: ModelTable,
      subscribers: RolloutSubscribers,
      telemetry: Telemetry,
    ) =>
      new RolloutTable({
        reader,
        search,
        subscribers,
        telemetry,
        limits: rollouts,
        recordsMax: scan.recordsMax,
        naming: (digest) => models.byDigest(digest),
      }),
    inject: [CONFIG, KafkaReader, FrameSearch, ModelTable, ROLLOUT_SUBSCRIBERS, TELEMETRY],
  },
  {
    provide: ExperimentTable,
    useFactory: (
      { rollouts }: GatewayConfig,
      models: ModelTable,
      histories: RolloutTable,
      trainings: TrainingTable,
      clock: Clock,
    ) =>
      new ExperimentTable({
        naming: (digest) => models.byDigest(digest),
        trainedSince: (model, since) => trainings.trainedSince(model, since),
        rememberedMax: rollouts.rememberedMax,
        onForgotten: (uid) => histories.forgetHistory(uid),
        clock,
      }),
    inject: [CONFIG, ModelTable, RolloutTable, TrainingTable, CLOCK],
  },
  {
    provide: VerdictTable,
    useFactory: ({ drift }: GatewayConfig, subscribers: VerdictSubscribers) =>
      new VerdictTable(drift.rememberedMax, subscribers),
    inject: [CONFIG, VERDICT_SUBSCRIBERS],
  },
  {
    provide: TrainingTable,
    useFactory: ({ trainings }: GatewayConfig, subscribers: TrainingSubscribers) =>
      new TrainingTable(trainings, subscribers),
    inject: [CONFIG, TRAINING_SUBSCRIBERS],
  },
  {
    provide: ArchivedFrames,
    useFactory: ({ labels }: GatewayConfig, telemetry: Telemetry) =>
      new ArchivedFrames(labels.archivedMax, counting(telemetry, "archived-frames")),
    inject: [CONFIG, TELEMETRY],
  },
  {
    provide: LabelCandidates,
    useFactory: ({ labels }: GatewayConfig, telemetry: Telemetry) =>
      new LabelCandidates(labels.candidatesMax, counting(telemetry, "label-candidates")),
    inject: [CONFIG, TELEMETRY],
  },
  {
    provide: LabelTable,
    useFactory: ({ labels }: GatewayConfig, candidates: LabelCandidates) =>
      new LabelTable(labels.rememberedMax, (frameId) => candidates.drop(frameId)),
    inject: [CONFIG, LabelCandidates],
  },
  {
    provide: FrameIndex,
    useFactory: ({ scan, labels }: GatewayConfig, reader: KafkaReader, telemetry: Telemetry) =>
      new FrameIndex({
        reader,
        recordsMax: scan.recordsMax,
        rangesMax: labels.rangesMax,
        onForgotten: counting(telemetry, "frame-index"),
      }),
    inject: [CONFIG, KafkaReader, TELEMETRY],
  },
];

@Module({
  imports: [KafkaModule],
  controllers: [
    AnswersController,
    DevicesController,
    PoliciesController,
    FramesController,
    LabelsController,
    ModelsController,
    RolloutsController,
    ExperimentsController,
    DriftController,
    TrainingsController,
    ArchiveController,
    DatasetsController,
    RegistryController,
    AsyncApiController,
  ],
  providers: [
    ...tables,
    GatewayState,
    { provide: ANSWER_SUBSCRIBERS, useFactory: subscribersOf(answerStream), inject: [CONFIG, TELEMETRY] },
    { provide: ROLLOUT_SUBSCRIBERS, useFactory: subscribersOf(rolloutStream), inject: [CONFIG, TELEMETRY] },
    { provide: VERDICT_SUBSCRIBERS, useFactory: subscribersOf(verdictStream), inject: [CONFIG, TELEMETRY] },
    { provide: TRAINING_SUBSCRIBERS, useFactory: subscribersOf(trainingStream), inject: [CONFIG, TELEMETRY] },
    EventStreams,
    FrameSearch,
    ProfileReader,
    ExplainSources,
    FramePictures,
    TrainingReports,
    Labels,
    Registrar,
    PolicyVersions,
    Reviews,
    {
      provide: ROLLOUT_MANAGER,
      useFactory: (config: GatewayConfig) => new Upstream("rollout-manager", "rolloutManager", config.rolloutManager),
      inject: [CONFIG],
    },
    {
      provide: TRAINER,
      useFactory: (config: GatewayConfig) => new Upstream("trainer", "trainer", config.trainer),
      inject: [CONFIG],
    },
    {
      provide: FRAME_ARCHIVE,
      useFactory: (config: GatewayConfig) => new Upstream("frame-archive", "frameArchive", config.frameArchive),
      inject: [CONFIG],
    },
    {
      provide: MODEL_REGISTRY,
      useFactory: (config: GatewayConfig) => new Upstream("model-registry", "modelRegistry", config.modelRegistry),
      inject: [CONFIG],
    },
    { provide: ASYNCAPI, useFactory: ({ kafka }: GatewayConfig) => asyncApiFiles(kafka.prefix), inject: [CONFIG] },
    {
      provide: REGISTRY,
      useFactory: ({ prefix, schemaIds }: KafkaConnection) => schemaRegistryOf(prefix, schemaIds),
      inject: [KAFKA],
    },
    { provide: APP_GUARD, useClass: StartingGuard },
    {
      provide: APP_FILTER,
      useFactory: (telemetry: Telemetry) => new ProblemFilter(telemetry, { problemOf, refusalOf }),
      inject: [TELEMETRY],
    },
  ],
})
export class GatewayModule {}
