/** `tributary-bridge --config FILE`: the MQTT broker that devices talk to, or one of several behind it, and the only way of
 * their records into Kafka. */

import "./small-heap.ts";
import { readFileSync } from "node:fs";
import {
  type DynamicModule,
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { KafkajsSource, KafkaReader, PlatformaticSink, RECORD_BYTES_MAX } from "@tributary/kafka";
import { Failure, reasonOf } from "@tributary/kernel";
import { runService, type ServiceContext } from "@tributary/service-kit";
import { Bridge } from "./bridge.ts";
import { type BridgeConfig, bridgeConfigSchema } from "./config.ts";
import { ExternalBridge } from "./external/external-bridge.ts";
import { openRoute, type Routes } from "./routes.ts";

/** Kafka group of bridges behind one broker. */
const DOWNLINK_GROUP = "bridge-downlink";
const CONTEXT = Symbol("ServiceContext");
type Context = ServiceContext<BridgeConfig>;

function routeFrom(config: BridgeConfig["routes"][number], index: number) {
  try {
    return openRoute(config, (file) => readFileSync(file, "utf8"));
  } catch (error) {
    throw new Failure("route-schema", "ask-a-person", `routes[${index}].schema: ${config.schema}: ${reasonOf(error)}`);
  }
}

@Injectable()
class BridgeRunner implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #context: Context;
  readonly #bridge: Bridge | ExternalBridge;

  constructor(@Inject(CONTEXT) context: Context) {
    const { config, telemetry, clock, health, schemaIds } = context;
    const connection = { ...config.kafka, clientId: "tributary-bridge", telemetry, clock, schemaIds };
    const sinkOptions = {
      ...connection,
      deliveryMsMax: config.limits.storeMsMax,
      lingerMsMax: config.limits.lingerMsMax,
      // The budget in front of it is the bound; it must never be the sink that refuses one of a device's records.
      pendingBytesMax: config.limits.inFlightBytesMax * 2,
    };
    const routes: Routes | undefined =
      config.routes.length === 0
        ? undefined
        : {
            list: config.routes.map(routeFrom),
            sink: new PlatformaticSink({ ...sinkOptions, prefix: "", schemaIds: undefined }),
            reader: new KafkaReader({ ...connection, prefix: "", schemaIds: undefined }),
          };
    this.#context = context;
    const parts = {
      config,
      ...(routes && { routes }),
      telemetry,
      clock,
      random: Math.random,
      ...(schemaIds && { learn: schemaIds.learnFingerprint.bind(schemaIds) }),
      reader: new KafkaReader(connection),
      // Our topics take a batch of this size even if all of it is one partition's. A request costs a flush for each of its
      // partitions where fewer than three replicas keep a record, so the fewer requests, the better.
      sink: new PlatformaticSink({ ...sinkOptions, batchBytesMax: RECORD_BYTES_MAX - 512 * 1_024 }),
    };
    this.#bridge =
      config.mqtt.mode === "embedded"
        ? new Bridge(parts)
        : new ExternalBridge({
            ...parts,
            answers: new KafkajsSource({ ...connection, group: DOWNLINK_GROUP, topics: [topics.classifications.name] }),
            onCrash: context.crash,
          });
    health.add("mqtt", () => this.#bridge.notReady ?? true);
  }

  /** Not awaited: the health endpoints answer while the state is rebuilt. */
  onApplicationBootstrap(): void {
    this.#bridge.start().then((port) => {
      if (port !== undefined) this.#context.ports.mqtt = port;
    }, this.#context.crash);
  }

  onApplicationShutdown(): Promise<void> {
    return this.#bridge.close();
  }
}

@Module({})
class BridgeModule {
  static with(context: Context): DynamicModule {
    return { module: BridgeModule, providers: [{ provide: CONTEXT, useValue: context }, BridgeRunner] };
  }
}

await runService({
  name: "bridge",
  summary: "Takes what devices publish over MQTT into Kafka, and publishes policies and final answers to them.",
  configSchema: bridgeConfigSchema,
  module: (context) => BridgeModule.with(context),
});
