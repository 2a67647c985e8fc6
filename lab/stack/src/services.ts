/**
 * Everything of a stack between Kafka and the devices: bridges, routers, classifiers, the gateway, with rollouts the model registry
 * and rollout-manager, with drift the drift-monitors, and with training the frame archive and the trainer. They start together, and stop in the direction of the flow: no new input is
 * accepted, what was accepted is processed, and the gateway answers until the end.
 */
import { invariant } from "@tributary/kernel";
import { type Mqtt, makeBridges } from "./bridges.ts";
import type { ExternalMqtt } from "./external-mqtt.ts";
import type { Kafka } from "./kafka-node.ts";
import type { Instance, Launcher } from "./launcher.ts";
import { type Part, together } from "./part.ts";
import { mains } from "./paths.ts";
import { makeRolloutServices, type RolloutServices, type RolloutsOptions } from "./rollout-services.ts";
import { makeTrainingServices, type TrainingOptions, type TrainingServices } from "./training-services.ts";

export type ServicesOptions = {
  /** Instances; one by default. */
  readonly routers?: number;
  /** More blocks of the configuration of routers, bridges and the gateway. */
  readonly router?: object;
  readonly bridge?: object;
  readonly gateway?: object;
  /** Instances; one by default. */
  readonly classifiers?: number;
  /** Blocks of the classifiers' configuration, `targets` among them with one named `default`; the local cloud model by default. */
  readonly cloud?: { readonly targets: object; readonly routes?: object };
  /** The block of that name of every service: a registry that is not ours. */
  readonly schemaRegistry?: object;
};

export type DriftOptions = {
  /** Instances; one by default. */
  readonly monitors?: number;
  /** Blocks of drift-monitor's configuration. */
  readonly config?: object;
};

/** Folders of packages. */
export type ModelPackages = { readonly edge: string; readonly cloud: string };

const TARGET = "default";

export class Services {
  readonly mqtt: Mqtt;
  readonly routers: readonly Part[];
  readonly classifiers: readonly Part[];
  readonly gateway: Instance;
  readonly rollouts: RolloutServices | undefined;
  readonly monitors: readonly Part[];
  readonly training: TrainingServices | undefined;

  static async make(
    launcher: Launcher,
    kafka: Kafka,
    packages: ModelPackages,
    options: {
      readonly services?: ServicesOptions;
      readonly mqtt?: ExternalMqtt;
      readonly rollouts?: RolloutsOptions;
      readonly drift?: DriftOptions;
      readonly training?: TrainingOptions;
    },
  ): Promise<Services> {
    const {
      routers = 1,
      classifiers = 1,
      cloud = localCloud(packages.cloud),
      schemaRegistry,
      router,
      bridge,
      gateway,
    } = options.services ?? {};
    const shared = (i = 0) => ({
      kafka: kafka.block(i),
      log: { level: "info" },
      ...(schemaRegistry && { schemaRegistry }),
    });
    const several = async (name: string, main: string, count: number, config: object) => {
      const nameOf = (i: number) => (i === 0 ? name : `${name}-${i + 1}`);
      const made = Array.from({ length: count }, (_, i) =>
        launcher.service(nameOf(i), main, () => ({ ...shared(i), ...config })),
      );
      return (await Promise.all(made)).map(({ part }) => part);
    };
    const rollouts =
      options.rollouts && (await makeRolloutServices(launcher, shared(), options.rollouts, packages.edge));
    const training = await trainingOf(launcher, shared(), packages, rollouts, options.training);
    const urls = rollouts && {
      modelRegistry: { url: rollouts.registry.url },
      rolloutManager: { url: rollouts.manager.url },
      ...(training && { frameArchive: { url: training.archive.url }, trainer: { url: training.trainer.url } }),
    };
    const { monitors = 1, config: monitorConfig } = options.drift ?? { monitors: 0 };
    const packagesOfDevices = { packages: [packages.edge] };
    const monitorBlocks = { ...packagesOfDevices, modelRegistry: urls?.modelRegistry, ...monitorConfig };
    const gatewayPort = await launcher.port("the gateway", 8080);
    return new Services({
      mqtt: await makeBridges(launcher, { ...shared(), ...bridge }, options.mqtt),
      routers: await several("router", mains.router, routers, { target: TARGET, ...packagesOfDevices, ...router }),
      classifiers: await several("cloud-classifier", mains.classifier, classifiers, cloud),
      gateway: await launcher.service(
        "gateway",
        mains.gateway,
        () => ({ ...shared(), ...urls, ...gateway }),
        gatewayPort,
      ),
      rollouts,
      monitors: await several("drift-monitor", mains.driftMonitor, monitors, monitorBlocks),
      training,
    });
  }

  private constructor(
    made: Pick<Services, "mqtt" | "routers" | "classifiers" | "gateway" | "rollouts" | "monitors" | "training">,
  ) {
    this.mqtt = made.mqtt;
    this.routers = made.routers;
    this.classifiers = made.classifiers;
    this.gateway = made.gateway;
    this.rollouts = made.rollouts;
    this.monitors = made.monitors;
    this.training = made.training;
  }

  /** In the direction of the flow. */
  get #layers(): readonly (readonly Part[])[] {
    const { registry, managers = [] } = this.rollouts ?? {};
    const rollouts = [registry, ...managers].flatMap((one) => one?.part ?? []);
    const training = [this.training?.archive, this.training?.trainer].flatMap((one) => one?.part ?? []);
    const inner = [...this.routers, ...this.classifiers, ...this.monitors, ...rollouts, ...training];
    return [this.mqtt.bridges, inner, [this.gateway.part]];
  }

  get names(): readonly string[] {
    return this.#layers.flat().map(({ name }) => name);
  }

  start(): Promise<void> {
    return together(this.#layers.flat()).start();
  }

  async stop(): Promise<void> {
    for (const layer of this.#layers) await together(layer).stop();
  }
}

/** A training's model goes to a registry, and from there to the fleet. */
async function trainingOf(
  launcher: Launcher,
  shared: object,
  { edge: edgePackage, cloud: cloudPackage }: ModelPackages,
  rollouts: RolloutServices | undefined,
  options: TrainingOptions | undefined,
): Promise<TrainingServices | undefined> {
  if (options === undefined) return undefined;
  invariant(rollouts !== undefined, "training needs rollouts: its models go to the registry");
  const world = { registryUrl: rollouts.registry.url, edgePackage, cloudPackage };
  return makeTrainingServices(launcher, shared, options, world);
}

const localCloud = (folder: string) => ({
  targets: { [TARGET]: { backend: "onnx", package: folder, threads: 1, costMicrosPerCall: 120 } },
});
