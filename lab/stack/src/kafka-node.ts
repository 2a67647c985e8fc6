/** The stack's Kafka: a node of its own, which can be killed and restarts on the same port with the same data; or a cluster that
 * is there. */
import { join } from "node:path";
import { PARTITIONS, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin } from "@tributary/kafka";
import { freePort } from "@tributary/testing";
import { type KafkaNode, startKafka } from "../../../tools/kafka.mjs";
import type { Launcher } from "./launcher.ts";

/** A busy computer with a slow disk takes this long, now and then. */
const READY_MS_MAX = 180_000;

export type KafkaOptions = {
  /** Of a cluster that is there; otherwise the stack has its own. */
  readonly brokers?: readonly string[];
  /** Of every topic; `tributary.` by default. */
  readonly prefix?: string;
  /** Of topics that are keyed by device, unless an earlier run made them; as in production by default. */
  readonly partitions?: number;
  /** A proxy of the caller's on `advertisedPort`, in front of a second listener of the stack's own node on `port`. */
  readonly proxy?: { readonly port: number; readonly advertisedPort: number };
  /** How soon the stack's own node answers is timed: it has room enough to collect garbage seldom. */
  readonly isMeasured?: boolean;
  /** Of a partition of each topic that devices write to; the stack's own node then deletes what is beyond it every second. */
  readonly retentionBytes?: number;
};

const RETENTION_CHECK_MS = 1_000;

export class Kafka {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly #launcher: Launcher;
  readonly #options: KafkaOptions;
  /** Of the stack's own node. */
  readonly #ports: { readonly port: number; readonly controllerPort: number } | undefined;
  #node: KafkaNode | undefined;

  static async make(launcher: Launcher, options: KafkaOptions = {}): Promise<Kafka> {
    if (options.brokers !== undefined) return new Kafka(launcher, options, options.brokers);
    const ports = { port: await launcher.port("Kafka", 9092), controllerPort: await freePort() };
    return new Kafka(launcher, options, [`127.0.0.1:${ports.port}`], ports);
  }

  private constructor(
    launcher: Launcher,
    options: KafkaOptions,
    brokers: readonly string[],
    ports?: { readonly port: number; readonly controllerPort: number },
  ) {
    this.brokers = brokers;
    this.prefix = options.prefix ?? "tributary.";
    this.#launcher = launcher;
    this.#options = options;
    this.#ports = ports;
  }

  /** The block `kafka` of the i-th instance of a service: all but the first go through the proxy, if there is one. */
  block(i = 0): { readonly brokers: readonly string[]; readonly prefix: string } {
    const { proxy } = this.#options;
    const isProxied = i > 0 && proxy !== undefined;
    return { brokers: isProxied ? [`127.0.0.1:${proxy.advertisedPort}`] : this.brokers, prefix: this.prefix };
  }

  async start(): Promise<void> {
    if (this.#ports === undefined) return;
    const { dir, journal } = this.#launcher;
    const { proxy, isMeasured, retentionBytes } = this.#options;
    const config = { "log.retention.check.interval.ms": String(RETENTION_CHECK_MS) };
    const node = await startKafka({
      ...this.#ports,
      dataDir: join(dir, "kafka"),
      logFile: join(dir, "logs", "kafka.log"),
      ...(proxy && { proxied: proxy }),
      ...(isMeasured && { isMeasured }),
      ...(retentionBytes !== undefined && { config }),
      readyMsMax: READY_MS_MAX,
      detached: true,
      env: journal.env,
      onSpawn: (pid) => journal.started("kafka", pid),
    });
    this.#node = node;
    void node.exited.then(() => journal.ended("kafka"));
  }

  async createTopics(): Promise<void> {
    const admin = new KafkajsAdmin({ ...this.block(), clientId: "local-stack" });
    try {
      // A topic that is new in this version needs as many as those that its service reads beside it.
      const [older] = await admin.describe([topics.predictions.name]);
      const { partitions = PARTITIONS, retentionBytes } = this.#options;
      await ensureTributaryTopics(admin, {
        partitions: older?.partitions ?? partitions,
        ...(retentionBytes !== undefined && { retentionBytes }),
      });
    } finally {
      await admin.close();
    }
  }

  async kill(): Promise<void> {
    if (this.#ports === undefined) throw new Error("this Kafka is not ours to kill");
    this.#node?.kill("SIGKILL");
    await this.#node?.exited;
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
  }
}
