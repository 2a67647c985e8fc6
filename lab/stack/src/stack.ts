/**
 * The whole system on one machine, with a handle to every part: `npm start`, tests, chaos programs, benches and demos run this one.
 *
 * Its parts are Kafka, the services and the devices, each with options of its own in a file of its own. Each is made, started, and
 * stopped in the direction of the flow: devices first, Kafka last; then nothing of the stack is alive. Every process is reached by
 * its public doors alone.
 */
import { relative } from "node:path";
import { KafkaReader } from "@tributary/kafka";
import { Failure, invariant } from "@tributary/kernel";
import { type AgentsOptions, type DeviceAgent, makeAgents } from "./agents.ts";
import { Devices } from "./devices.ts";
import { removeEnvironment, writeEnvironment } from "./environment.ts";
import type { ExternalMqtt } from "./external-mqtt.ts";
import { Kafka, type KafkaOptions } from "./kafka-node.ts";
import { Launcher, type LauncherOptions } from "./launcher.ts";
import { type LightOptions, type LightProcess, makeLightProcesses } from "./light.ts";
import { type Part, together } from "./part.ts";
import { cloudPackage, edgePackage } from "./paths.ts";
import type { RolloutsOptions } from "./rollout-services.ts";
import { type DriftOptions, type ModelPackages, Services, type ServicesOptions } from "./services.ts";
import { type Marks, marksOf } from "./topic-log.ts";
import type { TrainingOptions } from "./training-services.ts";

export type StackOptions = LauncherOptions & {
  readonly kafka?: KafkaOptions;
  /** A broker that is there; otherwise the bridge is the broker. */
  readonly mqtt?: ExternalMqtt;
  /** What devices start with, and what the local cloud asks; the sample packages by default. */
  readonly packages?: Partial<ModelPackages>;
  readonly services?: ServicesOptions;
  /** A model registry and rollout-manager too; devices then follow what they shall run. */
  readonly rollouts?: RolloutsOptions;
  /** drift-monitors too. */
  readonly drift?: DriftOptions;
  /** A frame archive and a trainer too; with `rollouts`. */
  readonly training?: TrainingOptions;
  /** Devices with an agent each; none by default. */
  readonly agents?: AgentsOptions;
  /** Devices beside the agents, many to a process. */
  readonly light?: LightOptions;
  /** Gives up starting. */
  readonly signal?: AbortSignal;
  /** Called before each step of the start. */
  readonly onStep?: (step: string) => void;
};

export type Stack = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly kafka: Pick<Kafka, "kill" | "start">;
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
  /** With `rollouts`. */
  readonly registry: Part | undefined;
  readonly registryUrl: string | undefined;
  /** The first of them. */
  readonly manager: Part | undefined;
  readonly managers: readonly Part[];
  /** With `drift`. */
  readonly monitors: readonly Part[];
  /** With `training`. */
  readonly archive: Part | undefined;
  readonly trainer: Part | undefined;
  readonly archiveUrl: string | undefined;
  readonly trainerUrl: string | undefined;
  readonly agents: readonly DeviceAgent[];
  readonly light: readonly LightProcess[];
  readonly gatewayUrl: string;
  readonly mqttUrl: string;
  readonly devices: Devices;
  /** The topics' offsets before the first frame. */
  readonly began: Marks;
  readonly stackId: string;
  stop(): Promise<void>;
};

export async function startStack(options: StackOptions): Promise<Stack> {
  const launcher = await Launcher.open(options);
  const running: { stop(): Promise<void> }[] = [];
  const step = (name: string) => {
    options.signal?.throwIfAborted();
    options.onStep?.(name);
  };
  const start = (name: string, part: { start(): Promise<void>; stop(): Promise<void> }) => {
    step(name);
    running.unshift(part);
    return part.start();
  };
  const stop = async () => {
    removeEnvironment(launcher.dir);
    for (const part of running) await part.stop();
    await launcher.close();
  };
  try {
    const kafka = await Kafka.make(launcher, options.kafka);
    await start("Kafka", kafka);
    step("topics");
    await kafka.createTopics();
    const packages = { edge: edgePackage, cloud: cloudPackage, ...options.packages };
    const services = await Services.make(launcher, kafka, packages, options);
    await start(services.names.join(", "), services);
    step("devices");
    const devices = new Devices(launcher.dir, services.gateway.url);
    const { mqtt, rollouts } = services;
    const world = { devices, edgePackage: packages.edge, mqtt, models: rollouts?.models };
    const agents = options.agents === undefined ? [] : await makeAgents(launcher, options.agents, world);
    const light = options.light === undefined ? [] : await makeLightProcesses(launcher, options.light, world);
    const began = await marksNow(kafka);
    await start("agents", together([...agents, ...light].map(({ part }) => part)));
    const stack = { ...handlesOf(launcher, kafka, services), devices, agents, light, began, stop };
    const environment = writeEnvironment(stack.dir, stack);
    launcher.log(`for npx tributary in another terminal: . ${relative(process.cwd(), environment)}`);
    return stack;
  } catch (error) {
    await stop();
    throw error instanceof Error ? error : new Failure("stack-failed", "ask-a-person", String(error));
  }
}

async function marksNow(kafka: Kafka): Promise<Marks> {
  const reader = new KafkaReader({ ...kafka.block(), clientId: "local-stack" });
  return marksOf(reader).finally(() => reader.close());
}

function handlesOf({ dir, journal }: Launcher, kafka: Kafka, services: Services) {
  const { routers, classifiers, rollouts, monitors, training, gateway, mqtt } = services;
  const { bridges, url: mqttUrl } = mqtt;
  const [[bridge], [router], [classifier]] = [bridges, routers, classifiers];
  invariant(bridge && router && classifier, "a stack has a bridge, a router and a classifier");
  return {
    dir,
    stackId: journal.stackId,
    kafka,
    brokers: kafka.brokers,
    prefix: kafka.prefix,
    mqttUrl,
    bridge,
    bridges,
    router,
    routers,
    classifier,
    classifiers,
    gateway: gateway.part,
    gatewayUrl: gateway.url,
    registry: rollouts?.registry.part,
    registryUrl: rollouts?.registry.url,
    manager: rollouts?.manager.part,
    managers: rollouts?.managers.map(({ part }) => part) ?? [],
    monitors,
    archive: training?.archive.part,
    trainer: training?.trainer.part,
    archiveUrl: training?.archive.url,
    trainerUrl: training?.trainer.url,
  };
}
