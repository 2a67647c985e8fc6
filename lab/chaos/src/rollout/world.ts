/** A fleet, two supervised rollout-managers, and a person whose commands go to either of them. */
import { renameSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Model, ModelAliases, policyKey, RoutingPolicy, topics } from "@tributary/contracts";
import {
  ensureTributaryTopics,
  KafkajsAdmin,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  readTopic,
  tributaryTopics,
} from "@tributary/kafka";
import { reasonOf, seededRandom } from "@tributary/kernel";
import {
  type PolicyBehaviour,
  SimulatedFleet,
  type SpawnedService,
  someModel,
  somePolicy,
  waitFor,
} from "@tributary/testing";
import { Supervised } from "../supervised.ts";

export const digests = { old: "0a".repeat(32), good: "1b".repeat(32), bad: "2c".repeat(32) } as const;
export const INSTANCES = 2;
const CLOUD_TARGET = "default";

export type WorldOptions = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly devices: number;
  /** What devices can decide by, by version: the first is in force, the others can be named. Absent: they decide by none. */
  readonly policies?: Readonly<Record<string, PolicyBehaviour>>;
  /** `PLACE:KIND`: an instance dies at the first of these that it reaches, until each was reached (lab/sabotage/die-at.mjs). */
  readonly deaths: readonly string[];
  /** Module of lab/sabotage that instances run with when they are not to die. */
  readonly sabotage?: string;
  /** Set: clocks of instances can be set wrong; moved: time as a whole can pass, and it begins in the past. Absent: clocks are right. */
  readonly clocks?: "set" | "moved";
};

/** A rollout as the API returns it. */
export type RolloutView = {
  readonly uid: string;
  readonly phase: string;
  readonly step: number;
  readonly analysis: string;
  readonly isBack: boolean;
  readonly weight: number;
  readonly message: string;
};

/** An experiment as the API returns it. */
export type ExperimentView = {
  readonly uid: string;
  readonly name: string;
  readonly phase: string;
  readonly verdict: string | null;
  readonly winner: string | null;
  readonly message: string;
};

export type Shown = { readonly look: number; readonly text: string };

/** How long ago time begins that passes faster: Kafka takes records of the past, and not of the future. */
const BEGINS_AGO_MS = 16 * 3_600_000;
const [STEP_MS, WINDOW_MS] = [300_000, 500];
const LOOK_MOVED_MS = 5_000;

/** Frames that show in seconds what the cloud is worth: ten twice a second, four of them labelled. */
const LABELLED = { framesPerWindow: 10, labelledPerWindow: 4 };

export class World {
  readonly reader: KafkaReader;
  readonly fleet: SimulatedFleet;
  readonly #sink: KafkajsSink;
  readonly #managers: Supervised;
  readonly #admin: KafkajsAdmin;
  readonly #clockFile: (instance: number) => string;
  #movedMs: number;

  private constructor({ dir, deaths, sabotage, brokers, prefix, devices, policies, clocks }: WorldOptions) {
    const kafka = { brokers: [...brokers], prefix };
    const isMoved = clocks === "moved";
    this.#movedMs = isMoved ? -BEGINS_AGO_MS : 0;
    this.#clockFile = (instance) => join(dir, `clock-${instance}`);
    if (clocks !== undefined) for (let instance = 0; instance < INSTANCES; instance++) this.setClock(instance, 0);
    this.#managers = new Supervised({
      name: "rollout-manager",
      main: "services/rollout-manager/dist/main.js",
      dir,
      config: {
        kafka,
        log: { level: "info" },
        judge: {
          lookEveryMs: isMoved ? LOOK_MOVED_MS : 1_000,
          settleMs: 300,
          preperiodHours: 1,
          exposureShare: 0.05,
          plannedMs: 5_000,
        },
        checkpoints: { everyMs: 2_000 },
        limits: { statusEveryMs: 300, foldBehindMsMax: 20_000, readBackMsMax: 5_000 },
      },
      count: INSTANCES,
      deaths,
      dieAt: "die-at",
      sabotage,
      clockFile: clocks === undefined ? undefined : this.#clockFile,
    });
    this.reader = new KafkaReader({ ...kafka, clientId: "chaos-reader" });
    this.#admin = new KafkajsAdmin({ ...kafka, clientId: "chaos-retention" });
    this.#sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
    const stamped = (records: readonly OutRecord[]) =>
      this.#sink.send(isMoved ? records.map((one) => ({ ...one, timestamp: this.#now() })) : records);
    this.fleet = new SimulatedFleet({
      reader: this.reader,
      sink: { send: stamped, close: () => this.#sink.close() },
      random: seededRandom(7),
      modelDigest: digests.old,
      devices: Array.from({ length: devices }, (_, i) => `d${i + 1}`),
      behaviours: { [digests.bad]: { inTime: 0.8 } },
      windowMs: WINDOW_MS,
      ...(policies !== undefined && { policies, ...LABELLED }),
    });
  }

  static async open(options: WorldOptions): Promise<World> {
    const admin = new KafkajsAdmin({ brokers: [...options.brokers], prefix: options.prefix, clientId: "chaos-admin" });
    await ensureTributaryTopics(admin, { partitions: 2 });
    // Also that of the probes: by Kafka's own clock hours would not have passed.
    const config = { "message.timestamp.type": "CreateTime" };
    if (options.clocks === "moved")
      await admin.alter(tributaryTopics().map(({ name: topic }) => ({ topic, isInternal: false, config })));
    await admin.close();
    await mkdir(options.dir, { recursive: true });
    const world = new World(options);
    await world.#publishModels();
    await world.#publishPolicies(Object.keys(options.policies ?? {}));
    await world.fleet.start();
    await world.#managers.start();
    return world;
  }

  /** Where instances died. */
  get died(): readonly string[] {
    return this.#managers.died;
  }

  pids(): readonly number[] {
    return this.#managers.pids();
  }

  /** An instance's wall clock is off by so much, at once. */
  setClock(instance: number, offsetMs: number): void {
    const file = this.#clockFile(instance);
    writeFileSync(`${file}.new`, String(this.#movedMs + offsetMs));
    renameSync(`${file}.new`, file); // It is read meanwhile.
  }

  #now(): number {
    return Date.now() + this.#movedMs;
  }

  /** Hours pass in seconds, for devices and instances alike. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.#movedMs += STEP_MS;
      for (let instance = 0; instance < INSTANCES; instance++) this.setClock(instance, 0);
      await sleep(WINDOW_MS + 100); // So that every device is heard in each step.
    }
  }

  async close(): Promise<void> {
    await this.#managers.close();
    await this.fleet.stop();
    await Promise.all([this.reader.close(), this.#sink.close(), this.#admin.close()]);
  }

  /** Retention: all that the newest checkpoint counts is gone. Gives how many records. */
  async forgetPast(): Promise<number> {
    let at = 0;
    for await (const { key, value } of readTopic(this.reader, topics.rolloutEvidence.name)) {
      const record = value === null ? null : topics.rolloutEvidence.codec.decodeConfluent(value);
      if (key?.endsWith("/manifest") && record !== null) at = Math.max(at, record.at);
    }
    let deleted = 0n;
    for (const { name } of [topics.predictions, topics.metrics, topics.classifications, topics.groundTruth]) {
      const offsets = await this.reader.offsetsAt(name, at + 1);
      for (const [partition, offset] of offsets)
        deleted += offset - (await this.reader.offsets(name, partition)).earliest;
      await this.#admin.deleteBefore(name, offsets);
    }
    return Number(deleted);
  }

  /** What an instance shows as evidence: as of which look, and all of it. Null: nothing yet. */
  async evidence(of: "rollouts" | "experiments", uid: string, instance: number): Promise<Shown | null> {
    const { json } = await this.ask("GET", `/${of}/${uid}`, undefined, instance);
    const evidence = (json as { readonly evidence: { readonly at?: number; readonly sinceMs?: number } | null })
      .evidence;
    const look = evidence?.at ?? evidence?.sinceMs;
    return look === undefined ? null : { look, text: JSON.stringify(evidence) };
  }

  /** Resolves when it runs again. */
  async restart(instance: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const before = this.#managers.services[instance];
    await before?.kill(signal);
    const isBack = () => {
      const service = this.#managers.services[instance];
      return service !== before && service?.alive() === true;
    };
    await waitFor(isBack, { what: `instance ${instance}`, timeoutMs: 60_000 });
  }

  /** Asks each instance in turn until one answers. Undefined: it was refused; `detail` of the refusal is kept. */
  async ask(method: string, path: string, body?: object, only?: number): Promise<{ status: number; json: unknown }> {
    return waitFor(
      async () => {
        for (const [i, service] of this.#managers.services.entries()) {
          if (!service?.alive() || (only !== undefined && i !== only)) continue;
          const answer = await call(service, method, path, body);
          if (answer !== undefined && answer.status !== 503) return answer;
        }
        return undefined;
      },
      { what: `an answer to ${method} ${path}`, timeoutMs: 60_000, everyMs: 100 },
    );
  }

  /** To one instance, once; undefined: no answer. */
  async askOnce(instance: number, method: string, path: string, body?: object) {
    const service = this.#managers.services[instance];
    return service?.alive() ? call(service, method, path, body) : undefined;
  }

  rollouts(only?: number): Promise<readonly RolloutView[]> {
    return this.#listed("/rollouts", only);
  }

  experiments(only?: number): Promise<readonly ExperimentView[]> {
    return this.#listed("/experiments", only);
  }

  until(uid: string, what: string, is: (view: RolloutView) => boolean, timeoutMs = 90_000): Promise<RolloutView> {
    return untilOne(() => this.rollouts(), uid, is, { what, timeoutMs });
  }

  untilExperiment(uid: string, what: string, is: (view: ExperimentView) => boolean): Promise<ExperimentView> {
    return untilOne(() => this.experiments(), uid, is, { what, timeoutMs: 120_000 });
  }

  /** Version of the policy that is in force, by Kafka. */
  async policyInForce(): Promise<string | undefined> {
    const key = policyKey(digests.old, CLOUD_TARGET);
    let last: string | undefined;
    for await (const record of readTopic(this.reader, topics.policies.name))
      if (record.key === key && record.value !== null) last = RoutingPolicy.decodeConfluent(record.value).policyVersion;
    return last;
  }

  async #listed<T>(path: string, only?: number): Promise<readonly T[]> {
    const { json } = await this.ask("GET", path, undefined, only);
    return (json as { readonly items: readonly T[] }).items;
  }

  async #publishPolicies(versions: readonly string[]): Promise<void> {
    const records = versions.map((policyVersion, i) => {
      const policy = somePolicy({ policyVersion, modelDigest: digests.old, cloudTarget: CLOUD_TARGET });
      const value = RoutingPolicy.encodeConfluent(policy);
      return i === 0
        ? { topic: topics.policies.name, key: policyKey(digests.old, CLOUD_TARGET), value }
        : { topic: topics.policyVersions.name, key: policyVersion, value };
    });
    if (records.length > 0) await this.#sink.send(records);
  }

  async #publishModels(): Promise<void> {
    const gate = {
      passed: true,
      championDigest: digests.old,
      failed: [],
      unsure: [],
      reportDigest: "",
      pageDigest: "",
      judgedAt: Date.now(),
      forcedBy: "",
      forcedReason: "",
      validationDigest: "",
      validationGates: 0,
      sliceDigest: "",
      sliceGates: 0,
    };
    const versions = { "1": digests.old, "2": digests.good, "3": digests.bad };
    const models = Object.entries(versions).map(([version, modelDigest]) =>
      someModel({ version, modelDigest, hardwareClass: "x64", state: "LISTED", gate }),
    );
    const aliases = {
      name: "edge",
      aliases: { champion: "1" },
      changedBy: "chaos",
      changedAt: Date.now(),
      validation: null,
    };
    await this.#sink.send([
      ...models.map((model) => ({
        topic: topics.models.name,
        key: `${model.name}/${model.version}`,
        value: Model.encodeConfluent(model),
      })),
      { topic: topics.modelAliases.name, key: "edge", value: ModelAliases.encodeConfluent(aliases) },
    ]);
  }
}

async function untilOne<T extends RolloutView | ExperimentView>(
  list: () => Promise<readonly T[]>,
  uid: string,
  is: (view: T) => boolean,
  options: { readonly what: string; readonly timeoutMs: number },
): Promise<T> {
  let last: T | undefined;
  const probe = async () => {
    last = (await list()).find((one) => one.uid === uid);
    return last !== undefined && is(last) && last;
  };
  try {
    return await waitFor(probe, { ...options, everyMs: 150 });
  } catch (error) {
    const step = last !== undefined && "step" in last ? ` at step ${last.step}` : "";
    throw new Error(`${reasonOf(error)}; it is ${last?.phase}${step}: ${last?.message}`);
  }
}

async function call(
  service: SpawnedService,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; json: unknown } | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${service.ports.http}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      signal: AbortSignal.timeout(15_000),
    });
    return { status: response.status, json: await response.json() };
  } catch {
    return undefined; // It died meanwhile: the outcome of the request is unknown.
  }
}
