/**
 * Packages between blobs and folders.
 *
 * P1. What becomes a folder was checked by size before, and is checked byte for byte by whoever loads it (G6).
 */

import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type BlobStore, bytesOf } from "@tributary/blob-store";
import {
  type ModelManifest,
  packageFiles,
  packageLimits,
  parseAnyManifest,
  type WorldManifest,
} from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";

export type ListedManifest = {
  readonly digest: Digest;
  readonly manifest: ModelManifest | WorldManifest;
  readonly bytes: number;
};

export class Packages {
  readonly #blobs: BlobStore;
  readonly #workDir: string;

  /** `workDir` is emptied: nothing of it is kept over a restart. */
  static async open(blobs: BlobStore, workDir: string): Promise<Packages> {
    await rm(workDir, { recursive: true, force: true });
    await mkdir(workDir, { recursive: true });
    return new Packages(blobs, workDir);
  }

  private constructor(blobs: BlobStore, workDir: string) {
    this.#blobs = blobs;
    this.#workDir = workDir;
  }

  /** Throws `package-blobs-missing`, `package-digest-mismatch`, `package-manifest-invalid`. */
  async manifest(digest: Digest): Promise<ListedManifest> {
    const size = await this.#blobs.size(digest);
    if (size === undefined) throw missing([`${packageFiles.manifest} (${digest})`]);
    const bytes = await bytesOf(this.#blobs, digest, packageLimits.manifestBytesMax);
    if (sha256(bytes) !== digest) {
      throw new Failure("package-digest-mismatch", "ask-a-person", `the blob ${digest} has other bytes than its name`);
    }
    return { digest, manifest: parseAnyManifest(json(bytes, packageFiles.manifest)), bytes: bytes.length };
  }

  /** Checks that the manifest and every file of it are stored, with the listed number of bytes. */
  async checkComplete({ digest: own, manifest, bytes: ownBytes }: ListedManifest): Promise<void> {
    const absent: string[] = [];
    const files = { ...manifest.files, [packageFiles.manifest]: { sha256: own, bytes: ownBytes } };
    for (const [path, { sha256: digest, bytes }] of Object.entries(files)) {
      const size = await this.#blobs.size(digest);
      if (size === undefined) absent.push(`${path} (${digest})`);
      else if (size !== bytes) {
        const message = `${path}: its blob has ${size} bytes, the manifest lists ${bytes}: pack it again`;
        throw new Failure("package-digest-mismatch", "give-up", message);
      }
    }
    if (absent.length > 0) throw missing(absent);
  }

  /** Gives a folder with the package to `work`, and removes it afterwards. */
  async withFolder<T>(listed: ListedManifest, work: (dir: string) => Promise<T>): Promise<T> {
    return this.withScratch(async (scratch) => {
      const dir = join(scratch, "package");
      const files: [string, Digest][] = Object.entries(listed.manifest.files).map(([path, file]) => [
        path,
        file.sha256,
      ]);
      for (const [path, digest] of [...files, [packageFiles.manifest, listed.digest] as const]) {
        const to = join(dir, path);
        await mkdir(dirname(to), { recursive: true });
        await pipeline(Readable.from(this.#blobs.get(digest)), createWriteStream(to));
      }
      return work(dir);
    });
  }

  async withScratch<T>(work: (dir: string) => Promise<T>): Promise<T> {
    const dir = await mkdtemp(join(this.#workDir, "task-"));
    try {
      return await work(dir);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
}

const missing = (files: readonly string[]) => {
  const some = files.slice(0, 5).join(", ") + (files.length > 5 ? ` and ${files.length - 5} more` : "");
  return new Failure("package-blobs-missing", "give-up", `the registry has no blob for ${some}: upload it first`);
};

function json(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Failure("package-manifest-invalid", "give-up", `${path} is not JSON: ${reasonOf(error)}`);
  }
}
