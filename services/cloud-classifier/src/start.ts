import { DeadLetters, KafkajsSink, KafkajsSource } from "@tributary/kafka";
import { KafkaBatches, runService } from "@tributary/service-kit";
import { ClassifierModule } from "./classifier.module.ts";
import { Classifier } from "./classifier.ts";
import { checkConfig, configSchema } from "./config.ts";
import { GROUP } from "./requests.controller.ts";
import { startTargets } from "./targets.ts";

/** Every partition number may have a batch waiting: micro-batches form across devices. */
const CONCURRENCY = 32;

let sink: KafkajsSink;

void runService({
  name: "cloud-classifier",
  summary: "Answers cloud requests with the configured models.",
  configSchema,
  check: checkConfig,
  module: async ({ config, telemetry, health, clock, schemaIds }) => {
    const targets = await startTargets(config.targets, { clock, random: Math.random, telemetry });
    for (const target of targets.values()) {
      // A server that is away is told by its gauge and by every result; the service itself is well.
      if (target.isServer) continue;
      health.add(`target ${target.name}`, () => target.ready() || "its backend is not there");
    }
    sink = new KafkajsSink({ ...config.kafka, clientId: "tributary-cloud-classifier", telemetry, schemaIds });
    return ClassifierModule.of(
      new Classifier({ targets, routes: new Map(Object.entries(config.routes)), sink, clock, telemetry }),
    );
  },
  consumers: ({ config, telemetry, clock, schemaIds, crash }) => {
    const kafka = { ...config.kafka, clientId: "tributary-cloud-classifier", telemetry, schemaIds };
    const { recordsMax: batchRecordsMax } = config.consumer;
    return [
      new KafkaBatches({
        source: (topics) =>
          new KafkajsSource({ ...kafka, group: GROUP, topics, concurrency: CONCURRENCY, batchRecordsMax }),
        deadLetters: new DeadLetters({ sink, group: GROUP, telemetry }),
        telemetry,
        clock,
        random: Math.random,
        onCrash: crash,
      }),
    ];
  },
});
