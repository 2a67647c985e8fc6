/** Rollout-managers in this process on a real Kafka, and a simulated fleet that follows them. */
import {
  type GateOutcome,
  ModelAliases,
  Model as ModelRecord,
  policyKey,
  RoutingPolicy,
  topics,
} from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { seededRandom, systemClock } from "@tributary/kernel";
import type { Rollout } from "@tributary/rollouts";
import { createTelemetry, type Telemetry } from "@tributary/telemetry";
import { type ModelBehaviour, SimulatedFleet, someModel, somePolicy, testKafka, waitFor } from "@tributary/testing";
import { checkConfig, configSchema } from "./config.ts";
import { Manager } from "./manager.ts";

export const digests = {
  old: "0a".repeat(32),
  better: "1b".repeat(32),
  worse: "2c".repeat(32),
  other: "3d".repeat(32),
};

/** Seconds where production takes hours. */
export const quickly = {
  judge: { lookEveryMs: 500, settleMs: 250, preperiodHours: 1, silenceMs: 3_000, exposureShare: 0.1, plannedMs: 5_000 },
  fleet: { lieAfterMs: 1_000 },
  limits: { statusEveryMs: 250, foldBehindMsMax: 5_000 },
};

export const somePassedGate = (change: Partial<GateOutcome> = {}): GateOutcome => ({
  passed: true,
  championDigest: digests.old,
  failed: [],
  unsure: [],
  reportDigest: "",
  pageDigest: "",
  judgedAt: 1_800_000_000_000,
  forcedBy: "",
  forcedReason: "",
  validationDigest: "",
  validationGates: 0,
  sliceDigest: "",
  sliceGates: 0,
  ...change,
});

export type Instance = { readonly manager: Manager; readonly telemetry: Telemetry; close(): Promise<void> };

export class Rig {
  readonly kafka: { readonly brokers: string[]; readonly prefix: string };
  readonly reader: KafkaReader;
  readonly sink: KafkajsSink;
  fleet: SimulatedFleet | undefined;
  readonly #instances = new Set<Instance>();

  constructor() {
    const { brokers, prefix } = testKafka();
    this.kafka = { brokers: [...brokers], prefix };
    this.reader = new KafkaReader({ ...this.kafka, clientId: "test-reader" });
    this.sink = new KafkajsSink({ ...this.kafka, clientId: "test-sink" });
  }

  /** Topics, models edge@1 (champion), edge@2 (challenger, better), edge@3 (worse), and a fleet that runs edge@1. */
  async prepare(
    devices: number,
    behaviours: Readonly<Record<string, ModelBehaviour>> = {},
    more: Partial<ConstructorParameters<typeof SimulatedFleet>[0]> = {},
  ): Promise<SimulatedFleet> {
    const admin = new KafkajsAdmin({ ...this.kafka, clientId: "test-admin" });
    await ensureTributaryTopics(admin, { partitions: 2 });
    await admin.close();
    const versions = { "1": digests.old, "2": digests.better, "3": digests.worse };
    for (const [version, modelDigest] of Object.entries(versions)) await this.model({ version, modelDigest });
    await this.aliases({ champion: "1" });
    this.fleet = new SimulatedFleet({
      reader: this.reader,
      sink: this.sink,
      random: seededRandom(1),
      modelDigest: digests.old,
      devices: Array.from({ length: devices }, (_, i) => `d${i + 1}`),
      behaviours: { [digests.old]: {}, [digests.better]: {}, [digests.worse]: { inTime: 0.85 }, ...behaviours },
      ...more,
    });
    await this.fleet.start();
    return this.fleet;
  }

  async model(change: Partial<ModelRecord>): Promise<void> {
    const model = someModel({ hardwareClass: "x64", state: "LISTED", gate: somePassedGate(), ...change });
    const value = ModelRecord.encodeConfluent(model);
    await this.sink.send([{ topic: topics.models.name, key: `${model.name}/${model.version}`, value }]);
  }

  async aliases(aliases: Readonly<Record<string, string>>): Promise<void> {
    const value = ModelAliases.encodeConfluent({
      name: "edge",
      aliases,
      changedBy: "ann",
      changedAt: Date.now(),
      validation: null,
    });
    await this.sink.send([{ topic: topics.modelAliases.name, key: "edge", value }]);
  }

  /** In force for its model, or to be named by its version. */
  async policy(change: Partial<RoutingPolicy>, is: "in-force" | "named"): Promise<void> {
    const policy = somePolicy({ modelDigest: digests.old, ...change });
    const { policyVersion, modelDigest, cloudTarget } = policy;
    const [topic, key] =
      is === "in-force"
        ? [topics.policies, policyKey(modelDigest, cloudTarget)]
        : [topics.policyVersions, policyVersion];
    await this.sink.send([{ topic: topic.name, key, value: RoutingPolicy.encodeConfluent(policy) }]);
  }

  /** When each device was sent its desired state of this generation, by Kafka's clock. */
  async desiredAt(generation: bigint): Promise<readonly number[]> {
    const at: number[] = [];
    for await (const { value, timestamp } of readTopic(this.reader, topics.desired.name)) {
      if (value !== null && topics.desired.codec.decodeConfluent(value).generation === generation) at.push(timestamp);
    }
    return at;
  }

  async instance(settings: object = {}): Promise<Instance> {
    const config = configSchema.parse({ kafka: this.kafka, ...quickly, ...settings });
    checkConfig(config);
    const telemetry = createTelemetry({ service: "rollout-manager", level: "silent", defaultMetrics: false });
    const reader = new KafkaReader({ ...this.kafka, clientId: "rollout-manager" });
    const slices = new KafkaReader({ ...this.kafka, clientId: "rollout-manager-slices" });
    const sink = new KafkajsSink({ ...this.kafka, clientId: "rollout-manager" });
    const [clock, random] = [systemClock, Math.random];
    const manager = new Manager({ config, telemetry, clock, random, reader, slices, sink });
    await manager.onModuleInit();
    await waitFor(() => manager.health === true, { what: "the rollout-manager" });
    await waitFor(() => manager.fleet.size >= (this.fleet?.devices.size ?? 0), {
      what: "the fleet's reports",
    });
    const instance: Instance = {
      manager,
      telemetry,
      close: async () => {
        this.#instances.delete(instance);
        await manager.beforeApplicationShutdown();
        await Promise.all([reader.close(), slices.close(), sink.close()]);
      },
    };
    this.#instances.add(instance);
    return instance;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#instances].map((instance) => instance.close()));
    await this.fleet?.stop();
    await Promise.all([this.reader.close(), this.sink.close()]);
  }
}

/** Of 80 devices at 10 %: a canary of 8, a control of 32. */
export const written = (model: string, spec: object = {}, steps: readonly object[] = usualSteps): object => ({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge" },
  spec: {
    model,
    strategy: { canary: { steps } },
    metrics: [{ name: "deadline-met", alpha: 0.02 }],
    burnIn: "1s",
    pacing: { devicesPerMinute: 6_000 },
    progressDeadline: "30s",
    ...spec,
  },
});
export const usualSteps: readonly object[] = [{ setWeight: 10 }, { analysis: { duration: "20s" } }, { setWeight: 100 }];

export async function until(
  { manager }: Instance,
  uid: string,
  what: string,
  is: (rollout: Rollout) => boolean,
  timeoutMs = 60_000,
): Promise<Rollout> {
  const probe = () => {
    const rollout = manager.controller.rollout(uid);
    return rollout !== null && is(rollout) && rollout;
  };
  try {
    return await waitFor(probe, { what, timeoutMs, everyMs: 50 });
  } catch (error) {
    // The error names why the rollout did not get there.
    const record = manager.status.record(uid);
    throw new Error(
      `${(error as Error).message}: ${record?.phase} ${record?.message}, step ${record?.step}; ${record?.evidence.slice(0, 4_000)}`,
    );
  }
}
