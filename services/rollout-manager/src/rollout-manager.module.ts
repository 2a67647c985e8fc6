import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module, type OnModuleInit } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ProblemFilter, WriteGuard } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { RolloutManagerConfig } from "./config.ts";
import { RolloutsController } from "./http/rollouts.controller.ts";
import { Manager } from "./manager.ts";

@Module({})
export class RolloutManagerModule implements OnModuleInit, BeforeApplicationShutdown {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  static of(manager: Manager, config: RolloutManagerConfig, telemetry: Telemetry): DynamicModule {
    return {
      module: RolloutManagerModule,
      controllers: [RolloutsController],
      providers: [
        { provide: Manager, useValue: manager },
        { provide: APP_GUARD, useValue: new WriteGuard(config.auth.tokens) },
        { provide: APP_FILTER, useValue: new ProblemFilter(telemetry) },
      ],
    };
  }

  async onModuleInit(): Promise<void> {
    await this.manager.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.manager.close();
  }
}
