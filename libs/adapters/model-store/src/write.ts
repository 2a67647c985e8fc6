/** Writes a model package.
 *
 * W1. The same parts give the same bytes, hence the same digest: files and keys are sorted, nothing records a time.
 * W2. The folder appears whole or not at all: it is built under a temporary name, read back as any reader would, then renamed.
 * W3. An existing package with this digest is not written again. */
import { mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
  isPackagePath,
  type ModelManifest,
  type PackageManifest,
  packageFiles,
  parseAnyManifest,
  parseManifest,
  type WorldManifest,
} from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { parseWorldTable, type WorldTable } from "@tributary/world";
import { sha256 } from "./digest.ts";
import { checkPackage } from "./load.ts";

export type PackageParts = Omit<ModelManifest, "files" | "formatVersion"> & {
  /** Every file but the manifest, by path inside the package. */
  readonly files: Readonly<Record<string, Uint8Array>>;
};

export async function writePackage(folder: string, parts: PackageParts): Promise<Digest> {
  const refused = Object.keys(parts.files).find((path) => !isPackagePath(path));
  if (refused !== undefined) {
    throw new Failure("package-manifest-invalid", "give-up", `"${refused}" is not a plain path inside a package`);
  }
  const manifest = parseManifest({
    formatVersion: 1,
    name: parts.name,
    version: parts.version,
    input: parts.input,
    hardwareClass: parts.hardwareClass,
    latencyBudgetMs: parts.latencyBudgetMs,
    tensors: parts.tensors,
    metrics: sorted(parts.metrics),
    lineage: sorted(parts.lineage),
    files: listed(parts.files),
  } satisfies ModelManifest);
  return write(resolve(folder), parts.files, manifest);
}

export type WorldParts = Omit<WorldManifest, "files" | "formatVersion" | "kind"> & { readonly table: WorldTable };

export async function writeWorld(folder: string, { table, ...parts }: WorldParts): Promise<Digest> {
  const files = { [packageFiles.world]: new TextEncoder().encode(`${JSON.stringify(parseWorldTable(table))}\n`) };
  const manifest = parseAnyManifest({
    formatVersion: 1,
    kind: "world",
    name: parts.name,
    version: parts.version,
    hardwareClass: parts.hardwareClass,
    metrics: sorted(parts.metrics),
    lineage: sorted(parts.lineage),
    files: listed(files),
  } satisfies WorldManifest);
  return write(resolve(folder), files, manifest);
}

type Files = PackageParts["files"];

const listed = (files: Files): PackageManifest["files"] =>
  Object.fromEntries(
    Object.entries(files)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, bytes]) => [path, { sha256: sha256(bytes), bytes: bytes.length }]),
  );

async function write(dir: string, files: Files, manifest: PackageManifest): Promise<Digest> {
  const manifestBytes = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
  const digest = sha256(manifestBytes);
  if (await isThere(dir, digest)) return digest;

  await mkdir(dirname(dir), { recursive: true });
  const building = await mkdtemp(join(dirname(dir), `.${basename(dir)}-`));
  try {
    const made = join(building, "new");
    await mkdir(made);
    for (const [path, bytes] of Object.entries(files)) await writeDurably(join(made, path), bytes);
    await writeDurably(join(made, packageFiles.manifest), manifestBytes);
    await checkPackage(made, { digest });
    await rename(dir, join(building, "old")).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    await rename(made, dir);
    await syncFolder(dirname(dir));
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return digest;
}

const sorted = <T>(record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

const isThere = (dir: string, digest: Digest): Promise<boolean> =>
  checkPackage(dir, { digest }).then(
    () => true,
    () => false,
  );

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "wx", 0o644);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
