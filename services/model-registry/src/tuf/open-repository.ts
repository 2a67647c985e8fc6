/** Signed metadata, signed with the online keys in a folder. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, Failure } from "@tributary/kernel";
import { fileOf, type MetadataStore, type OnlineRole, readSigner, TufRepository } from "@tributary/tuf/repository";

export async function openRepository(
  store: MetadataStore,
  folders: { readonly keys: string; readonly roots: string | undefined },
  clock: Clock,
): Promise<TufRepository> {
  const signer = (role: OnlineRole) => readSigner(join(folders.keys, `${role}.pem`)).catch(advise);
  const signers = {
    targets: await signer("targets"),
    snapshot: await signer("snapshot"),
    timestamp: await signer("timestamp"),
  };
  if (folders.roots !== undefined) await bringRoots(folders.roots, store);
  return TufRepository.open({ store, signers, clock });
}

/** In the order of their versions; whether each follows from the one before is checked when the repository is opened. */
async function bringRoots(from: string, store: MetadataStore): Promise<void> {
  for (let version = 1; ; version++) {
    const name = fileOf("root", version);
    if ((await store.get(name)) !== undefined) continue;
    const bytes = await readFile(join(from, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw new Failure("tuf-root-unreadable", "ask-a-person", `${join(from, name)}: ${error.message}`);
    });
    if (bytes === undefined) return;
    await store.put(name, bytes);
  }
}

function advise(error: unknown): never {
  if (!(error instanceof Failure)) throw error;
  const advice = "make keys with `tributary models keys init DATADIR --offline DIR`";
  throw new Failure(error.code, error.advice, `${error.message}; ${advice}`, { cause: error });
}
