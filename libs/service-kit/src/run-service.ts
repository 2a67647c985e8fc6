/**
 * The life of a service process.
 *
 * It first waits for the ids of a schema registry that is not ours, then for what `awaits` names; only health and metrics
 * answer meanwhile.
 *
 * P1. A wrong configuration ends it with 2 before anything else starts.
 * P2. It prints its one `ready` line when every health check passes for the first time.
 * P3. SIGTERM or SIGINT: consumers drain, connections close, exit 0; a second signal, or a stop that takes longer than
 *     `stopMsMax`, exits 1.
 * P4. A crashed consumer, an unhandled error, or a start that fails: exit 1; a supervisor restarts it.
 * P6. Not ready while its clock is off against Kafka's by more than `kafka.clockOffsetMsMax` (clock-watch.ts).
 * P7. Nothing reaches a handler or a body parser that the port's door refuses (door.ts of @tributary/telemetry/http). */
import "reflect-metadata";
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { DynamicModule, INestApplication, LoggerService, Type } from "@nestjs/common";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { NestMicroservice } from "@nestjs/microservices";
import type { NestExpressApplication } from "@nestjs/platform-express";
import {
  configOrExit,
  type HttpBlock,
  type KafkaBlock,
  type LogBlock,
  type SchemaRegistryBlock,
} from "@tributary/config";
import { codeOf, KafkaClock, type SchemaIds } from "@tributary/kafka";
import { type Clock, reasonOf, systemClock } from "@tributary/kernel";
import { ExternalSchemaRegistry } from "@tributary/schema-registry";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import { Door, type DoorPolicy, serveMetrics } from "@tributary/telemetry/http";
import type { z } from "zod";
import { ClockWatch } from "./clock-watch.ts";
import { frameworkWarned, serviceFailed, serviceStarted, serviceStopping } from "./events.ts";
import { Health } from "./health.ts";
import { type KafkaBatches, PassThrough } from "./kafka-batches.ts";
import { operationsModule } from "./operations.module.ts";

export type ServiceConfig = {
  readonly http: HttpBlock;
  readonly log: LogBlock;
  readonly kafka: KafkaBlock;
  readonly schemaRegistry?: SchemaRegistryBlock | undefined;
};

export type SchemaIdsOfRegistry = SchemaIds & Pick<ExternalSchemaRegistry, "idOf" | "learnFingerprint">;

export type ServiceContext<C> = {
  readonly config: C;
  readonly telemetry: Telemetry;
  readonly health: Health;
  readonly clock: Clock;
  /** Whether the clock is known to be off against Kafka's: what is written for others to count from had better wait. */
  readonly isClockOff: () => boolean;
  /** For every connection to Kafka: `{ ...config.kafka, schemaIds }`. Undefined where the registry is ours. */
  readonly schemaIds: SchemaIdsOfRegistry | undefined;
  /** Ends the process with 1, after an orderly stop. */
  readonly crash: (error: unknown) => void;
  /** Ports for the `ready` line besides `http`. */
  readonly ports: Record<string, number>;
};

export type ServiceOptions<S extends z.ZodType> = {
  /** E.g. `router`; the program is called `tributary-router`. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  readonly configSchema: S;
  /** `process.argv.slice(2)` by default. */
  readonly argv?: readonly string[];
  /** Checks of the configuration that zod cannot express; throws ConfigError. */
  readonly check?: (config: z.output<S>) => void;
  /** What its HTTP port asks of callers; without it, the port is open and takes no body. */
  readonly door?: (config: z.output<S>) => DoorPolicy;
  /** What the service needs before any part of it starts; its health endpoints answer meanwhile. Ends with the signal. */
  readonly awaits?: (context: ServiceContext<z.output<S>>, signal: AbortSignal) => Promise<void>;
  readonly module: (context: ServiceContext<z.output<S>>) => DynamicModule | Type | Promise<DynamicModule | Type>;
  /** Kafka consumers whose handlers are controllers of `module`. */
  readonly consumers?: (context: ServiceContext<z.output<S>>) => readonly KafkaBatches[];
  /** Last touches before it listens, e.g. OpenAPI. */
  readonly prepare?: (app: INestApplication, context: ServiceContext<z.output<S>>) => void | Promise<void>;
  readonly stopMsMax?: number;
};

const STOP_MS_MAX = 20_000;
const READY_POLL_MS = 50;

export async function runService<S extends z.ZodType<ServiceConfig>>(options: ServiceOptions<S>): Promise<void> {
  const { name, summary, configSchema: schema, argv = process.argv.slice(2), check } = options;
  const config = configOrExit({ name: `tributary-${name}`, summary, schema, argv, ...(check && { check }) });
  const telemetry = createTelemetry({ service: name, level: config.log.level });
  const clock = systemClock;
  const health = new Health();
  let app: INestApplication | undefined;
  let metricsServer: Server | undefined;
  let schemaRegistry: ExternalSchemaRegistry | undefined;
  let stopping = false;
  const starting = new AbortController();
  const { clockOffsetMsMax: offsetMsMax, ...kafka } = config.kafka;
  const kafkaClock = new KafkaClock({ ...kafka, clientId: `tributary-${name}-clock`, clock });
  const clockWatch = new ClockWatch({ kafkaClock, clock, telemetry, offsetMsMax });
  health.add("clock", clockWatch.check);

  const stop = async (cause: string, code: 0 | 1): Promise<void> => {
    if (stopping) {
      if (code === 0) process.exit(1); // P3: somebody is impatient
      return;
    }
    stopping = true;
    starting.abort();
    health.add("service", () => "stopping");
    telemetry.emit(serviceStopping, { cause });
    const late = setTimeout(() => {
      telemetry.emit(serviceFailed, { code: "stop-late", reason: "stopping took too long" });
      process.exit(1);
    }, options.stopMsMax ?? STOP_MS_MAX);
    schemaRegistry?.close();
    const watchClosed = clockWatch.close();
    metricsServer?.close();
    metricsServer?.closeAllConnections();
    try {
      await app?.close();
    } catch (error) {
      telemetry.emit(serviceFailed, { code: codeOf(error), reason: reasonOf(error) });
      process.exitCode = 1;
    }
    await watchClosed;
    await telemetry.stopTracing();
    clearTimeout(late);
    telemetry.close();
    process.exit(process.exitCode === 1 ? 1 : code);
  };

  const crash = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    telemetry.emit(serviceFailed, { code: codeOf(error), reason: reasonOf(error), ...(stack && { stack }) });
    void stop("crash", 1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal, 0));

  if (config.schemaRegistry !== undefined) {
    const { prefix } = config.kafka;
    schemaRegistry = new ExternalSchemaRegistry({ schemaRegistry: config.schemaRegistry, prefix, telemetry, clock });
    health.add("schema registry", () => schemaRegistry?.health ?? true);
  }
  const nestOptions = {
    logger: frameworkLogger(telemetry),
    abortOnError: false,
    forceCloseConnections: true,
    bodyParser: false,
  };
  const { http } = config;
  const operations = operationsModule(health, telemetry, http.metricsPort === undefined);
  const open = async (root: Type): Promise<NestExpressApplication> => {
    const opened = await NestFactory.create<NestExpressApplication>(root, nestOptions);
    const policy = options.door?.(config) ?? {};
    const door = new Door({ ...policy, address: http, telemetry, clock });
    door.guard(opened.getHttpServer());
    opened.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
      if (door.admits(request, response)) next();
    });
    if (policy.bodyBytesMax !== undefined)
      opened.useBodyParser("json", { limit: policy.bodyBytesMax, type: ["json", "+json"] });
    return opened;
  };
  const meanwhileHealthy = async (work: () => Promise<void>): Promise<void> => {
    const waiting = await open(rootOf(operations));
    await waiting.listen(config.http.port, config.http.host);
    try {
      await work();
    } finally {
      await waiting.close();
    }
  };
  const context: ServiceContext<z.output<S>> = {
    config,
    telemetry,
    health,
    clock,
    isClockOff: () => clockWatch.isOff,
    schemaIds: schemaRegistry,
    crash,
    ports: {},
  };
  try {
    clockWatch.start();
    await telemetry.startTracing({ "service.instance.id": randomUUID() });
    if (http.metricsPort !== undefined) {
      const address = { ...http, host: http.metricsHost ?? http.host };
      metricsServer = await serveMetrics({ address, port: http.metricsPort, telemetry, clock });
      context.ports.metrics = (metricsServer.address() as AddressInfo).port;
    }
    if (schemaRegistry !== undefined || options.awaits !== undefined) {
      await meanwhileHealthy(async () => {
        schemaRegistry?.start();
        await schemaRegistry?.ready();
        await options.awaits?.(context, starting.signal);
      });
    }
    app = await open(rootOf(await options.module(context), operations));
    for (const strategy of options.consumers?.(context) ?? []) {
      // Deferred, or the filter would come too late; the application calls the init hooks, once.
      const consumer = app.connectMicroservice({ strategy }, { deferInitialization: true }) as NestMicroservice;
      consumer.setIsInitHookCalled(true);
      consumer.useGlobalFilters(new PassThrough());
    }
    await options.prepare?.(app, context);
    await app.init(); // providers are up before their consumers start
    await app.startAllMicroservices();
    const server = await app.listen(config.http.port, config.http.host);
    const { port } = server.address() as AddressInfo;
    telemetry.emit(serviceStarted, { version: process.version, pid: process.pid, configFile: configFileOf(argv) });
    while (!health.isReady && !stopping) await clock.sleep(READY_POLL_MS);
    if (!stopping) telemetry.ready({ http: port, ...context.ports });
  } catch (error) {
    if (!stopping) crash(error);
  }
}

function rootOf(...imports: (DynamicModule | Type)[]): Type {
  class ServiceModule {}
  Module({ imports })(ServiceModule);
  return ServiceModule;
}

const configFileOf = (argv: readonly string[]): string => argv[argv.indexOf("--config") + 1] ?? "";

/** Nest's own lines: only what warns. */
function frameworkLogger(telemetry: Telemetry): LoggerService {
  const warn = (message: unknown, ...rest: unknown[]) => {
    const context = String(rest.at(-1) ?? "nest");
    telemetry.emit(frameworkWarned, { context, reason: message instanceof Error ? message.message : String(message) });
  };
  return { log: () => {}, error: warn, warn, fatal: warn };
}
