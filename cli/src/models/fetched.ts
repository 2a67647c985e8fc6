/** A package as a folder: a local one, or one of the registry's, fetched and checked byte by byte. */
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ModelManifest, packageFiles, parseAnyManifest, parseManifest } from "@tributary/inference";
import type { Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { ModelRegistry } from "../gateway.ts";
import { Progress } from "../progress.ts";

const DOWNLOAD_MS_MAX = 3_600_000;

/** A folder of its own for `work`, removed afterwards. */
export async function withScratch<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), "tributary-models-"));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export async function fetchBlob(registry: ModelRegistry, digest: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const signal = AbortSignal.timeout(DOWNLOAD_MS_MAX);
  for await (const chunk of registry.blobs.get({ digest }, { signal })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Of a classifier. */
export const manifestOf = (bytes: Buffer, digest: string): ModelManifest => parsed(bytes, digest, parseManifest);

function parsed<T>(bytes: Buffer, digest: string, parse: (json: unknown) => T): T {
  try {
    return parse(JSON.parse(bytes.toString("utf8")));
  } catch (error) {
    const message = `the manifest ${digest} cannot be read: ${error instanceof Error ? error.message : error}`;
    throw new CliError(exitCodes.failed, message);
  }
}

/** The loader of the folder checks every byte. */
export async function fetchPackage(registry: ModelRegistry, digest: string, dir: string, io: Io): Promise<void> {
  const manifestBytes = await fetchBlob(registry, digest);
  const files = Object.entries(parsed(manifestBytes, digest, parseAnyManifest).files);
  let done = 0;
  const progress = new Progress(io, () => `downloading: ${done} of ${files.length} files`);
  try {
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, packageFiles.manifest), manifestBytes);
    for (const [path, { sha256 }] of files) {
      const to = join(dir, path);
      await mkdir(dirname(to), { recursive: true });
      const signal = AbortSignal.any([io.signal, AbortSignal.timeout(DOWNLOAD_MS_MAX)]);
      await pipeline(Readable.from(registry.blobs.get({ digest: sha256 }, { signal })), createWriteStream(to));
      done += 1;
    }
  } finally {
    progress.end();
  }
}
