/** Objects in a folder, which several processes may write: each goes to a temporary file beside it, is synced and renamed
 * (object-store.ts K1). */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { syncFolder } from "./folder.ts";
import {
  checkedKey,
  checkedPrefix,
  checkedSize,
  type ObjectStore,
  objectsUnavailable,
  objectUnknown,
  type StoredObject,
} from "./object-store.ts";

/** No key begins so (object-store.ts K2), and DVC ignores it. */
const TEMPORARY = ".incoming-";

export class FolderObjectStore implements ObjectStore {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open({ dir }: { readonly dir: string }): Promise<FolderObjectStore> {
    await mkdir(dir, { recursive: true }).catch(objectsUnavailable);
    return new FolderObjectStore(resolve(dir));
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const path = this.#pathOf(key);
    checkedSize(key, bytes.length);
    const folder = dirname(path);
    const temporary = join(folder, TEMPORARY + randomUUID());
    try {
      const created = await mkdir(folder, { recursive: true });
      const file = await open(temporary, "wx", 0o644);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncFolder(folder);
      if (created !== undefined) await syncFolder(dirname(created));
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      objectsUnavailable(error);
    }
  }

  async get(key: string): Promise<Uint8Array> {
    const path = this.#pathOf(key);
    const missing = (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw objectUnknown(key);
      return objectsUnavailable(error);
    };
    checkedSize(key, (await stat(path).catch(missing)).size);
    return readFile(path).catch(missing);
  }

  async has(key: string): Promise<boolean> {
    const found = await stat(this.#pathOf(key)).catch((error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? undefined : objectsUnavailable(error),
    );
    return found?.isFile() === true;
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    checkedPrefix(prefix);
    // The prefix may end within a name.
    const top = join(this.#dir, prefix.slice(0, prefix.lastIndexOf("/") + 1));
    const entries = await readdir(top, { recursive: true, withFileTypes: true }).catch(
      (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? [] : objectsUnavailable(error)),
    );
    for (const entry of entries) {
      if (!entry.isFile() || entry.name.startsWith(TEMPORARY)) continue;
      const path = join(entry.parentPath, entry.name);
      const key = path.slice(this.#dir.length + 1).replaceAll(sep, "/");
      if (!key.startsWith(prefix)) continue;
      const found = await stat(path).catch(() => null); // Removed meanwhile.
      if (found !== null) yield { key, bytes: found.size };
    }
  }

  async remove(key: string): Promise<void> {
    await rm(this.#pathOf(key), { force: true }).catch(objectsUnavailable);
  }

  uri(key: string): string {
    return pathToFileURL(key === "" ? this.#dir : this.#pathOf(key)).href;
  }

  #pathOf(key: string): string {
    return join(this.#dir, checkedKey(key));
  }
}
