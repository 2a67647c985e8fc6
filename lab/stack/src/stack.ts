/**
 * The whole system on one machine, with a handle to every part: `npm start`, e2e and chaos run this one.
 *
 * S1. Every part is its own process and is reached by its public doors alone.
 * S2. Ports stay the same over restarts of a part, as an address does in production.
 * S3. `stop` ends everything in the direction of the flow: devices first, Kafka last; then nothing of the stack is alive.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { PARTITIONS } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkaReader } from "@tributary/kafka";
import { Failure, invariant } from "@tributary/kernel";
import { freePort, sabotaged } from "@tributary/testing";
import { Devices } from "./devices.ts";
import { removeEnvironment, writeEnvironment } from "./environment.ts";
import { agentMqtt, bridgeMqtt, bridgeNames, type ExternalMqtt } from "./external-mqtt.ts";
import { openJournal } from "./journal.ts";
import { foreignKafka, type KafkaPart, ownKafka } from "./kafka-node.ts";
import { EARLIER, forget, putAside } from "./leftovers.ts";
import { type LightOptions, type LightProcess, lightProcesses } from "./light.ts";
import { Part, type Probe } from "./part.ts";
import { cloudPackage, edgePackage, mains, samples } from "./paths.ts";
import { portFor } from "./ports.ts";
import { quickRollouts } from "./quick-rollouts.ts";
import { type Marks, marksOf } from "./topic-log.ts";
import { ensureTrust } from "./trust.ts";

export type StackOptions = {
  /** Configuration, logs, Kafka's data and the devices' are kept here. */
  readonly dir: string;
  readonly devices: number;
  /** Frames per second and device. */
  readonly fps?: number;
  /** In all; endless unless told. */
  readonly frames?: number;
  /** Brokers of a cluster that is there; otherwise the stack has its own. */
  readonly kafka?: readonly string[];
  readonly prefix?: string;
  /** A broker that is there; otherwise the bridge is the broker. */
  readonly mqtt?: ExternalMqtt;
  /** Wanted ones; another is taken and told when one is busy. Any unless told. */
  readonly ports?: { readonly kafka?: number; readonly mqtt?: number; readonly gateway?: number };
  /** Of each; one unless told. All but the first reach Kafka through `kafkaProxy`, if there is one. */
  readonly routers?: number;
  readonly classifiers?: number;
  /** How soon Kafka answers is timed: it has room enough to collect garbage seldom. */
  readonly isMeasured?: boolean;
  /** A proxy of the caller's on `advertisedPort`, in front of a second listener of the stack's own Kafka on `port`. */
  readonly kafkaProxy?: { readonly port: number; readonly advertisedPort: number };
  /** How parts are looked at while they are supervised. */
  readonly probe?: Probe;
  /** Whether parts that die are started again, as an orchestrator would. */
  readonly supervised?: boolean;
  /** Forgets what earlier runs left in the folder. */
  readonly fresh?: boolean;
  /** What this run's models tell apart: what a run of other classes left in the folder is put aside. */
  readonly classes?: readonly string[];
  /** What parts, by name, run with: modules of lab/sabotage. */
  readonly sabotage?: Readonly<Record<string, string>>;
  readonly edgePackage?: string;
  readonly cloudPackage?: string;
  /** Blocks of the classifier's configuration, `targets` among them with one named `default`; a local model unless told. */
  readonly cloud?: { readonly targets: object; readonly routes?: object };
  /** Blocks of the routers' configuration. */
  readonly router?: object;
  readonly outboxBytesMax?: number;
  readonly partitions?: number;
  /** The services' block of that name: a registry that is not ours. */
  readonly schemaRegistry?: object;
  /** A model registry and rollout-manager too; devices then follow what they shall run. */
  readonly rollouts?: RolloutsOptions;
  /** Devices beside the agents, many to a process. */
  readonly light?: LightOptions;
  /** Folder of JPEGs that cameras show in place of the sample photos. */
  readonly photos?: string;
  /** Of the i-th agent, in place of any photos; such a camera writes no ledger unless it is told to. */
  readonly cameras?: (device: number) => readonly object[];
  /** Blocks of every agent's configuration. */
  readonly agent?: object;
  /** In place of today's, for the i-th; today's where undefined. */
  readonly agentProgram?: (device: number) => AgentProgram | undefined;
  /** Gives up starting. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (line: string) => void;
  readonly onStep?: (step: string) => void;
};

export type Stack = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly kafka: KafkaPart;
  /** The first of them. */
  readonly bridge: Part;
  readonly bridges: readonly Part[];
  /** The first of them. */
  readonly router: Part;
  readonly routers: readonly Part[];
  /** The first of them. */
  readonly classifier: Part;
  readonly classifiers: readonly Part[];
  readonly gateway: Part;
  readonly agents: readonly DeviceAgent[];
  /** With `rollouts`. */
  readonly registry: Part | undefined;
  readonly registryUrl: string | undefined;
  readonly managers: readonly Part[];
  readonly managerUrls: readonly string[];
  /** With `light`. */
  readonly light: readonly LightProcess[];
  readonly gatewayUrl: string;
  readonly mqttUrl: string;
  readonly devices: Devices;
  /** Where the topics stood before the first frame. */
  readonly began: Marks;
  readonly stackId: string;
  /** Pids of the stack, by part. */
  pids(): { readonly name: string; readonly pid: number }[];
  stop(): Promise<void>;
};

export type RolloutsOptions = {
  /** Whether a rollout is over in minutes (quick-rollouts.ts); the services' defaults unless told. */
  readonly quick?: boolean;
  /** Blocks of the model registry's configuration. */
  readonly registry?: object;
  /** Blocks of rollout-manager's configuration. */
  readonly manager?: object;
  /** Instances of rollout-manager; one unless told. */
  readonly managers?: number;
};

/** An agent of another version, as built elsewhere. */
export type AgentProgram = {
  readonly main: string;
  /** Keys of the configuration that it does not know yet, and would refuse. */
  readonly unknownKeys: readonly string[];
};

export const CAMERA_ID = "cam";
const TARGET = "default";

export type DeviceAgent = { readonly deviceId: string; readonly ledger: string; readonly part: Part; url(): string };

export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, prefix = "tributary.", supervised = false, onEvent } = options;
  const onStep = (step: string) => {
    options.signal?.throwIfAborted();
    options.onStep?.(step);
  };
  const { journal, reclaimed } = await openJournal(dir);
  const say = onEvent ?? (() => {});
  if (reclaimed > 0) say(`ended ${reclaimed} processes that an earlier run had left`);
  if (options.fresh) forget(dir);
  if (options.classes !== undefined && putAside(dir, options.classes))
    say(`the last run here had other classes: what it left is in ${join(dir, EARLIER)}, and this one starts afresh`);
  rmSync(join(dir, "ledgers"), { recursive: true, force: true });
  for (const name of ["logs", "ledgers"]) mkdirSync(join(dir, name), { recursive: true, mode: 0o700 });
  const stop = async () => {
    removeEnvironment(dir);
    // S3
    const devices = [...agents, ...light].map(({ part }) => part);
    for (const layer of [devices, bridges, [...routers, ...classifiers, ...managers, registry], [gateway]]) {
      await Promise.all(layer.map((part) => part?.stop()));
    }
    await kafka?.stop();
    await journal.sweep(2_000);
    journal.close();
  };
  let kafka: KafkaPart | undefined;
  let routers: Part[] = [];
  let classifiers: Part[] = [];
  let gateway: Part | undefined;
  let registry: Part | undefined;
  let managers: readonly Part[] = [];
  let bridges: Part[] = [];
  const light: LightProcess[] = [];
  const agents: DeviceAgent[] = [];
  try {
    onStep("Kafka");
    kafka = options.kafka
      ? foreignKafka(options.kafka)
      : await ownKafka({
          dir,
          port: await portFor("Kafka", options.ports?.kafka, say),
          controllerPort: await freePort(),
          ...(options.kafkaProxy && { proxied: options.kafkaProxy }),
          ...(options.isMeasured && { isMeasured: true }),
          journal,
        });
    onStep("topics");
    const { brokers } = kafka;
    const admin = new KafkajsAdmin({ brokers, prefix, clientId: "local-stack" });
    await ensureTributaryTopics(admin, { partitions: options.partitions ?? PARTITIONS }).finally(() => admin.close());

    const { mqtt: external } = options;
    const mqttPort = external === undefined ? await portFor("MQTT", options.ports?.mqtt, say) : 0;
    const mqttUrl = external?.url ?? `mqtt://127.0.0.1:${mqttPort}`;
    const gatewayPort = await portFor("the gateway", options.ports?.gateway, say);
    const gatewayMetricsPort = await freePort();
    const { schemaRegistry } = options;
    const shared = { kafka: { brokers, prefix }, log: { level: "info" }, ...(schemaRegistry && { schemaRegistry }) };
    const part = (name: string, main: string, config: () => object) => {
      const sabotage = options.sabotage?.[name];
      return new Part({
        name,
        main,
        config,
        dir,
        journal,
        supervised,
        ...(sabotage !== undefined && { nodeArgs: sabotaged(sabotage) }),
        ...(options.probe && { probe: options.probe }),
        ...(onEvent && { onEvent }),
      });
    };
    const http = async () => ({ host: "127.0.0.1", port: await freePort() }); // S2
    const serviceHttp = async () => ({ ...(await http()), metricsPort: await freePort() });
    const https = (count: number) => Promise.all(Array.from({ length: count }, serviceHttp));
    const numbered = (name: string, i: number) => (i === 0 ? name : `${name}-${i + 1}`);
    const proxied = options.kafkaProxy && [`127.0.0.1:${options.kafkaProxy.advertisedPort}`];
    const sharedBy = (i: number) =>
      i === 0 || proxied === undefined ? shared : { ...shared, kafka: { brokers: proxied, prefix } };
    const { rollouts } = options;
    const quick = rollouts?.quick ? await quickRollouts(options.edgePackage ?? edgePackage) : undefined;
    const registryHttp = rollouts && (await serviceHttp());
    const managerHttps = await https(rollouts ? (rollouts.managers ?? 1) : 0);
    const urlOf = ({ host, port }: { host: string; port: number }) => `http://${host}:${port}`;
    const registryUrl = registryHttp && urlOf(registryHttp);
    const managerUrls = managerHttps.map(urlOf);
    const registryDir = join(dir, "registry");
    const trustRoot = rollouts && (await ensureTrust(registryDir, join(dir, "root-keys")));

    bridges = await Promise.all(
      bridgeNames(external).map(async (name) => {
        const bridgeHttp = await serviceHttp();
        return part(name, mains.bridge, () => ({
          ...shared,
          http: bridgeHttp,
          mqtt: external === undefined ? { host: "127.0.0.1", port: mqttPort } : bridgeMqtt(external, name),
        }));
      }),
    );
    routers = (await https(options.routers ?? 1)).map((routerHttp, i) =>
      part(numbered("router", i), mains.router, () => ({
        ...sharedBy(i),
        http: routerHttp,
        target: TARGET,
        packages: [options.edgePackage ?? edgePackage],
        ...options.router,
      })),
    );
    classifiers = (await https(options.classifiers ?? 1)).map((classifierHttp, i) =>
      part(numbered("cloud-classifier", i), mains.classifier, () => ({
        ...sharedBy(i),
        http: classifierHttp,
        targets: {
          [TARGET]: {
            backend: "onnx",
            package: options.cloudPackage ?? cloudPackage,
            threads: 1,
            costMicrosPerCall: 120,
          },
        },
        ...options.cloud,
      })),
    );
    registry =
      rollouts &&
      part("model-registry", mains.modelRegistry, () => ({
        ...shared,
        http: registryHttp,
        dataDir: registryDir,
        ...quick?.registry,
        ...rollouts.registry,
      }));
    managers = managerHttps.map((managerHttp, i) =>
      part(numbered("rollout-manager", i), mains.rolloutManager, () => ({
        ...shared,
        http: managerHttp,
        ...(registryUrl !== undefined && { modelRegistry: { url: registryUrl } }),
        ...quick?.manager,
        ...rollouts?.manager,
      })),
    );
    gateway = part("gateway", mains.gateway, () => ({
      ...shared,
      http: { host: "127.0.0.1", port: gatewayPort, metricsPort: gatewayMetricsPort },
      ...(rollouts && { modelRegistry: { url: registryUrl }, rolloutManager: { url: managerUrls[0] } }),
    }));
    const services = [...bridges, ...routers, ...classifiers, ...(registry ? [registry] : []), ...managers, gateway];
    onStep(services.map(({ name }) => name).join(", "));
    await Promise.all(services.map((service) => service.start()));

    const gatewayUrl = `http://127.0.0.1:${gatewayPort}`;
    const devices = new Devices(dir, () => gatewayUrl);
    const run = Date.now();
    onStep("devices");
    for (let i = 0; i < options.devices; i++) {
      const deviceId = `device-${i + 1}`;
      const { password } = await devices.register(deviceId);
      const agentHttp = await http();
      const ledger = join(dir, "ledgers", `${run}.${deviceId}.jsonl`);
      const frames = options.frames === undefined ? undefined : sharesOf(options.frames, options.devices)[i];
      const { main, unknownKeys } = options.agentProgram?.(i) ?? { main: mains.agent, unknownKeys: [] };
      const config = () => ({
        deviceId,
        dataDir: join(dir, "devices", deviceId),
        hardwareClass: "x64",
        mqtt: {
          ...(external === undefined ? { url: mqttUrl, password } : agentMqtt(external, deviceId, password)),
          backoff: { minMs: 250, maxMs: 5_000 },
        },
        http: agentHttp,
        cores: "shared",
        log: { level: "info" },
        model: { package: options.edgePackage ?? edgePackage, threads: 1 },
        ...(rollouts && { models: { registry: registryUrl, root: trustRoot } }),
        ...options.agent,
        ...(options.outboxBytesMax && { outbox: { bytesMax: options.outboxBytesMax } }),
        cameras: options.cameras
          ? options.cameras(i)
          : frames === 0
            ? []
            : [
                {
                  id: CAMERA_ID,
                  kind: "sheet",
                  sheets: options.photos ?? samples,
                  fps: options.fps ?? 10,
                  ...(frames && { frames }),
                  // Disjoint photos: device i shows i, i + D, i + 2D, ...
                  start: i,
                  stride: options.devices,
                  ledger,
                  // A device that comes back goes on where it was.
                  resume: true,
                },
              ],
      });
      agents.push({
        deviceId,
        ledger,
        url: () => `http://127.0.0.1:${agentHttp.port}`,
        part: part(deviceId, main, () => without(config(), unknownKeys)),
      });
    }
    if (options.light !== undefined) {
      const processes = await lightProcesses(options.light, {
        devices,
        mqttUrl,
        dir,
        edgePackage: options.edgePackage ?? edgePackage,
        models: registryUrl === undefined ? undefined : { registry: registryUrl, root: trustRoot },
        part,
        http,
      });
      light.push(...processes);
    }
    const reader = new KafkaReader({ brokers, prefix, clientId: "local-stack" });
    const began = await marksOf(reader).finally(() => reader.close());
    onStep("agents");
    await Promise.all([...agents, ...light].map((device) => device.part.start()));

    const environment = writeEnvironment(dir, { gatewayUrl, registryUrl, brokers, prefix });
    say(`for npx tributary in another terminal: . ${relative(process.cwd(), environment)}`);
    const [[bridge], [router], [classifier]] = [bridges, routers, classifiers];
    invariant(bridge && router && classifier, "a stack has a bridge, a router and a classifier");
    const all = { bridge, bridges, router, routers, classifier, classifiers, gateway, kafka, registry, managers };
    return {
      dir,
      brokers,
      prefix,
      ...all,
      agents,
      ...{ registryUrl, managerUrls, light },
      gatewayUrl,
      mqttUrl,
      devices,
      began,
      stackId: journal.stackId,
      pids: () =>
        [all.kafka, ...services, ...[...agents, ...light].map(({ part }) => part)].flatMap((one) =>
          one.pid === undefined ? [] : [{ name: "name" in one ? one.name : "kafka", pid: one.pid }],
        ),
      stop,
    };
  } catch (error) {
    await stop();
    throw error instanceof Error ? error : new Failure("stack-failed", "ask-a-person", String(error));
  }
}

const without = (config: object, keys: readonly string[]): object =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

/** `total` in `count` shares that differ by one at most. */
export const sharesOf = (total: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor((total - i - 1) / count) + 1);
