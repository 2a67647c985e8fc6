import {
  type BeforeApplicationShutdown,
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ModelTable } from "@tributary/models";
import { Problem, ProblemFilter } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { BLOB_LIMITS, BLOBS, BlobsController } from "./blobs/blobs.controller.ts";
import type { RegistryConfig } from "./config.ts";
import { GateRunner } from "./gating/gate-runner.ts";
import { ModelRegistry } from "./model-registry.ts";
import { ModelsController } from "./models/models.controller.ts";
import { Registry } from "./models/registry.ts";
import { METADATA, TufController } from "./tuf/tuf.controller.ts";
import { ValidationController } from "./validation/validation.controller.ts";
import { ValidationSets } from "./validation/validation-sets.ts";

/** M1 */
class RebuiltGuard implements CanActivate {
  readonly #health: () => true | string;

  constructor(health: () => true | string) {
    this.#health = health;
  }

  canActivate(context: ExecutionContext): boolean {
    const { url = "" } = context.switchToHttp().getRequest<{ url?: string }>();
    const health = this.#health();
    if (health === true || !/^\/(models|validation)(\/|\?|$)/i.test(url)) return true;
    const headers = { "Retry-After": "1" };
    throw new Problem(503, "registry-starting", "retry", `The registry is not ready: ${health}. Try again.`, {
      headers,
    });
  }
}

@Module({})
export class RegistryModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #parts: ModelRegistry;

  constructor(@Inject(ModelRegistry) parts: ModelRegistry) {
    this.#parts = parts;
  }

  static of(parts: ModelRegistry, config: RegistryConfig, telemetry: Telemetry): DynamicModule {
    const { bytesMax, uploadsMax, downloadsMax, downloadIdleMsMax } = config.blobs;
    return {
      module: RegistryModule,
      controllers: [BlobsController, TufController, ModelsController, ValidationController],
      providers: [
        { provide: ModelRegistry, useValue: parts },
        { provide: ModelTable, useValue: parts.table },
        { provide: Registry, useValue: parts.registry },
        { provide: ValidationSets, useValue: parts.validation },
        { provide: GateRunner, useValue: parts.gates },
        { provide: BLOBS, useValue: parts.blobs },
        { provide: BLOB_LIMITS, useValue: { bytesMax, uploadsMax, downloadsMax, downloadIdleMsMax } },
        { provide: METADATA, useValue: parts.metadata },
        { provide: APP_GUARD, useValue: new RebuiltGuard(() => parts.health) },
        { provide: APP_FILTER, useValue: new ProblemFilter(telemetry) },
      ],
    };
  }

  onApplicationBootstrap(): void {
    this.#parts.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#parts.stop();
  }
}
