import { type BeforeApplicationShutdown, type DynamicModule, Inject, Module, type OnModuleInit } from "@nestjs/common";
import { APP_FILTER } from "@nestjs/core";
import { ProblemFilter } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { RolloutsController } from "./http/rollouts.controller.ts";
import { Manager } from "./manager.ts";

@Module({})
export class RolloutManagerModule implements OnModuleInit, BeforeApplicationShutdown {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  static of(manager: Manager, telemetry: Telemetry): DynamicModule {
    return {
      module: RolloutManagerModule,
      controllers: [RolloutsController],
      providers: [
        { provide: Manager, useValue: manager },
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
