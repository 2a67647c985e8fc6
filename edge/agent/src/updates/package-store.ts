/**
 * The packages of a device and its durable update state: `<dataDir>/models/`.
 *
 *     slots.json            the durable state: which package is committed, which was before it, which is on trial
 *     packages/DIGEST/      whole and checked; never written to again
 *     incoming/DIGEST/      a download, resumed after a restart
 *     tuf/                  signed metadata, kept by @tributary/tuf
 *
 * S1. The durable state is replaced atomically: written to a temporary file, synced, renamed, the folder synced (G7). It has
 *     its own SHA-256; a file that does not match is renamed, and the device starts with the factory's package. The packages
 *     stay: each is identified by its digest, so the desired one need not be fetched again.
 * S2. A package is moved to `packages/` by one rename, after all its bytes are synced: it was complete then.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Digest, Failure, isDigest, reasonOf } from "@tributary/kernel";
import { type DurableState, durableStateFromJson, durableStateToJson, emptyDurableState } from "@tributary/updates";

const STATE_FILE = "slots.json";
const STATE_BYTES_MAX = 64 << 10;

export type StoredState = { readonly durable: DurableState; readonly damaged: string | null };

export class PackageStore {
  readonly dir: string;

  constructor(dataDir: string) {
    this.dir = join(resolve(dataDir), "models");
  }

  packageDir(digest: Digest): string {
    return join(this.dir, "packages", digest);
  }

  incomingDir(digest: Digest): string {
    return join(this.dir, "incoming", digest);
  }

  /** The durable state on disk, or an empty one and why (S1). Changes nothing. */
  read(): StoredState {
    const file = join(this.dir, STATE_FILE);
    if (!existsSync(file)) return { durable: emptyDurableState, damaged: null };
    try {
      const text = readFileSync(file, "utf8");
      if (text.length > STATE_BYTES_MAX) throw new Error(`${text.length} characters`);
      const { sha256, book: json } = JSON.parse(text) as { sha256?: unknown; book?: unknown };
      const durable = durableStateFromJson(json);
      if (durable === undefined || sha256 !== sumOf(JSON.stringify(json))) throw new Error("not as it was written");
      return { durable, damaged: null };
    } catch (error) {
      return { durable: emptyDurableState, damaged: reasonOf(error) };
    }
  }

  async setAside(): Promise<string> {
    const aside = join(this.dir, `${STATE_FILE}.damaged`);
    await rename(join(this.dir, STATE_FILE), aside);
    return aside;
  }

  /** S1. Throws Failure `slots-unwritable`. */
  async write(durable: DurableState): Promise<void> {
    const json = durableStateToJson(durable);
    const text = `${JSON.stringify({ sha256: sumOf(JSON.stringify(json)), book: json })}\n`;
    const path = join(this.dir, STATE_FILE);
    try {
      await mkdir(this.dir, { recursive: true });
      await writeSynced(`${path}.new`, text);
      await rename(`${path}.new`, path);
      await syncFolder(this.dir);
    } catch (error) {
      throw new Failure("slots-unwritable", "retry", `${path}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Deletes packages and downloads other than these. One that cannot be deleted is retried the next time. */
  async prune(keep: readonly Digest[]): Promise<void> {
    for (const folder of ["packages", "incoming"]) {
      const names = await readdir(join(this.dir, folder)).catch(() => []);
      for (const name of names) {
        if (keep.includes(name)) continue;
        await rm(join(this.dir, folder, name), { recursive: true, force: true }).catch(() => undefined);
      }
    }
  }

  /** S2: from `incoming/` into its place, whatever was there before. */
  async place(digest: Digest): Promise<void> {
    const [from, to] = [this.incomingDir(digest), this.packageDir(digest)];
    await mkdir(dirname(to), { recursive: true });
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
    await syncFolder(dirname(to));
    await syncFolder(dirname(from));
  }

  /** Digests in `packages/`. */
  async packages(): Promise<readonly Digest[]> {
    return (await readdir(join(this.dir, "packages")).catch(() => [])).filter(isDigest);
  }
}

export async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, "w", 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");
