/** A copy of the origin with two supervised trainers, and a person who decides what is held. */
import { mkdirSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { clientOf, modelRegistryApi, trainerApi } from "@tributary/api";
import { DriftVerdict, type TrainingRun, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  type InRecord,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  readTopic,
} from "@tributary/kafka";
import { reasonOf } from "@tributary/kernel";
import { mains, marked } from "@tributary/stack";
import { freePort, type SpawnedService, spawnService, waitFor } from "@tributary/testing";
import { Supervised } from "../supervised.ts";
import {
  archiveConfig,
  BY,
  copiedTopics,
  folders,
  type Origin,
  type Place,
  registryConfig,
  trainerConfig,
  urlOf,
} from "./origin.ts";

export type WorldOptions = Place & {
  readonly name: string;
  readonly origin: Origin;
  /** Places of die-in-training.mjs. */
  readonly deaths: readonly string[];
  /** Another world's request, so that the same training is made; without it the verdict starts one. */
  readonly request?: readonly OutRecord[];
  /** Module of lab/sabotage in place of die-in-training.mjs. */
  readonly sabotage?: string;
};

const INSTANCES = 2;
/** How often the same verdict is written. */
const VERDICT_RECORDS = 10;
const DIE_AT = "die-in-training";
/** In the environment of a world's trainers, and of whatever they start. */
const MARK = "TRIBUTARY_CHAOS_WORLD";
/** Kafka waits 10 s for an instance. */
const STOPPED_MS = 13_000;
const STOPPED_LOOK_MS = 500;
const ENDED_MS_MAX = 900_000;
const ENDED = ["SUCCEEDED", "FAILED", "REFUSED", "CANCELLED"];
const CALL_MS_MAX = 60_000;

export class RetrainWorld {
  readonly dir: string;
  readonly reader: KafkaReader;
  readonly trainers: Supervised;
  readonly #origin: Origin;
  readonly #sink: KafkajsSink;
  readonly #archives: Supervised;
  readonly #registryPort: number;
  readonly #stop = new AbortController();
  #registry: SpawnedService | undefined;
  /** Continued ones, by process and how many stops it had. */
  readonly #continued = new Set<string>();
  stops = 0;

  private constructor(options: WorldOptions, ports: { readonly registry: number; readonly archive: number }) {
    const { dir, brokers, name, origin, deaths, sabotage } = options;
    const kafka = { brokers: [...brokers], prefix: `${name}.` };
    this.dir = dir;
    this.#origin = origin;
    this.#registryPort = ports.registry;
    this.reader = new KafkaReader({ ...kafka, clientId: "chaos-reader" });
    this.#sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
    this.#archives = new Supervised({
      name: "frame-archive",
      main: mains.frameArchive,
      dir,
      config: archiveConfig(dir, kafka, ports.archive),
      count: 1,
      deaths: [],
      dieAt: "",
    });
    this.trainers = new Supervised({
      name: "trainer",
      main: mains.trainer,
      dir,
      config: trainerConfig(dir, kafka, ports.registry, ports.archive),
      count: INSTANCES,
      deaths,
      dieAt: sabotage ?? DIE_AT,
      sabotage,
      env: { [MARK]: dir, TRIBUTARY_DIE_ONCE: join(dir, "deaths") },
    });
  }

  static async open(options: WorldOptions): Promise<RetrainWorld> {
    const { dir, brokers, name, origin, request } = options;
    const kafka = { brokers: [...brokers], prefix: `${name}.` };
    const admin = new KafkajsAdmin({ ...kafka, clientId: "chaos-admin" });
    await ensureTributaryTopics(admin, { partitions: 2 });
    await admin.close();
    mkdirSync(join(dir, "deaths"), { recursive: true });
    for (const folder of Object.values(folders)) {
      await cp(join(origin.dir, folder), join(dir, folder), { recursive: true });
    }
    const ports = { registry: await freePort(), archive: await freePort() };
    const world = new RetrainWorld(options, ports);
    await world.#copyRecords(brokers);
    world.#registry = await spawnService({
      name: "model-registry",
      main: mains.modelRegistry,
      dir,
      config: registryConfig(dir, kafka, ports.registry, origin.model),
    });
    await world.#archives.start();
    if (request !== undefined) {
      await world.#writeVerdict();
      await world.#sink.send(request);
    }
    await world.trainers.start();
    void world.#continueStopped();
    if (request === undefined) await world.#writeVerdict();
    return world;
  }

  /** The records of the first transition of the first training: another world may start from them. */
  async request(): Promise<readonly OutRecord[]> {
    const first = async (topic: string): Promise<OutRecord | undefined> => {
      for await (const record of readTopic(this.reader, topic)) return sendable(topic, record);
      return undefined;
    };
    const both = async () => {
      const [event, run] = [await first(topics.trainingRequests.name), await first(topics.trainingResults.name)];
      return event !== undefined && run !== undefined && [event, run];
    };
    return waitFor(both, { what: "a training to be requested", timeoutMs: 120_000, everyMs: 100 });
  }

  /** Plays the person, until the training has ended and both instances run; kills the archive as frames are frozen. */
  async untilEnded(isArchiveKilled: boolean): Promise<TrainingRun | undefined> {
    let last: TrainingRun | undefined;
    let isKilled = !isArchiveKilled;
    const step = async (): Promise<boolean> => {
      last = (await this.runs()).at(-1);
      if (last === undefined) return false;
      if (!isKilled && last.phase === "LABELLING") {
        isKilled = true;
        await this.#archives.services[0]?.kill();
      }
      if (last.phase === "HELD") await this.#resume(last.runId);
      if (last.phase === "ROLLOUT") await this.#promote(last);
      return ENDED.includes(last.phase) && this.trainers.pids().length === INSTANCES;
    };
    await waitFor(step, { what: "the end of the training", timeoutMs: ENDED_MS_MAX, everyMs: 400 }).catch((error) => {
      throw new Error(`${reasonOf(error)}; it is ${last?.phase}: ${last?.message}`);
    });
    return last;
  }

  /** Every record of every training, in order. */
  async runs(): Promise<readonly TrainingRun[]> {
    const runs: TrainingRun[] = [];
    for await (const { value } of readTopic(this.reader, topics.trainingResults.name)) {
      if (value !== null) runs.push(topics.trainingResults.codec.decodeConfluent(value));
    }
    return runs;
  }

  /** What the trainers started and did not end. */
  async processesLeft(): Promise<number> {
    const left = () => marked(MARK, this.dir).filter(({ pid }) => !this.trainers.pids().includes(pid)).length;
    await waitFor(() => left() === 0, { what: "no process of a training", timeoutMs: 15_000 }).catch(() => undefined);
    return left();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    for (const pid of this.trainers.pids()) process.kill(pid, "SIGCONT");
    await this.trainers.close();
    await this.#archives.close();
    await this.#registry?.stop(5_000);
    await Promise.all([this.reader.close(), this.#sink.close()]);
  }

  async #copyRecords(brokers: readonly string[]): Promise<void> {
    const kafka = { brokers: [...brokers], prefix: this.#origin.prefix, clientId: "chaos-reader" };
    const reader = new KafkaReader(kafka);
    try {
      for (const { name } of copiedTopics) {
        const records: OutRecord[] = [];
        for await (const record of readTopic(reader, name)) records.push(sendable(name, record));
        if (records.length > 0) await this.#sink.send(records);
      }
    } finally {
      await reader.close();
    }
  }

  async #writeVerdict(): Promise<void> {
    const { verdict } = this.#origin;
    for (let record = 0; record < VERDICT_RECORDS; record++) {
      const value = DriftVerdict.encodeConfluent({ ...verdict, version: BigInt(record + 1) });
      await this.#sink.send([{ topic: topics.driftVerdicts.name, key: verdict.verdictId, value }]);
    }
  }

  /** To each instance: one of them owns the trainings. */
  async #resume(runId: string): Promise<void> {
    for (const service of this.trainers.services) {
      if (!service?.alive()) continue;
      const { runs } = clientOf(trainerApi, { url: urlOf(service.ports.http as number), timeoutMs: CALL_MS_MAX });
      await runs.resume({ runId, body: { by: BY } }).catch(() => undefined);
    }
  }

  async #promote({ model: name, candidateVersion: version }: TrainingRun): Promise<void> {
    const { models } = clientOf(modelRegistryApi, { url: urlOf(this.#registryPort), timeoutMs: CALL_MS_MAX });
    const { items } = await models.list({ name, alias: "champion" });
    if (items[0]?.version !== version) {
      await models.alias({ name, alias: "champion", body: { version, by: BY } }).catch(() => undefined);
    }
  }

  async #continueStopped(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      for (const service of this.trainers.services) {
        const stopped = service?.events().filter(({ event }) => event === "stopped").length ?? 0;
        const key = `${service?.pid} ${stopped}`;
        if (service === undefined || stopped === 0 || this.#continued.has(key)) continue;
        this.#continued.add(key);
        this.stops++;
        setTimeout(() => service.alive() && process.kill(service.pid, "SIGCONT"), STOPPED_MS);
      }
      await sleep(STOPPED_LOOK_MS);
    }
  }
}

const sendable = (topic: string, { key, value, headers, timestamp }: InRecord): OutRecord => ({
  topic,
  key: key ?? "",
  value,
  headers,
  timestamp,
});
