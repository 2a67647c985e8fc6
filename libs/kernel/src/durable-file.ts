/** Atomic file writes: after a loss of power a file has its old or its new content. */
import { mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Writes a temporary file, syncs, renames, syncs the folder. One writer a path. */
export async function writeDurably(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const beside = `${path}.new`;
  const file = await open(beside, "w", mode);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
  await syncFolder(dirname(path));
}

/** Undefined: there is no such file. `too-large`: not read, however large it is. */
export async function readBounded(path: string, bytesMax: number): Promise<Buffer | undefined | "too-large"> {
  try {
    if ((await stat(path)).size > bytesMax) return "too-large";
    const file = await open(path, "r");
    try {
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
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
