/** The frame archive and the trainer: with them a verdict that loses frames becomes a training, and its model a challenger. */
import { join } from "node:path";
import { loadPackage } from "@tributary/model-store";
import type { Instance, Launcher } from "./launcher.ts";
import { mains } from "./paths.ts";

export type TrainingOptions = {
  /** Blocks of the frame archive's configuration. */
  readonly archive?: object;
  /** Blocks of the trainer's configuration. */
  readonly trainer?: object;
};

export type TrainingServices = { readonly archive: Instance; readonly trainer: Instance };

/** `shared`: blocks of every service's configuration. A base set is pushed by whoever trains: tributary datasets push. */
export async function makeTrainingServices(
  launcher: Launcher,
  shared: object,
  options: TrainingOptions,
  world: { readonly registryUrl: string; readonly edgePackage: string; readonly cloudPackage: string },
): Promise<TrainingServices> {
  const { dir } = launcher;
  const { manifest } = await loadPackage(world.edgePackage);
  const archiveConfig = () => ({ ...shared, dataDir: join(dir, "frame-archive"), ...options.archive });
  const archive = await launcher.service("frame-archive", mains.frameArchive, archiveConfig);
  const trainerConfig = () => ({
    ...shared,
    dataDir: join(dir, "trainer"),
    modelRegistry: { url: world.registryUrl },
    frameArchive: { url: archive.url },
    packing: { cloud: { [manifest.name]: world.cloudPackage } },
    backend: { kind: "local" },
    ...options.trainer,
  });
  return { archive, trainer: await launcher.service("trainer", mains.trainer, trainerConfig) };
}
