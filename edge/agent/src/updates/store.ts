/** The store of a device's packages and of its update's state, and the download of packages into it. */
import type { Cores } from "@tributary/onnx";
import type { Done, PackageRef, Progress } from "@tributary/updates";
import type { AgentConfig } from "../config.ts";
import { fetchInChild } from "./fetcher.ts";
import { PackageStore } from "./package-store.ts";

export type UpdateStore = {
  readonly packageStore: Pick<PackageStore, "read" | "setAside" | "write" | "prune" | "packageDir">;
  /** Resolves once the package is in its place, whole and checked. Null: no registry is configured. */
  readonly fetch:
    | ((wanted: PackageRef, onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<Done>)
    | null;
};

/** On the device's disk; a process of its own fetches. */
export function diskStore(config: AgentConfig, cores: Cores | null): UpdateStore {
  const { dataDir, hardwareClass, models, clock } = config;
  const packageStore = new PackageStore(dataDir);
  if (models === undefined) return { packageStore, fetch: null };
  const background = cores && { backgroundCore: cores.background };
  return {
    packageStore,
    fetch: ({ digest, name, version }, onProgress, signal) => {
      const job = { ...models, dataDir, hardwareClass, wanted: { digest, name, version }, clock, ...background };
      return fetchInChild(job, onProgress, signal);
    },
  };
}
