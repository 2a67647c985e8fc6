/** The registry's signed metadata, kept beside the packages. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@tributary/kernel";
import { httpFetcher, openTrust, type TrustedModels } from "@tributary/tuf";
import type { PackageStore } from "./package-store.ts";

export type ModelRegistryOptions = { readonly registry: string; readonly root: string };

export async function openModelRegistryTrust(
  packageStore: Pick<PackageStore, "dir">,
  { registry, root }: ModelRegistryOptions,
  isClockSet: () => boolean,
): Promise<TrustedModels> {
  return openTrust({
    dir: join(packageStore.dir, "tuf"),
    rootBytes: await readFile(root),
    metadataUrl: `${registry.replace(/\/$/, "")}/tuf`,
    fetcher: httpFetcher(),
    clock: systemClock,
    isClockSet,
  });
}
