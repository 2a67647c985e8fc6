/**
 * The life of a service process. Its parts are providers of one Nest module: they get what the process has by injection
 * (service.module.ts), start in Nest's init hooks and stop in its shutdown hooks. This file does the rest:
 *
 *   configuration -> signals, clock watch, tracing, metrics port -> health over HTTP -> wait for what is outside -> module and its
 *     init hooks -> Kafka consumers (providers that are KafkaBatches) -> HTTP -> the `ready` line -> signal -> shutdown hooks
 *     -> exit code
 *
 * P1. A wrong configuration ends it with 2 before anything else starts.
 * P2. It prints its one `ready` line when every health check passes for the first time.
 * P3. SIGTERM or SIGINT: consumers drain, connections close, exit 0, whatever threads are doing then; a second signal, or a stop
 *     that takes longer than `STOP_MS_MAX`, exits 1.
 * P4. A consumer whose handler throws, an unhandled error, or a start that fails: exit 1; a supervisor restarts it.
 * P5. It first waits for the ids of a schema registry that is not ours, then, however long, for Kafka and the topics that it needs.
 *     Only health and metrics answer until its own HTTP does: live, and not ready with the reason.
 * P6. Not ready while its clock is off against Kafka's by more than `kafka.clockOffsetMsMax` (clock-watch.ts).
 * P7. Nothing reaches a handler or a body parser that the port's door refuses (door.ts of @tributary/telemetry/http). */
import "reflect-metadata";
import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type DynamicModule, type INestApplication, type LoggerService, Module, type Type } from "@nestjs/common";
import { DiscoveryService, NestFactory } from "@nestjs/core";
import type { NestMicroservice } from "@nestjs/microservices";
import type { NestExpressApplication } from "@nestjs/platform-express";
import { configOrExit } from "@tributary/config";
import { codeOf, KafkaClock, KafkaReader } from "@tributary/kafka";
import { systemClock as clock, endProcess, reasonOf } from "@tributary/kernel";
import { ExternalSchemaRegistry } from "@tributary/schema-registry";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import { Door, type DoorPolicy, pictureReaders, serveMetrics } from "@tributary/telemetry/http";
import type { z } from "zod";
import { awaitTopics } from "./await-topics.ts";
import { ClockWatch } from "./clock-watch.ts";
import { frameworkWarned, picturesWithoutTokens, serviceFailed, serviceStarted, serviceStopping } from "./events.ts";
import { Health } from "./health.ts";
import { KafkaBatches, PassThrough } from "./kafka-batches.ts";
import { type KafkaConnection, type Ports, serviceModule } from "./service.module.ts";
import type { ServiceConfig } from "./service-config.ts";

export type ServiceOptions<C extends ServiceConfig> = {
  /** E.g. `router`; the program and its Kafka clients are called `tributary-router`. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  readonly configSchema: z.ZodType<C>;
  /** Checks of the configuration that zod cannot express; throws ConfigError. */
  readonly check?: (config: C) => void;
  /** The checks that its HTTP port makes of requests; without it, the port is open and takes no body. */
  readonly door?: (config: C) => DoorPolicy;
  /** Topics of the contract that must exist before any part of it starts (P5); none by default. */
  readonly topics?: readonly string[];
  /** The same, of topics that are not ours: without the prefix. */
  readonly foreignTopics?: (config: C) => readonly string[];
  readonly module: Type;
  /** Runs before it listens, e.g. for OpenAPI. */
  readonly prepare?: (app: INestApplication, config: C) => void;
};

const STOP_MS_MAX = 20_000;
const READY_POLL_MS = 50;

export async function runService<C extends ServiceConfig>(options: ServiceOptions<C>): Promise<void> {
  const { name, summary, configSchema: schema, check } = options;
  const argv = process.argv.slice(2);
  const config = configOrExit({ name: `tributary-${name}`, summary, schema, argv, ...(check && { check }) }); // P1
  await new ServiceProcess(options, config).run(argv[argv.indexOf("--config") + 1] ?? "");
}

/** The root module of the process. */
@Module({})
class RootModule {}

class ServiceProcess<C extends ServiceConfig> {
  readonly #options: ServiceOptions<C>;
  readonly #config: C;
  readonly #telemetry: Telemetry;
  readonly #health = new Health();
  readonly #clockWatch: ClockWatch;
  readonly #doorPolicy: DoorPolicy;
  readonly #door: Door;
  readonly #schemaRegistry: ExternalSchemaRegistry | undefined;
  readonly #kafka: KafkaConnection;
  readonly #ports: Ports = {};
  readonly #serviceModule: DynamicModule;
  readonly #stop = new AbortController();
  #metricsServer: Server | undefined;
  #app: INestApplication | undefined;

  constructor(options: ServiceOptions<C>, config: C) {
    const { clockOffsetMsMax: offsetMsMax, ...kafka } = config.kafka;
    const clientId = `tributary-${options.name}`;
    const telemetry = createTelemetry({ service: options.name, level: config.log.level });
    const health = this.#health;
    this.#options = options;
    this.#config = config;
    this.#telemetry = telemetry;
    const kafkaClock = new KafkaClock({ ...kafka, clientId: `${clientId}-clock`, clock });
    this.#clockWatch = new ClockWatch({ kafkaClock, clock, telemetry, offsetMsMax });
    health.add("clock", this.#clockWatch.check); // P6
    if (config.schemaRegistry !== undefined) {
      const { prefix } = kafka;
      const registry = new ExternalSchemaRegistry({ schemaRegistry: config.schemaRegistry, prefix, telemetry, clock });
      health.add("schema registry", () => registry.health);
      this.#schemaRegistry = registry;
    }
    this.#doorPolicy = options.door?.(config) ?? {};
    this.#door = new Door({ ...this.#doorPolicy, address: config.http, telemetry, clock });
    this.#kafka = { ...kafka, clientId, telemetry, clock, schemaIds: this.#schemaRegistry };
    this.#serviceModule = serviceModule({
      config,
      telemetry,
      clock,
      health,
      clockWatch: this.#clockWatch,
      kafka: this.#kafka,
      crash: this.#crash,
      ports: this.#ports,
      door: this.#door,
    });
  }

  async run(configFile: string): Promise<void> {
    process.on("uncaughtException", this.#crash);
    process.on("unhandledRejection", this.#crash);
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void this.#end(signal, 0)); // P3
    try {
      await this.#observe();
      const port = await this.#start();
      this.#telemetry.emit(serviceStarted, { version: process.version, pid: process.pid, configFile });
      this.#reportPictureReaders();
      while (!this.#health.isReady && !this.#isStopping) await clock.sleep(READY_POLL_MS);
      if (!this.#isStopping) this.#telemetry.ready({ http: port, ...this.#ports }); // P2
    } catch (error) {
      if (!this.#isStopping) this.#crash(error);
    }
  }

  /** Nothing where a token is wanted, or where there are no pictures. */
  #reportPictureReaders(): void {
    const { readsPictures, tokens = [] } = this.#doorPolicy;
    if (readsPictures === undefined) return;
    const readers = pictureReaders(tokens, this.#config.http);
    if (readers !== "token") this.#telemetry.emit(picturesWithoutTokens, { readers });
  }

  get #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  async #observe(): Promise<void> {
    const { http } = this.#config;
    const telemetry = this.#telemetry;
    this.#clockWatch.start();
    await telemetry.startTracing({ "service.instance.id": randomUUID() });
    if (http.metricsPort === undefined) return;
    const address = { ...http, host: http.metricsHost ?? http.host };
    this.#metricsServer = await serveMetrics({ address, port: http.metricsPort, telemetry, clock });
    this.#ports.metrics = (this.#metricsServer.address() as AddressInfo).port;
  }

  /** The whole service; gives its HTTP port. */
  async #start(): Promise<number> {
    const { http } = this.#config;
    const waiting = await this.#open([this.#serviceModule]);
    await waiting.listen(http.port, http.host);
    try {
      await this.#awaitOutside(); // P5
      await this.#init();
    } finally {
      await waiting.close();
    }
    if (this.#isStopping) return 0;
    const server = await (this.#app as INestApplication).listen(http.port, http.host);
    return (server.address() as AddressInfo).port;
  }

  async #awaitOutside(): Promise<void> {
    this.#schemaRegistry?.start();
    await this.#schemaRegistry?.ready();
    const { topics: ours = [], foreignTopics } = this.#options;
    if (ours.length === 0) return;
    const { prefix, clientId } = this.#kafka;
    const topics = [...ours.map((topic) => prefix + topic), ...(foreignTopics?.(this.#config) ?? [])];
    const reader = new KafkaReader({ ...this.#kafka, prefix: "", schemaIds: undefined, clientId: `${clientId}-start` });
    let problem: string | undefined = "Kafka has not answered yet";
    this.#health.add("kafka", () => problem ?? true);
    const onWait = (reason: string) => {
      problem = reason;
    };
    const [random, telemetry, { signal }] = [Math.random, this.#telemetry, this.#stop];
    try {
      await awaitTopics({ topics, reader, onWait, clock, random, telemetry, signal });
      await this.#clockWatch.tried; // What starts now may go by Kafka's clock (clock-watch.ts W3).
      problem = undefined;
    } finally {
      await reader.close();
    }
  }

  /** Starts all parts of it but HTTP. */
  async #init(): Promise<void> {
    const app = await this.#open([this.#serviceModule, this.#options.module]);
    this.#app = app;
    for (const { instance } of app.get(DiscoveryService).getProviders()) {
      if (!(instance instanceof KafkaBatches)) continue;
      // Deferred, or the filter would come too late; the application calls the init hooks, once.
      const consumer = app.connectMicroservice({ strategy: instance }, { deferInitialization: true });
      (consumer as NestMicroservice).setIsInitHookCalled(true);
      consumer.useGlobalFilters(new PassThrough());
    }
    this.#options.prepare?.(app, this.#config);
    await app.init(); // providers are up before their consumers start
    await app.startAllMicroservices();
  }

  async #open(imports: (DynamicModule | Type)[]): Promise<NestExpressApplication> {
    const telemetry = this.#telemetry;
    const root: DynamicModule = { module: RootModule, imports };
    const app = await NestFactory.create<NestExpressApplication>(root, {
      logger: frameworkLogger(telemetry),
      abortOnError: false,
      forceCloseConnections: true,
      bodyParser: false,
    });
    const { bodyBytesMax } = this.#doorPolicy;
    this.#door.guard(app.getHttpServer());
    app.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
      if (this.#door.admits(request, response)) next(); // P7
    });
    if (bodyBytesMax !== undefined) app.useBodyParser("json", { limit: bodyBytesMax, type: ["json", "+json"] });
    return app;
  }

  readonly #crash = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    this.#telemetry.emit(serviceFailed, { code: codeOf(error), reason: reasonOf(error), ...(stack && { stack }) });
    void this.#end("crash", 1); // P4
  };

  async #end(cause: string, code: 0 | 1): Promise<void> {
    const telemetry = this.#telemetry;
    if (this.#isStopping) {
      if (code === 0) endProcess(1); // P3: a second signal
      return;
    }
    this.#stop.abort();
    this.#health.add("service", () => "stopping");
    telemetry.emit(serviceStopping, { cause });
    const late = setTimeout(() => {
      telemetry.emit(serviceFailed, { code: "stop-late", reason: "stopping took too long" });
      endProcess(1);
    }, STOP_MS_MAX);
    this.#schemaRegistry?.close();
    const watchClosed = this.#clockWatch.close();
    this.#metricsServer?.close();
    this.#metricsServer?.closeAllConnections();
    let exitCode = code;
    try {
      await this.#app?.close();
    } catch (error) {
      telemetry.emit(serviceFailed, { code: codeOf(error), reason: reasonOf(error) });
      exitCode = 1;
    }
    await watchClosed;
    await telemetry.stopTracing();
    clearTimeout(late);
    telemetry.close();
    endProcess(exitCode);
  }
}

/** Nest's own lines: only what warns. */
function frameworkLogger(telemetry: Telemetry): LoggerService {
  const warn = (message: unknown, ...rest: unknown[]) => {
    const context = String(rest.at(-1) ?? "nest");
    telemetry.emit(frameworkWarned, { context, reason: message instanceof Error ? message.message : String(message) });
  };
  return { log: () => {}, error: warn, warn, fatal: warn };
}
