/** A service that is nothing but the kit: it notes what it handles, and fails where a frame's number demands it. */
import { Controller, Module } from "@nestjs/common";
import { Ctx, EventPattern, Payload } from "@nestjs/microservices";
import { sharedBlocks } from "@tributary/config";
import { type CloudRequest, topics } from "@tributary/contracts";
import { DeadLetters, KafkajsSink, KafkajsSource } from "@tributary/kafka";
import { Failure, seededRandom, systemClock } from "@tributary/kernel";
import { defineEvent } from "@tributary/telemetry";
import { z } from "zod";
import { type DecodedBatch, KafkaBatches, runService, type ServiceContext } from "./index.ts";
import type { BatchContext } from "./kafka-batches.ts";

export const BUG = 13n;
export const CRASH = 99n;

const handled = defineEvent<{ topic: string; frames: string }>({
  name: "handled",
  level: "info",
  message: (e) => e.frames,
});
const configSchema = z.strictObject({ ...sharedBlocks });
type Context = ServiceContext<z.output<typeof configSchema>>;

function moduleOf({ telemetry }: Context) {
  let faults = 2;

  @Controller()
  class Fixture {
    @EventPattern<string>(topics.requestsHigh.name)
    @EventPattern<string>(topics.requestsNormal.name)
    async handle(@Payload() batch: DecodedBatch<CloudRequest>, @Ctx() context: BatchContext): Promise<void> {
      const frames = batch.records.map(({ value }) => value.frameSeq);
      if (context.signal.aborted) throw new Failure("stopping", "retry", "stopping");
      if (frames.includes(CRASH)) throw new Failure("fixture-broken", "ask-a-person", "the fixture is broken");
      if (faults-- > 0) throw new Failure("fixture-busy", "retry", "not yet");
      if (frames.includes(BUG)) throw new TypeError("a bug in the fixture");
      telemetry.emit(handled, { topic: batch.topic, frames: frames.join(" ") });
    }
  }

  @Module({ controllers: [Fixture] })
  class FixtureModule {}
  return FixtureModule;
}

function consumersOf({ config, telemetry, crash, health }: Context) {
  const kafka = { ...config.kafka, clientId: "fixture", telemetry };
  const group = "cloud-classifier";
  const deadLetters = new DeadLetters({ sink: new KafkajsSink(kafka), group, telemetry });
  let assigned = false;
  health.add("kafka", () => assigned || "no partitions yet");
  return [
    new KafkaBatches({
      source: (names) => new KafkajsSource({ ...kafka, group, topics: names }),
      events: {
        onAssigned: async () => {
          assigned = true;
        },
      },
      deadLetters,
      telemetry,
      clock: systemClock,
      random: seededRandom(1),
      onCrash: crash,
    }),
  ];
}

await runService({
  name: "fixture",
  summary: "Handles requests and does nothing.",
  configSchema,
  module: moduleOf,
  consumers: consumersOf,
});
