/** A running system with benign devices, and their periods. */
import { setTimeout as sleep } from "node:timers/promises";
import { KafkaReader } from "@tributary/kafka";
import { type Stack, startStack } from "@tributary/stack";
import { someJpeg } from "@tributary/testing";
import { Talker } from "../talker.ts";
import { BenignDevice } from "./benign-device.ts";
import type { Turn } from "./figures.ts";
import { lowestPriority } from "./lowest-priority.ts";
import { People } from "./people.ts";
import type { Control } from "./way.ts";
import type { World } from "./worlds.ts";

/** Until V8 has compiled the code that frames use. */
const WARM_UP_SECONDS = 15;
/** Until the last answer is here: the frames' deadline and a little. */
const ANSWERS_MS = 6_000;

export type Stage = {
  readonly stack: Stack;
  readonly world: World;
  readonly benign: readonly BenignDevice[];
  readonly people: People;
  readonly reader: KafkaReader;
  readonly seconds: number;
  readonly log: (line: string) => void;
  close(): Promise<void>;
};

export type StageOptions = Pick<Stage, "world" | "seconds" | "log"> & {
  readonly dir: string;
  /** The protection that is removed. */
  readonly control?: Control;
};

export async function openStage({ dir, world, control, seconds, log }: StageOptions): Promise<Stage> {
  const { partitions, retentionBytes, services } = world;
  const stack = await startStack({
    dir,
    supervised: true,
    kafka: { partitions, isMeasured: true, ...(retentionBytes !== undefined && { retentionBytes }) },
    services: { ...services, ...(control?.bridge && { bridge: control.bridge }) },
    ...(control?.sabotage && { sabotage: control.sabotage }),
    onEvent: log,
  });
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "chaos-hostile" });
  const talkers: Talker[] = [];
  const close = async () => {
    await Promise.all(talkers.map((talker) => talker.end()));
    await reader.close();
    await stack.stop();
  };
  try {
    const benign = await benignDevices(stack, world, talkers);
    const people = new People(stack.gatewayUrl, benign);
    for (const part of [stack.classifier, stack.gateway]) await lowestPriority(part.pid ?? -1);
    await period(benign, Math.min(seconds, WARM_UP_SECONDS));
    return { stack, world, benign, people, reader, seconds, log, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function benignDevices(stack: Stack, { devices, shown }: World, talkers: Talker[]) {
  const jpeg = await someJpeg();
  const benign: BenignDevice[] = [];
  for (let i = 0; i < devices; i++) {
    const talker = await Talker.connect(stack.mqttUrl, await stack.devices.register(`good-${i + 1}`), jpeg);
    talkers.push(talker);
    const device = new BenignDevice(talker, shown(i), i);
    await device.subscribe();
    benign.push(device);
  }
  return benign;
}

/** Some seconds of every benign device, and their answers. */
export async function period(benign: readonly BenignDevice[], seconds: number): Promise<readonly Turn[]> {
  await show(benign, seconds);
  await sleep(ANSWERS_MS);
  return benign.map(({ measured, shown }) => ({ ...measured, shown }));
}

/** The same, without waiting for answers. An acknowledgement that does not come is waited for no longer than an answer. */
export async function show(benign: readonly BenignDevice[], seconds: number): Promise<void> {
  for (const good of benign) good.reset();
  const seconds_ = Array.from({ length: Math.ceil(seconds) }, (_, second) => second);
  await Promise.all(
    benign.map(async (good, i) => {
      await sleep((i * 1_000) / benign.length);
      const under = seconds_.map(async (second) => {
        await sleep(second * 1_000);
        await good.second();
      });
      await Promise.race([Promise.all(under), sleep(seconds * 1_000 + ANSWERS_MS)]);
    }),
  );
}
