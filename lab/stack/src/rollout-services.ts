/** The model registry and the rollout-managers: with them devices follow what they shall run. */
import { join } from "node:path";
import type { Instance, Launcher } from "./launcher.ts";
import { mains } from "./paths.ts";
import { quickRollouts } from "./quick-rollouts.ts";
import { ensureTrust } from "./trust.ts";

export type RolloutsOptions = {
  /** Whether a rollout is over in minutes (quick-rollouts.ts); the services' defaults otherwise. */
  readonly quick?: boolean;
  /** Blocks of the model registry's configuration. */
  readonly registry?: object;
  /** Blocks of rollout-manager's configuration. */
  readonly manager?: object;
  /** Instances of rollout-manager; one by default. */
  readonly managers?: number;
};

export type RolloutServices = {
  readonly registry: Instance;
  /** The first of them. */
  readonly manager: Instance;
  readonly managers: readonly Instance[];
  /** The block `models` of a device: where packages come from, and the root of trust that signs for them. */
  readonly models: { readonly registry: string; readonly root: string };
};

/** `shared`: blocks of every service's configuration; `edgePackage`: folder of the devices' first model. */
export async function makeRolloutServices(
  launcher: Launcher,
  shared: object,
  options: RolloutsOptions,
  edgePackage: string,
): Promise<RolloutServices> {
  const { dir } = launcher;
  const dataDir = join(dir, "registry");
  const root = await ensureTrust(dataDir, join(dir, "root-keys"));
  const quick = options.quick ? await quickRollouts(edgePackage) : undefined;
  const registryConfig = () => ({ ...shared, dataDir, ...quick?.registry, ...options.registry });
  const registry = await launcher.service("model-registry", mains.modelRegistry, registryConfig);
  const modelRegistry = { url: registry.url };
  const managerConfig = () => ({ ...shared, modelRegistry, ...quick?.manager, ...options.manager });
  const manager = await launcher.service("rollout-manager", mains.rolloutManager, managerConfig);
  const managers = [manager];
  for (let i = 2; i <= (options.managers ?? 1); i++) {
    managers.push(await launcher.service(`rollout-manager-${i}`, mains.rolloutManager, managerConfig));
  }
  return { registry, manager, managers, models: { registry: registry.url, root } };
}
