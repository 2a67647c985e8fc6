/** Two supervised drift-monitors on topics of their own, and what they wrote. */
import { DriftState, DriftVerdict, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  readTopic,
} from "@tributary/kafka";
import { edgePackage } from "@tributary/stack";
import { Supervised } from "../supervised.ts";

export type WorldOptions = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly deaths: readonly string[];
  readonly sabotage?: string;
};

/** What a verdict says, without when it was written. */
export type VerdictFacts = {
  readonly what: string;
  readonly state: string;
  readonly since: number;
  readonly devices: readonly string[];
};

export type Written = {
  /** By device: its state, hex. */
  readonly states: ReadonlyMap<string, string>;
  /** By id: the newest. */
  readonly verdicts: ReadonlyMap<string, VerdictFacts>;
  /** Ids and versions in the order of the log. */
  readonly versions: readonly string[];
};

const INSTANCES = 2;
const PARTITIONS = 4;
/** Kafka would stamp the same record with another time in each world. */
const SENT_TIMES = { "message.timestamp.type": "CreateTime" };
const BASELINE_WINDOWS = 60;
const SETTLE_MS = 5_000;

export class DriftWorld {
  readonly monitors: Supervised;
  readonly #reader: KafkaReader;
  readonly #sink: KafkajsSink;

  private constructor({ dir, brokers, prefix, deaths, sabotage }: WorldOptions) {
    const kafka = { brokers: [...brokers], prefix };
    this.#reader = new KafkaReader({ ...kafka, clientId: "chaos-reader" });
    this.#sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
    this.monitors = new Supervised({
      name: "drift-monitor",
      main: "services/drift-monitor/dist/main.js",
      dir,
      config: {
        kafka,
        log: { level: "info" },
        packages: [edgePackage],
        detector: { baselineWindows: BASELINE_WINDOWS },
        verdicts: { lookEveryMs: 500, settleMs: SETTLE_MS, holdMs: 0 },
      },
      count: INSTANCES,
      deaths,
      dieAt: "die-while-opening",
      sabotage,
    });
  }

  /** `known`: what is in Kafka before the monitors start. */
  static async open(options: WorldOptions, known: readonly OutRecord[]): Promise<DriftWorld> {
    const { brokers, prefix } = options;
    const admin = new KafkajsAdmin({ brokers: [...brokers], prefix, clientId: "chaos-admin" });
    await ensureTributaryTopics(admin, { partitions: PARTITIONS });
    await admin.alter(
      [topics.sketches, topics.reported].map(({ name }) => ({ topic: name, isInternal: false, config: SENT_TIMES })),
    );
    await admin.close();
    const world = new DriftWorld(options);
    await world.send(known);
    await world.monitors.start();
    return world;
  }

  async send(records: readonly OutRecord[]): Promise<void> {
    await this.#sink.send(records);
  }

  async written(): Promise<Written> {
    const states = new Map<string, string>();
    for await (const { key, value } of readTopic(this.#reader, topics.driftState.name)) {
      if (key !== null && value !== null) {
        states.set(key, Buffer.from(DriftState.decodeConfluent(value).state).toString("hex"));
      }
    }
    const verdicts = new Map<string, VerdictFacts>();
    const versions: string[] = [];
    for await (const { value } of readTopic(this.#reader, topics.driftVerdicts.name)) {
      if (value === null) continue;
      const verdict = DriftVerdict.decodeConfluent(value);
      verdicts.set(verdict.verdictId, factsOf(verdict));
      versions.push(`${verdict.verdictId} ${verdict.version}`);
    }
    return { states, verdicts, versions };
  }

  async close(): Promise<void> {
    await this.monitors.close();
    await Promise.all([this.#reader.close(), this.#sink.close()]);
  }
}

function factsOf({ cause, fault, scopeKey, scopeValue, state, since, devices }: DriftVerdict): VerdictFacts {
  const what = `${cause}${fault && ` ${fault}`} at ${[scopeKey, scopeValue].filter(Boolean).join("=")}`;
  return { what, state, since, devices: devices.map((one) => `${one.deviceId} since ${one.since}`) };
}
