/** Packages from the registry, by the agent's own code: signed metadata, then manifest, then files, each checked by the one
 * before (G6). One package store and one set of metadata serve all devices of this process; every device asks for itself, and
 * keeps its update's state in memory, as it does everything else. */
import {
  type AgentConfig,
  doneOf,
  openModelRegistryTrust,
  PackageStore,
  type UpdateStore,
} from "@tributary/agent/compose";
import { systemClock as clock } from "@tributary/kernel";
import { fetchPackage } from "@tributary/model-store/fetch";
import { emptyDurableState } from "@tributary/updates";

export async function openSharedStore(config: Pick<AgentConfig, "dataDir" | "hardwareClass" | "models">) {
  const { dataDir, hardwareClass, models } = config;
  const packageStore = new PackageStore(dataDir);
  const inMemory: UpdateStore["packageStore"] = {
    read: () => ({ durable: emptyDurableState, damaged: null }),
    write: async () => undefined,
    prune: async () => undefined,
    setAside: async () => "",
    packageDir: (digest) => packageStore.packageDir(digest),
  };
  if (models === undefined) return { packageStore: inMemory, fetch: null };
  const trust = await openModelRegistryTrust(packageStore, models, () => true);
  /** One device after the other: what the first has fetched, the next finds. */
  let turn: Promise<unknown> = Promise.resolve();
  const fetch: UpdateStore["fetch"] = (wanted, onProgress, signal) => {
    const fetched = turn.then(() =>
      fetchPackage({ ...models, wanted, hardwareClass }, { trust, packageStore, clock, onProgress }, signal),
    );
    turn = fetched.catch(() => undefined);
    return fetched.then(
      () => ({ ok: true }),
      (error: unknown) => doneOf(error, "fetch-failed"),
    );
  };
  return { packageStore: inMemory, fetch };
}
