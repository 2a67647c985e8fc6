/** A service of the kit alone: it records what it handles, and fails on certain frame numbers. */
import { pbkdf2 } from "node:crypto";
import { type BeforeApplicationShutdown, Controller, Inject, Injectable, Module } from "@nestjs/common";
import { Ctx, EventPattern, Payload } from "@nestjs/microservices";
import { sharedBlocks } from "@tributary/config";
import { type CloudRequest, topics } from "@tributary/contracts";
import { DeadLetters, KafkajsSink, KafkajsSource, type PartitionEvents } from "@tributary/kafka";
import { Failure, seededRandom } from "@tributary/kernel";
import { defineEvent, type Telemetry } from "@tributary/telemetry";
import { z } from "zod";
import {
  CRASH as CRASH_TOKEN,
  type Crash,
  type DecodedBatch,
  Health,
  KAFKA,
  KafkaBatches,
  type KafkaConnection,
  KafkaModule,
  runService,
  TELEMETRY,
} from "./index.ts";
import type { BatchContext } from "./kafka-batches.ts";

export const BUG = 13n;
export const CRASH = 99n;

const GROUP = "cloud-classifier";

const handled = defineEvent<{ topic: string; frames: string }>({
  name: "handled",
  level: "info",
  message: (e) => e.frames,
});

@Controller()
class FixtureController {
  #faults = 2;

  constructor(@Inject(TELEMETRY) private readonly telemetry: Telemetry) {}

  @EventPattern<string>(topics.requestsHigh.name)
  @EventPattern<string>(topics.requestsNormal.name)
  async handle(@Payload() batch: DecodedBatch<CloudRequest>, @Ctx() context: BatchContext): Promise<void> {
    const frames = batch.records.map(({ value }) => value.frameSeq);
    if (context.signal.aborted) throw new Failure("stopping", "retry", "stopping");
    if (frames.includes(CRASH)) throw new Failure("fixture-broken", "ask-a-person", "the fixture is broken");
    if (this.#faults-- > 0) throw new Failure("fixture-busy", "retry", "not yet");
    if (frames.includes(BUG)) throw new TypeError("a bug in the fixture");
    this.telemetry.emit(handled, { topic: batch.topic, frames: frames.join(" ") });
  }
}

@Injectable()
class Assignment implements PartitionEvents, BeforeApplicationShutdown {
  #isAssigned = false;

  constructor(health: Health) {
    health.add("kafka", () => this.#isAssigned || "no partitions yet");
  }

  async onAssigned(): Promise<void> {
    this.#isAssigned = true;
  }

  /** A thread of the pool is busy for minutes when it stops, as with a DNS lookup that nobody answers. */
  beforeApplicationShutdown(): void {
    pbkdf2("", "", 1e9, 64, "sha512", () => {});
  }
}

@Injectable()
class FixtureConsumer extends KafkaBatches {
  constructor(
    @Inject(KAFKA) kafka: KafkaConnection,
    sink: KafkajsSink,
    assignment: Assignment,
    @Inject(CRASH_TOKEN) onCrash: Crash,
    health: Health,
  ) {
    const { telemetry, clock } = kafka;
    super({
      source: (names) => new KafkajsSource({ ...kafka, group: GROUP, topics: names }),
      events: assignment,
      deadLetters: new DeadLetters({ sink, group: GROUP, telemetry }),
      telemetry,
      clock,
      random: seededRandom(1),
      onCrash,
      health,
    });
  }
}

@Module({ imports: [KafkaModule], controllers: [FixtureController], providers: [Assignment, FixtureConsumer] })
class FixtureModule {}

await runService({
  name: "fixture",
  summary: "Handles requests and does nothing.",
  configSchema: z.strictObject({ ...sharedBlocks }),
  topics: [topics.requestsHigh.name, topics.requestsNormal.name],
  module: FixtureModule,
});
