/** The stack's own Kafka: one node that can be killed and comes back on the same port with the same data. */
import { join } from "node:path";
import { type KafkaNode, startKafka } from "../../../tools/kafka.mjs";
import type { Journal } from "./journal.ts";

/** A busy computer with a slow disk takes this long, now and then. */
const READY_MS_MAX = 180_000;

export type KafkaPart = {
  readonly brokers: readonly string[];
  readonly pid: number | undefined;
  readonly isOwn: boolean;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
};

export async function ownKafka(options: {
  readonly dir: string;
  readonly port: number;
  readonly controllerPort: number;
  readonly proxied?: { readonly port: number; readonly advertisedPort: number };
  readonly isMeasured?: boolean;
  readonly journal: Journal;
}): Promise<KafkaPart> {
  let node: KafkaNode | undefined;
  const start = async () => {
    node = await startKafka({
      dataDir: join(options.dir, "kafka"),
      logFile: join(options.dir, "logs", "kafka.log"),
      port: options.port,
      controllerPort: options.controllerPort,
      ...(options.proxied && { proxied: options.proxied }),
      ...(options.isMeasured && { isMeasured: true }),
      readyMsMax: READY_MS_MAX,
      detached: true,
      env: options.journal.env,
      onSpawn: (pid) => options.journal.started("kafka", pid),
    });
    void node.exited.then(() => options.journal.ended("kafka"));
  };
  await start();
  return {
    brokers: [`127.0.0.1:${options.port}`],
    get pid() {
      return node?.pid;
    },
    isOwn: true,
    async kill() {
      node?.kill("SIGKILL");
      await node?.exited;
    },
    start,
    stop: async () => node?.stop(),
  };
}

/** A cluster that is somebody else's. */
export function foreignKafka(brokers: readonly string[]): KafkaPart {
  const refuse = async () => {
    throw new Error("this Kafka is not ours to kill or start");
  };
  return { brokers, pid: undefined, isOwn: false, kill: refuse, start: refuse, stop: async () => {} };
}
