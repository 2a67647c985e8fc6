/** `/health/live`, `/health/ready`, `/metrics`: the same in every service. */
import { Controller, type DynamicModule, Get, Header, Inject, Module, Res } from "@nestjs/common";
import type { Telemetry } from "@tributary/telemetry";
import { Health } from "./health.ts";

export const TELEMETRY = Symbol("Telemetry");

type Response = { status(code: number): Response; type(value: string): Response; send(body: unknown): void };

@Controller()
class OperationsController {
  readonly #health: Health;

  constructor(@Inject(Health) health: Health) {
    this.#health = health;
  }

  @Get("health/live")
  live(): { status: "live" } {
    return { status: "live" };
  }

  @Get("health/ready")
  ready(@Res() response: Response): void {
    const problems = this.#health.problems();
    const isReady = Object.keys(problems).length === 0;
    response.status(isReady ? 200 : 503).send({ status: isReady ? "ready" : "not-ready", problems });
  }
}

/** Where they have no port of their own. */
@Controller()
class MetricsController {
  readonly #telemetry: Telemetry;

  constructor(@Inject(TELEMETRY) telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  @Get("metrics")
  @Header("cache-control", "no-store")
  async metrics(@Res() response: Response): Promise<void> {
    response.type(this.#telemetry.metricsContentType).send(await this.#telemetry.metrics());
  }
}

@Module({})
class OperationsModule {}

export const operationsModule = (health: Health, telemetry: Telemetry, withMetrics: boolean): DynamicModule => ({
  module: OperationsModule,
  global: true,
  controllers: [OperationsController, ...(withMetrics ? [MetricsController] : [])],
  providers: [
    { provide: Health, useValue: health },
    { provide: TELEMETRY, useValue: telemetry },
  ],
  exports: [Health, TELEMETRY],
});
