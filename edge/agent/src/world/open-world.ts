/** Which world model a device starts with: the committed one, else the one before it, else that of the configuration (bootOrder). */
import { Failure, reasonOf } from "@tributary/kernel";
import { loadWorld, type WorldPackage } from "@tributary/model-store";
import type { Telemetry } from "@tributary/telemetry";
import { type Boot, bootOrder, type PackageRef, type UpdateLimits, updateLimits } from "@tributary/updates";
import * as events from "../events.ts";
import type { UpdateStore } from "../updates/store.ts";

export type OpenedWorld = {
  readonly store: UpdateStore;
  readonly factory: WorldPackage;
  readonly committed: WorldPackage;
  readonly boot: Boot;
};

/** Throws Failure when the configuration's cannot be used: the operator has to repair it. */
export async function openWorld(
  store: UpdateStore,
  factoryDir: string,
  backoff: UpdateLimits["backoff"],
  telemetry: Telemetry,
): Promise<OpenedWorld> {
  const { packageStore } = store;
  const { durable, damaged } = packageStore.read();
  if (damaged !== null) {
    const file = await packageStore.setAside().catch(reasonOf);
    telemetry.emit(events.slotsSetAside, { file, reason: damaged });
  }
  const factory = await loadWorld(factoryDir);
  const opened = async ({ digest }: PackageRef): Promise<WorldPackage | undefined> => {
    try {
      return await loadWorld(packageStore.packageDir(digest), { digest });
    } catch (error) {
      const code = error instanceof Failure ? error.code : "model-unusable";
      telemetry.emit(events.slotUnusable, { modelDigest: digest, code, reason: reasonOf(error) });
      return undefined;
    }
  };
  let committed: WorldPackage | undefined;
  for (const ref of bootOrder(durable)) committed ??= ref === null ? factory : await opened(ref);
  committed ??= factory;
  const { digest, manifest } = factory;
  const limits = { ...updateLimits, backoff };
  const ref = { digest, name: manifest.name, version: manifest.version };
  return { store, factory, committed, boot: { durable, factory: ref, running: committed.digest, limits } };
}
