import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { changesSomething, runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { Manager } from "./manager.ts";
import { RolloutManagerModule } from "./rollout-manager.module.ts";

/** A specification that names a thousand devices is below. */
const BODY_BYTES_MAX = 1024 * 1024;

await runService({
  name: "rollout-manager",
  summary: "Brings new models to the fleet by canaries that are judged, and back.",
  configSchema,
  check: checkConfig,
  door: ({ auth }) => ({ tokens: auth.tokens, wantsToken: changesSomething, bodyBytesMax: BODY_BYTES_MAX }),
  module: ({ config, telemetry, health, clock, isClockOff, schemaIds }) => {
    const kafka = { ...config.kafka, clientId: "tributary-rollout-manager", telemetry, clock, schemaIds };
    const manager = new Manager({
      config,
      telemetry,
      clock,
      isClockOff,
      random: Math.random,
      reader: new KafkaReader(kafka),
      slices: new KafkaReader(kafka),
      sink: new KafkajsSink(kafka),
    });
    health.add("topics", () => manager.health);
    return RolloutManagerModule.of(manager, telemetry);
  },
});
