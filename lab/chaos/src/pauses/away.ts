/**
 * The routers are away for minutes, at a rate that Kafka's disk cannot hold (G1): devices are not acknowledged what could be
 * deleted before a router has read it, and keep it. When the routers are back everything is acknowledged, and answered.
 *
 * The disk is scaled: a partition of the devices' topics has the least that Kafka can bound, and the rate is at least such that
 * it is filled several times.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { topics } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { type Stack, startStack } from "@tributary/stack";
import { quantilesOf, someJpeg } from "@tributary/testing";
import { AnswerLog } from "../answer-log.ts";
import type { Sabotage } from "../control.ts";
import { check, type DrillSettings, type Findings } from "../scenario.ts";
import { Talker } from "../talker.ts";
import { Keeper, PREDICTION_BYTES } from "./keeper.ts";

const DEVICES = 40;
const PARTITIONS = 2;
const RETENTION_BYTES = 4 * 1_024 * 1_024;
/** Kafka deletes closed segments only, and the last one is as large as what is retained. */
const DISK_BYTES = 2 * RETENTION_BYTES * PARTITIONS;
const FILLED_TIMES = 3;
const FLOWING_S = 10;
const TICK_MS = 500;
const LOG_S = 10;
const DRAIN_S_MAX = 600;
const SILENCE_MS = 60_000;

export type AwayOptions = {
  readonly minutes: number;
  /** Frames a second of all devices, at least. */
  readonly rate: number;
  /** Of its control. */
  readonly sabotage?: Sabotage;
} & Pick<DrillSettings, "dir" | "log">;

export async function away({ minutes, rate, sabotage, dir, log }: AwayOptions): Promise<Findings> {
  const filling = (FILLED_TIMES * DISK_BYTES) / (minutes * 60 * PREDICTION_BYTES);
  const framesPerSecond = Math.max(rate, Math.ceil(filling));
  const stack = await startStack({
    dir,
    supervised: true,
    kafka: { partitions: PARTITIONS, retentionBytes: RETENTION_BYTES },
    ...(sabotage && { sabotage }),
    onEvent: log,
  });
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "chaos-away" });
  const fleet = new Fleet(framesPerSecond);
  try {
    await fleet.connect(stack);
    const answers = await AnswerLog.open(reader, fleet.deviceIds);
    fleet.start();
    await sleep(FLOWING_S * 1_000);
    const outage = await routersAway(stack, reader, fleet, { minutes, log });
    await fleet.stop();
    const drainedS = await untilAcknowledged(fleet, log);
    const { acknowledged, shown } = fleet;
    const left = await answers.untilAnswered(acknowledged, SILENCE_MS);
    const { contradicting, repeated } = answers.repeats;
    return {
      title: `routers away for ${minutes} minutes, ${framesPerSecond} frames/s, ${FILLED_TIMES} times what the disk holds`,
      checks: [
        check(
          "every acknowledged frame is answered",
          left.length === 0,
          `${left.length} of ${acknowledged.length} without ${left.slice(0, 3).join(" ")}`.trim(),
        ),
        check(
          "everything that devices kept is acknowledged in the end",
          acknowledged.length === shown,
          `${acknowledged.length} of ${shown} frames`,
        ),
        check("no frame has two answers that differ", contradicting === 0, contradicting),
      ],
      figures: {
        "shown frames": shown,
        repeated,
        ...outage,
        "seconds until all was acknowledged": drainedS,
        "longest wait of a device for an acknowledgement s, median": fleet.heldS.median,
        "longest wait of a device for an acknowledgement s, most": fleet.heldS.most,
      },
    };
  } finally {
    await fleet.end();
    await reader.close();
    await stack.stop();
  }
}

async function routersAway(
  stack: Stack,
  reader: KafkaReader,
  fleet: Fleet,
  { minutes, log }: Pick<AwayOptions, "minutes" | "log">,
): Promise<Findings["figures"]> {
  for (const router of stack.routers) await router.stop();
  const stopped = await offsetsOf(reader);
  const before = fleet.acknowledgedBytes;
  for (let left = minutes * 60; left > 0; left -= LOG_S) {
    await sleep(Math.min(left, LOG_S) * 1_000);
    const mib = ((fleet.acknowledgedBytes - before) / 1_024 / 1_024).toFixed(1);
    log(`routers away: ${mib} MiB of predictions acknowledged and unread, ${fleet.kept} frames kept by devices`);
  }
  const unread = fleet.acknowledgedBytes - before;
  const kept = fleet.kept;
  const deleted = (await offsetsOf(reader)).map(({ earliest }, i) => earliest - (stopped[i]?.next ?? 0n));
  for (const router of stack.routers) await router.start();
  log("routers are back");
  return {
    "bytes of predictions, acknowledged and unread": Math.round(unread),
    "bytes that a topic's disk holds": DISK_BYTES,
    "records of predictions that Kafka deleted unread": deleted.reduce((sum, n) => sum + Math.max(0, Number(n)), 0),
    "frames that devices kept meanwhile": kept,
  };
}

const { name: PREDICTIONS } = topics.predictions;

async function offsetsOf(reader: KafkaReader) {
  const partitions = await reader.partitions(PREDICTIONS);
  return Promise.all(partitions.map((partition) => reader.offsets(PREDICTIONS, partition)));
}

/** In how many seconds. */
async function untilAcknowledged(fleet: Fleet, log: (line: string) => void): Promise<number> {
  let second = 0;
  for (; fleet.kept > 0 && second < DRAIN_S_MAX; second++) {
    if (second % LOG_S === 0) log(`${fleet.kept} frames kept by devices`);
    await sleep(1_000);
  }
  return second;
}

/** The devices, which show frames all the time. */
class Fleet {
  readonly #framesPerTick: number;
  #keepers: Keeper[] = [];
  #talkers: Talker[] = [];
  #running: Promise<void> = Promise.resolve();
  #isOn = false;
  acknowledgedBytes = 0;

  constructor(framesPerSecond: number) {
    this.#framesPerTick = Math.max(1, Math.round((framesPerSecond * TICK_MS) / 1_000 / DEVICES));
  }

  async connect(stack: Stack): Promise<void> {
    const jpeg = await someJpeg();
    const onBytes = (bytes: number) => {
      this.acknowledgedBytes += bytes;
    };
    for (let i = 1; i <= DEVICES; i++) {
      const talker = await Talker.connect(stack.mqttUrl, await stack.devices.register(`keeper-${i}`), jpeg);
      this.#talkers.push(talker);
      this.#keepers.push(new Keeper(talker, onBytes));
    }
  }

  get deviceIds(): readonly string[] {
    return this.#keepers.map(({ deviceId }) => deviceId);
  }

  get shown(): number {
    return this.#keepers.reduce((sum, { shown }) => sum + shown, 0);
  }

  get kept(): number {
    return this.#keepers.reduce((sum, { kept }) => sum + kept, 0);
  }

  get acknowledged(): readonly string[] {
    return this.#keepers.flatMap(({ acknowledged }) => acknowledged);
  }

  get heldS(): { readonly median: number; readonly most: number } {
    const [median, most] = quantilesOf(
      this.#keepers.map(({ heldMsMax }) => Math.round(heldMsMax / 100) / 10),
      0.5,
      1,
    );
    return { median, most };
  }

  start(): void {
    this.#isOn = true;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#running;
  }

  async end(): Promise<void> {
    await this.stop();
    await Promise.all(this.#talkers.map((talker) => talker.end()));
  }

  async #run(): Promise<void> {
    for (let dueMs = performance.now(); this.#isOn; dueMs += TICK_MS) {
      for (const keeper of this.#keepers) keeper.show(this.#framesPerTick);
      await sleep(Math.max(1, dueMs + TICK_MS - performance.now()));
    }
  }
}
