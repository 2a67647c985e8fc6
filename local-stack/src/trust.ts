/** The signing keys of the stack's registry. The three root keys lie beside it: on one machine nobody else could hold them. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@tributary/kernel";
import { generateKey, initRoot, type OnlineRole, onlineRoles, signerOf, writeKey } from "@tributary/tuf/repository";

const ROOT_KEYS = 3;

/** Makes keys and the first root where there are none. Returns the root that devices are given. */
export async function ensureTrust(registryDir: string, rootKeysDir: string): Promise<string> {
  const root = join(registryDir, "metadata", "1.root.json");
  if (existsSync(root)) return root;
  const keysDir = join(registryDir, "keys", "online");
  for (const dir of [keysDir, rootKeysDir, join(registryDir, "metadata")]) await mkdir(dir, { recursive: true });
  const made = async (dir: string, name: string) => {
    const pem = generateKey();
    await writeKey(join(dir, `${name}.pem`), pem);
    return signerOf(pem, name);
  };
  const online = Object.fromEntries(
    await Promise.all(onlineRoles.map(async (role) => [role, (await made(keysDir, role)).publicKey])),
  ) as Record<OnlineRole, Awaited<ReturnType<typeof made>>["publicKey"]>;
  const rootSigners = await Promise.all(
    Array.from({ length: ROOT_KEYS }, (_, i) => made(rootKeysDir, `root-${i + 1}`)),
  );
  await writeFile(root, initRoot({ rootSigners, online, now: systemClock.now() }));
  return root;
}
