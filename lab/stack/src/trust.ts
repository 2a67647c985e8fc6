/** The signing keys of the stack's registry. The three root keys are beside it, as all is on one machine. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@tributary/kernel";
import { initKeys, keyFolders } from "@tributary/model-packaging";

/** Creates keys and the first root if there are none. Returns the root for devices. */
export async function ensureTrust(registryDir: string, rootKeysDir: string): Promise<string> {
  const { metadata, online } = keyFolders(registryDir);
  const root = join(metadata, "1.root.json");
  if (existsSync(root)) return root;
  // Keys without a root are of an interrupted start; no device trusts them yet.
  for (const dir of [online, rootKeysDir]) await rm(dir, { recursive: true, force: true });
  await initKeys({ dataDir: registryDir, offlineDir: rootKeysDir, now: systemClock.now() });
  return root;
}
