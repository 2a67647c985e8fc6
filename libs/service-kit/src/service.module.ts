/**
 * The global providers of a service's process: import nothing, inject by the tokens below. It also serves `/health/live`,
 * `/health/ready` and, if metrics have no port of their own, `/metrics`.
 */
import { Controller, type DynamicModule, Get, Header, Inject, Module, Res } from "@nestjs/common";
import { DiscoveryModule } from "@nestjs/core";
import type { SchemaIds } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import type { ExternalSchemaRegistry } from "@tributary/schema-registry";
import type { Telemetry } from "@tributary/telemetry";
import { Door } from "@tributary/telemetry/http";
import { ClockWatch } from "./clock-watch.ts";
import { Health } from "./health.ts";
import type { ServiceConfig } from "./service-config.ts";

/** The validated configuration: the output type of the service's schema. */
export const CONFIG = Symbol("Config");
/** Telemetry */
export const TELEMETRY = Symbol("Telemetry");
/** Clock */
export const CLOCK = Symbol("Clock");
/** Random */
export const RANDOM = Symbol("Random");
/** KafkaConnection */
export const KAFKA = Symbol("KafkaConnection");
/** Crash */
export const CRASH = Symbol("Crash");
/** Ports: of the `ready` line besides `http`; a provider that opens one adds it before it is ready. */
export const PORTS = Symbol("Ports");

/** Ends the process with 1, after an orderly stop (run-service.ts P4). */
export type Crash = (error: unknown) => void;
export type Ports = Record<string, number>;

/** Options of every client of Kafka. */
export type KafkaConnection = {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly clientId: string;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** Undefined if the schema registry is ours. */
  readonly schemaIds: (SchemaIds & Pick<ExternalSchemaRegistry, "idOf" | "learnFingerprint">) | undefined;
};

export type ServiceParts = {
  readonly config: ServiceConfig;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly health: Health;
  readonly clockWatch: ClockWatch;
  readonly kafka: KafkaConnection;
  readonly crash: Crash;
  readonly ports: Ports;
  /** Of its HTTP port. */
  readonly door: Door;
};

type Response = { status(code: number): Response; type(value: string): Response; send(body: unknown): void };

@Controller()
class HealthController {
  constructor(private readonly health: Health) {}

  @Get("health/live")
  live(): { status: "live" } {
    return { status: "live" };
  }

  @Get("health/ready")
  ready(@Res() response: Response): void {
    const problems = this.health.problems();
    const degraded = this.health.degraded();
    const isReady = Object.keys(problems).length === 0;
    response.status(isReady ? 200 : 503).send({
      status: isReady ? "ready" : "not-ready",
      problems,
      ...(Object.keys(degraded).length > 0 && { degraded }),
    });
  }
}

@Controller()
class MetricsController {
  constructor(@Inject(TELEMETRY) private readonly telemetry: Telemetry) {}

  @Get("metrics")
  @Header("cache-control", "no-store")
  async metrics(@Res() response: Response): Promise<void> {
    response.type(this.telemetry.metricsContentType).send(await this.telemetry.metrics());
  }
}

@Module({})
class ServiceModule {}

/** The global module of one process. */
export function serviceModule(parts: ServiceParts): DynamicModule {
  const providers = [
    { provide: CONFIG, useValue: parts.config },
    { provide: TELEMETRY, useValue: parts.telemetry },
    { provide: CLOCK, useValue: parts.clock },
    { provide: RANDOM, useValue: Math.random },
    { provide: Health, useValue: parts.health },
    { provide: ClockWatch, useValue: parts.clockWatch },
    { provide: KAFKA, useValue: parts.kafka },
    { provide: CRASH, useValue: parts.crash },
    { provide: PORTS, useValue: parts.ports },
    { provide: Door, useValue: parts.door },
  ];
  return {
    module: ServiceModule,
    global: true,
    imports: [DiscoveryModule],
    controllers: [HealthController, ...(parts.config.http.metricsPort === undefined ? [MetricsController] : [])],
    providers,
    exports: providers.map(({ provide }) => provide),
  };
}
