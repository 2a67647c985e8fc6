import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module, type OnModuleInit } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ModelTable } from "@tributary/models";
import { type SchemaRegistryIds, schemaRegistryOf } from "@tributary/schema-registry";
import { ProblemFilter } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { AnswersController } from "./answers/answers.controller.ts";
import { AnswerRing } from "./answers/ring.ts";
import { ANSWER_SUBSCRIBERS } from "./answers/tail.ts";
import { ASYNCAPI, AsyncApiController, asyncApiFiles } from "./asyncapi/asyncapi.controller.ts";
import type { GatewayConfig } from "./config.ts";
import { DeviceTable } from "./devices/device-table.ts";
import { DevicesController } from "./devices/devices.controller.ts";
import { Registrar } from "./devices/registrar.ts";
import { Upstream } from "./forwarding/upstream.ts";
import { ExplainSources } from "./frames/explain.ts";
import { FramesController } from "./frames/frames.controller.ts";
import { Gateway } from "./gateway.ts";
import { problemOf } from "./http/failures.ts";
import { StartingGuard } from "./http/starting.guard.ts";
import { LabelsController } from "./labels/labels.controller.ts";
import { Labels } from "./labels/labels.ts";
import { MODEL_REGISTRY, ModelsController } from "./models/models.controller.ts";
import { PoliciesController } from "./policies/policies.controller.ts";
import { PolicyTable } from "./policies/policy-table.ts";
import { refusalOf } from "./registry/errors.ts";
import { REGISTRY, RegistryController } from "./registry/registry.controller.ts";
import { ROLLOUT_SUBSCRIBERS, RolloutTable } from "./rollouts/rollout-table.ts";
import { ROLLOUT_MANAGER, RolloutsController } from "./rollouts/rollouts.controller.ts";

@Module({})
export class GatewayModule implements OnModuleInit, BeforeApplicationShutdown {
  constructor(@Inject(Gateway) private readonly gateway: Gateway) {}

  static of(
    gateway: Gateway,
    config: GatewayConfig,
    telemetry: Telemetry,
    schemaIds?: SchemaRegistryIds,
  ): DynamicModule {
    return {
      module: GatewayModule,
      controllers: [
        AnswersController,
        DevicesController,
        PoliciesController,
        FramesController,
        LabelsController,
        ModelsController,
        RolloutsController,
        RegistryController,
        AsyncApiController,
      ],
      providers: [
        { provide: Gateway, useValue: gateway },
        { provide: AnswerRing, useValue: gateway.ring },
        { provide: ANSWER_SUBSCRIBERS, useValue: gateway.subscribers },
        { provide: DeviceTable, useValue: gateway.devices },
        { provide: PolicyTable, useValue: gateway.policies },
        { provide: ModelTable, useValue: gateway.models },
        { provide: RolloutTable, useValue: gateway.rollouts },
        { provide: ROLLOUT_SUBSCRIBERS, useValue: gateway.rolloutSubscribers },
        {
          provide: ROLLOUT_MANAGER,
          useValue: new Upstream("rollout-manager", "rolloutManager", config.rolloutManager),
        },
        { provide: MODEL_REGISTRY, useValue: new Upstream("model-registry", "modelRegistry", config.modelRegistry) },
        { provide: Registrar, useValue: gateway.registrar },
        { provide: Labels, useValue: gateway.labels },
        { provide: ExplainSources, useValue: gateway.explained },
        { provide: ASYNCAPI, useValue: asyncApiFiles(config.kafka.prefix) },
        { provide: REGISTRY, useValue: schemaRegistryOf(config.kafka.prefix, schemaIds) },
        { provide: APP_GUARD, useValue: new StartingGuard(() => gateway.health) },
        { provide: APP_FILTER, useValue: new ProblemFilter(telemetry, { problemOf, refusalOf }) },
      ],
    };
  }

  async onModuleInit(): Promise<void> {
    await this.gateway.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.gateway.close();
  }
}
