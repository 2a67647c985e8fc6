/** Files of the model registry: blobs under their SHA-256, checked as they come. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Client, modelRegistryApi } from "@tributary/api";
import { type ModelManifest, packageFiles, packageLimits, parseManifest } from "@tributary/inference";
import { Failure } from "@tributary/kernel";

export type ModelRegistry = Client<typeof modelRegistryApi>;
export type Blobs = Pick<ModelRegistry["blobs"], "has" | "get" | "put">;

/** `from`: a file, or the bytes themselves. */
export type Part = { readonly from: string | Uint8Array; readonly digest: string; readonly bytes: number };

const AT_ONCE = 4;
const DOCUMENT_BYTES_MAX = 8 << 20;

/** Uploads what the registry lacks. */
export async function uploadMissing(blobs: Blobs, parts: readonly Part[], signal: AbortSignal): Promise<void> {
  const unique = [...new Map(parts.map((part) => [part.digest, part])).values()];
  await eachOf(unique, async ({ from, digest, bytes: length }) => {
    if (await blobs.has({ digest }, { signal })) return;
    const body = typeof from === "string" ? createReadStream(from) : Readable.from([from]);
    await blobs.put({ digest, body, length }, { signal });
  });
}

/** Streams a blob into a file. */
export async function download(blobs: Blobs, digest: string, path: string, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await pipeline(checked(blobs.get({ digest }, { signal }), digest), createWriteStream(path), { signal });
}

export async function downloadAll(
  blobs: Blobs,
  files: readonly (readonly [path: string, digest: string])[],
  signal: AbortSignal,
): Promise<void> {
  await eachOf(files, ([path, digest]) => download(blobs, digest, path, signal));
}

export async function manifestOf(blobs: Blobs, digest: string, signal: AbortSignal): Promise<ModelManifest> {
  const bytes = await documentOf(blobs, digest, signal);
  if (bytes.length > packageLimits.manifestBytesMax) {
    throw new Failure("package-manifest-invalid", "give-up", `a manifest has ${bytes.length} bytes`);
  }
  return parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
}

/** A package as a folder, by the digest of its manifest. */
export async function downloadPackage(blobs: Blobs, digest: string, dir: string, signal: AbortSignal): Promise<void> {
  const { files } = await manifestOf(blobs, digest, signal);
  const parts = Object.entries(files).map(([path, { sha256 }]) => [join(dir, path), sha256] as const);
  await downloadAll(blobs, [...parts, [join(dir, packageFiles.manifest), digest]], signal);
}

/** A document or picture, whole; at most 8 MiB unless more is allowed. */
export async function documentOf(
  blobs: Blobs,
  digest: string,
  signal: AbortSignal,
  bytesMax: number = DOCUMENT_BYTES_MAX,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of checked(blobs.get({ digest }, { signal }), digest)) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Failure("blob-too-large", "give-up", `blob ${digest} has over ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* checked(chunks: AsyncIterable<Uint8Array>, digest: string): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest("hex") === digest) return;
  throw new Failure("blob-digest-mismatch", "retry", `blob ${digest} of the model registry has other bytes`);
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
