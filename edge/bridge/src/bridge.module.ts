/** A bridge of either mode, with clients of Kafka of its own: it closes them itself, as its wait for an unavailable Kafka is bounded. */
import { readFileSync } from "node:fs";
import { Inject, Injectable, Module, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { KafkajsSource, KafkaProgress, KafkaReader, PlatformaticSink, RECORD_BYTES_MAX } from "@tributary/kafka";
import { Failure, type Random, reasonOf } from "@tributary/kernel";
import {
  CONFIG,
  CRASH,
  type Crash,
  Health,
  KAFKA,
  type KafkaConnection,
  PORTS,
  type Ports,
  RANDOM,
} from "@tributary/service-kit";
import { Bridge } from "./bridge.ts";
import type { BridgeConfig } from "./config.ts";
import { ExternalBridge } from "./external/external-bridge.ts";
import { RetentionGuard } from "./retention/retention-guard.ts";
import { openRoute, type Routes } from "./routes.ts";

/** Kafka group of bridges behind one broker. */
const DOWNLINK_GROUP = "bridge-downlink";
/** Consumer group of routers, and what devices write for it. */
const ROUTER_GROUP = "router";
const ROUTED_TOPICS = [topics.frames.name, topics.predictions.name];
/** Bridge | ExternalBridge */
const BRIDGE = Symbol("Bridge");

function sinkOptionsOf({ limits }: BridgeConfig, kafka: KafkaConnection) {
  return {
    ...kafka,
    deliveryMsMax: limits.storeMsMax,
    lingerMsMax: limits.lingerMsMax,
    // The bridge's budget is the bound; the sink must never refuse one of a device's records.
    pendingBytesMax: limits.inFlightBytesMax * 2,
  };
}

function routesOf(config: BridgeConfig, kafka: KafkaConnection): Routes | undefined {
  if (config.routes.length === 0) return undefined;
  const foreign = { prefix: "", schemaIds: undefined };
  return {
    list: config.routes.map(routeOf),
    sink: new PlatformaticSink({ ...sinkOptionsOf(config, kafka), ...foreign }),
    reader: new KafkaReader({ ...kafka, ...foreign }),
  };
}

function routeOf(config: BridgeConfig["routes"][number], index: number) {
  try {
    return openRoute(config, (file) => readFileSync(file, "utf8"));
  } catch (error) {
    throw new Failure("route-schema", "ask-a-person", `routes[${index}].schema: ${config.schema}: ${reasonOf(error)}`);
  }
}

function bridgeOf(config: BridgeConfig, kafka: KafkaConnection, random: Random, onCrash: Crash) {
  const { telemetry, clock, schemaIds } = kafka;
  const routes = routesOf(config, kafka);
  const parts = {
    config,
    telemetry,
    clock,
    random,
    ...(routes && { routes }),
    ...(schemaIds && { learn: schemaIds.learnFingerprint.bind(schemaIds) }),
    reader: new KafkaReader(kafka),
    retention: new RetentionGuard({
      progress: new KafkaProgress(kafka),
      group: ROUTER_GROUP,
      topics: ROUTED_TOPICS,
      clock,
      telemetry,
      deviceBytesPerSecond: config.limits.perDevice.bytesPerSecondMax,
    }),
    // Our topics take a batch of this size even if all of it is one partition's. A request costs a flush for each of its
    // partitions where fewer than three replicas keep a record, so the fewer requests, the better.
    sink: new PlatformaticSink({ ...sinkOptionsOf(config, kafka), batchBytesMax: RECORD_BYTES_MAX - 512 * 1_024 }),
  };
  if (config.mqtt.mode === "embedded") return new Bridge(parts);
  const answers = new KafkajsSource({ ...kafka, group: DOWNLINK_GROUP, topics: [topics.classifications.name] });
  return new ExternalBridge({ ...parts, answers, onCrash });
}

@Injectable()
class BridgeRunner implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(
    @Inject(BRIDGE) private readonly bridge: Bridge | ExternalBridge,
    @Inject(CRASH) private readonly crash: Crash,
    @Inject(PORTS) private readonly ports: Ports,
    health: Health,
  ) {
    health.add("mqtt", () => bridge.notReady ?? true);
    health.add("retention", () => (bridge.degraded === undefined ? true : { degraded: bridge.degraded }));
  }

  /** Not awaited: the health endpoints answer while the state is rebuilt. */
  onApplicationBootstrap(): void {
    this.bridge.start().then((port) => {
      if (port !== undefined) this.ports.mqtt = port;
    }, this.crash);
  }

  onApplicationShutdown(): Promise<void> {
    return this.bridge.close();
  }
}

@Module({
  providers: [{ provide: BRIDGE, useFactory: bridgeOf, inject: [CONFIG, KAFKA, RANDOM, CRASH] }, BridgeRunner],
})
export class BridgeModule {}
