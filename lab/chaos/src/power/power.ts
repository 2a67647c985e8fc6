/**
 * Kafka's host loses power under load (G1): acknowledged records must be in Kafka when it restarts.
 *
 * Once with one broker, whose topics are flushed before Kafka acknowledges; once, as a control, without that, which must lose
 * records, or the test proves nothing; and once with three brokers of which one loses its disk's last writes.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ensureTributaryTopics,
  KafkaInspector,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  tributaryTopics,
} from "@tributary/kafka";
import { freePort, type SpawnedService, spawnService, waitFor } from "@tributary/testing";
import { type KafkaNode, startKafka } from "../../../../tools/kafka.mjs";
import { check, type Drill, type Findings } from "../scenario.ts";
import { Uplinks } from "../uplinks.ts";
import { LoopDisk } from "./loop-disk.ts";

const DISK_MIB = 2_048;
const PREFIX = "power.";
const PARTITIONS = 8;
/** On a machine that is busy with other things. */
const READY_MS_MAX = 240_000;
const NEVER = "9223372036854775807";

export type PowerOptions = {
  readonly dir: string;
  readonly log: (line: string) => void;
  readonly seconds: number;
  readonly devices: number;
  readonly rate: number;
};

export const power: Drill = {
  name: "power",
  summary: "Kafka's host loses power under load: nothing acknowledged is lost; without the flush (control) it is",
  details: `Needs root: Kafka's data is on a separate filesystem, whose image is copied at one instant, as after a power cut;
Kafka then starts from the copy. One broker, a control without flush.messages=1, and three brokers of which one is cut.`,
  options: [
    { name: "seconds", about: "seconds of load before the cut", value: 15 },
    { name: "devices", about: "publishing devices", value: 20 },
    { name: "rate", about: "messages a second, all devices together", value: 300 },
  ],
  async run({ dir, log, options }) {
    const { seconds = 15, devices = 20, rate = 300 } = options;
    const settings = { log, seconds, devices, rate };
    return [
      await oneBroker({ ...settings, dir: join(dir, "flushed") }, true),
      await oneBroker({ ...settings, dir: join(dir, "control") }, false),
      await threeBrokers({ ...settings, dir: join(dir, "three") }),
    ];
  },
};

/** One broker that loses everything that was not written out. */
export async function oneBroker(options: PowerOptions, isFlushed: boolean): Promise<Findings> {
  const title = isFlushed ? "One broker, flushed before it acknowledges" : "Control: one broker that does not flush";
  const log = (line: string) => options.log(`${isFlushed ? "one broker" : "control"}: ${line}`);
  mkdirSync(options.dir, { recursive: true });
  const disk = new LoopDisk(options.dir, DISK_MIB);
  disk.create();
  const ports = { port: await freePort(), controllerPort: await freePort() };
  const start = () =>
    startKafka({
      ...ports,
      dataDir: join(disk.path, "kafka"),
      logFile: join(options.dir, "kafka.log"),
      readyMsMax: READY_MS_MAX,
      ...(!isFlushed && { config: { "log.flush.interval.messages": NEVER } }),
    });
  let kafka: KafkaNode | undefined;
  let rig: Rig | undefined;
  try {
    log("starting Kafka and the bridge");
    kafka = await start();
    rig = await Rig.open(options, kafka.brokers, 1, isFlushed);
    disk.settle();
    await rig.load(options.seconds);
    const acknowledged = new Set(rig.uplinks.acknowledged);
    const image = await disk.cut();
    kafka.kill();
    disk.release();
    await kafka.exited;
    await rig.stopLoad();
    log(`cut with ${acknowledged.size} messages acknowledged; starting Kafka from its disk`);
    disk.restore(image);
    kafka = await start();
    return { title, ...judged(acknowledged, await rig.stored(), isFlushed) };
  } finally {
    await rig?.close();
    kafka?.kill();
    await kafka?.exited;
    disk.remove();
  }
}

const NODES = [1, 2, 3] as const;

/** Three brokers with three replicas, two of them in sync; the first loses what was not written out, and restarts. */
export async function threeBrokers(options: PowerOptions): Promise<Findings> {
  const title = "Three brokers, RF 3, two in sync; one is cut and restarts";
  const log = (line: string) => options.log(`three brokers: ${line}`);
  mkdirSync(options.dir, { recursive: true });
  const disk = new LoopDisk(options.dir, DISK_MIB);
  disk.create();
  const ports = await Promise.all(
    NODES.map(async (nodeId) => ({ nodeId, port: await freePort(), controllerPort: await freePort() })),
  );
  const voters = ports.map(({ nodeId, controllerPort }) => `${nodeId}@127.0.0.1:${controllerPort}`).join(",");
  const start = ({ nodeId, port, controllerPort }: (typeof ports)[number]) =>
    startKafka({
      port,
      controllerPort,
      heapMb: 384,
      cluster: { nodeId, voters },
      dataDir: nodeId === 1 ? join(disk.path, "kafka") : join(options.dir, `kafka-${nodeId}`),
      logFile: join(options.dir, `kafka-${nodeId}.log`),
      readyMsMax: READY_MS_MAX,
    });
  let nodes: KafkaNode[] = [];
  let rig: Rig | undefined;
  try {
    log("starting Kafka and the bridge");
    nodes = await Promise.all(ports.map(start));
    const brokers = nodes.map((node) => node.brokers).join(",");
    rig = await Rig.open(options, brokers, NODES.length, true);
    disk.settle();
    await rig.load(options.seconds);
    const [cut, ...others] = nodes as [KafkaNode, ...KafkaNode[]];
    const before = rig.uplinks.acknowledged.size;
    const image = await disk.cut();
    cut.kill();
    disk.release();
    await cut.exited;
    log(`one is cut with ${before} messages acknowledged; the others continue`);
    await rig.load(options.seconds / 2);
    disk.restore(image);
    nodes = [await start(ports[0] as (typeof ports)[number]), ...others];
    await rig.load(options.seconds / 2);
    await rig.stopLoad();
    log("waiting until it has caught up");
    await rig.inSync();
    const { checks, figures } = judged(rig.uplinks.acknowledged, await rig.stored(), true);
    const meanwhile = rig.uplinks.acknowledged.size - before;
    return {
      title,
      checks: [...checks, check("the others acknowledged meanwhile", meanwhile > 0, meanwhile)],
      figures,
    };
  } finally {
    await rig?.close();
    for (const node of nodes) node.kill();
    await Promise.all(nodes.map((node) => node.exited));
    disk.remove();
  }
}

function judged(acknowledged: ReadonlySet<string>, stored: ReadonlySet<string>, isSafe: boolean) {
  const lost = [...acknowledged].filter((id) => !stored.has(id)).length;
  return {
    checks: [
      check("messages were acknowledged", acknowledged.size > 0, acknowledged.size),
      isSafe
        ? check("nothing acknowledged is lost", lost === 0, lost)
        : check("acknowledged messages are lost", lost > 0, `${lost} of ${acknowledged.size}`),
    ],
    figures: { acknowledged: acknowledged.size, lost, stored: stored.size },
  };
}

type KafkaAddress = { readonly brokers: readonly string[]; readonly prefix: string };

/** The bridge, and devices in front of it. */
class Rig {
  readonly uplinks: Uplinks;
  readonly #kafka: KafkaAddress;
  readonly #sink: KafkajsSink;
  readonly #bridge: SpawnedService;

  private constructor(kafka: KafkaAddress, sink: KafkajsSink, bridge: SpawnedService, uplinks: Uplinks) {
    this.#kafka = kafka;
    this.#sink = sink;
    this.#bridge = bridge;
    this.uplinks = uplinks;
  }

  static async open(options: PowerOptions, brokers: string, replicas: number, isFlushed: boolean): Promise<Rig> {
    const kafka = { brokers: brokers.split(","), prefix: PREFIX };
    const admin = new KafkajsAdmin({ ...kafka, clientId: "chaos-admin" });
    const settings = { partitions: PARTITIONS, replicationFactor: replicas };
    await ensureTributaryTopics(admin, settings);
    if (!isFlushed) {
      const names = tributaryTopics(settings).map(({ name }) => name);
      await admin.alter(names.map((topic) => ({ topic, config: { "flush.messages": NEVER } })));
    }
    await admin.close();
    const sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
    const uplinks = new Uplinks({ sink, devices: options.devices, rate: options.rate });
    await uplinks.register();
    const bridge = await spawnService({
      name: "bridge",
      main: "edge/bridge/dist/main.js",
      dir: options.dir,
      readyMsMax: READY_MS_MAX,
      config: { kafka, mqtt: { port: 0 }, http: { port: 0 } },
    });
    const rig = new Rig(kafka, sink, bridge, uplinks);
    await uplinks.start(bridge.ports.mqtt ?? 0);
    return rig;
  }

  load(seconds: number): Promise<void> {
    return sleep(1_000 * seconds);
  }

  stopLoad(): Promise<void> {
    return this.uplinks.stop();
  }

  async stored(): Promise<ReadonlySet<string>> {
    const reader = new KafkaReader({ ...this.#kafka, clientId: "chaos-reader" });
    return this.uplinks.stored(reader).finally(() => reader.close());
  }

  async inSync(): Promise<void> {
    const inspector = new KafkaInspector({ ...this.#kafka, clientId: "chaos-inspector" });
    const isInSync = async () => (await inspector.topics()).every((topic) => topic.underReplicated === 0);
    await waitFor(() => isInSync().catch(() => false), { what: "all replicas to be in sync", timeoutMs: READY_MS_MAX });
    await inspector.close();
  }

  async close(): Promise<void> {
    await this.uplinks.stop();
    await this.#bridge.kill();
    await Promise.race([this.#sink.close(), sleep(2_000)]);
  }
}
