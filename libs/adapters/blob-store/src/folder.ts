/**
 * Blobs in a folder of one process: `sha256/ab/abcd…`, with uploads in `incoming`.
 *
 * D1. A blob is written to `incoming`, synced, and renamed; then its folder is synced (port.ts B2). Files that a crash left in
 *     `incoming` are removed at the next start. An existing blob is replaced, and gets the time of this put.
 * D2. The folder as a whole is bounded, too: beyond, a put fails with `blob-store-full` (G9).
 */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Digest, Failure, isDigest } from "@tributary/kernel";
import {
  type BlobStore,
  type ByteRange,
  blobUnknown,
  checkedDigest,
  type PutOptions,
  type StoredBlob,
} from "./port.ts";
import { spool, unavailable } from "./spool.ts";

export type FolderBlobStoreOptions = {
  readonly dir: string;
  /** Of all blobs together (D2). */
  readonly bytesTotalMax?: number;
};

const CHUNK_BYTES = 1 << 18;

export class FolderBlobStore implements BlobStore {
  readonly #dir: string;
  readonly #bytesTotalMax: number;
  #bytesTotal = 0;

  private constructor(dir: string, bytesTotalMax: number) {
    this.#dir = dir;
    this.#bytesTotalMax = bytesTotalMax;
  }

  static async open(options: FolderBlobStoreOptions): Promise<FolderBlobStore> {
    const store = new FolderBlobStore(resolve(options.dir), options.bytesTotalMax ?? Number.POSITIVE_INFINITY);
    const incoming = join(store.#dir, "incoming");
    await rm(incoming, { recursive: true, force: true });
    for (const dir of [incoming, join(store.#dir, "sha256")]) await mkdir(dir, { recursive: true }).catch(unavailable);
    for await (const { bytes } of store.list()) store.#bytesTotal += bytes;
    return store;
  }

  /** Of all blobs together. */
  get bytesTotal(): number {
    return this.#bytesTotal;
  }

  async put(bytes: AsyncIterable<Uint8Array>, options: PutOptions): Promise<StoredBlob> {
    const room = this.#bytesTotalMax - this.#bytesTotal;
    const incoming = join(this.#dir, "incoming", randomUUID());
    const bytesMax = Math.min(options.bytesMax, room);
    const blob = await spool(incoming, bytes, { ...options, bytesMax }).catch((error: unknown) => {
      if (!(error instanceof Failure && error.code === "blob-too-large" && room < options.bytesMax)) throw error;
      throw new Failure("blob-store-full", "ask-a-person", `the folder of blobs may have ${this.#bytesTotalMax} bytes`);
    });
    const isNew = !(await this.has(blob.digest));
    const path = this.#pathOf(blob.digest);
    try {
      await mkdir(dirname(path), { recursive: true });
      await rename(incoming, path);
    } catch (error) {
      await rm(incoming, { force: true }).catch(() => {}); // or a disk that is full for folders would fill with uploads
      unavailable(error);
    }
    if (isNew) this.#bytesTotal += blob.bytes;
    for (const dir of [dirname(path), dirname(dirname(path))]) await syncFolder(dir).catch(unavailable);
    return blob;
  }

  async *get(digest: Digest, range?: ByteRange): AsyncIterable<Uint8Array> {
    if (!(await this.has(digest))) throw blobUnknown(digest);
    const within = range === undefined ? {} : { start: range.from, end: range.to };
    const stream = createReadStream(this.#pathOf(digest), { highWaterMark: CHUNK_BYTES, ...within });
    try {
      for await (const chunk of stream) yield chunk as Uint8Array;
    } catch (error) {
      unavailable(error);
    } finally {
      stream.destroy();
    }
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.size(digest)) !== undefined;
  }

  async size(digest: Digest): Promise<number | undefined> {
    const found = await stat(this.#pathOf(digest)).catch((error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? undefined : unavailable(error),
    );
    return found?.size;
  }

  async *list(): AsyncIterable<StoredBlob & { readonly storedAt: number }> {
    const top = join(this.#dir, "sha256");
    for (const folder of await readdir(top).catch(unavailable)) {
      for (const digest of await readdir(join(top, folder)).catch(unavailable)) {
        if (!isDigest(digest)) continue;
        const { size, mtimeMs } = await stat(this.#pathOf(digest)).catch(unavailable);
        yield { digest, bytes: size, storedAt: mtimeMs };
      }
    }
  }

  async remove(digest: Digest): Promise<void> {
    const size = await this.size(digest);
    if (size === undefined) return;
    await rm(this.#pathOf(digest), { force: true }).catch(unavailable);
    this.#bytesTotal -= size;
  }

  #pathOf(digest: Digest): string {
    return join(this.#dir, "sha256", checkedDigest(digest).slice(0, 2), digest);
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
