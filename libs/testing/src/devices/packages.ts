/** Variants of a model package for tests. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelManifest } from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { loadPackage, writePackage } from "@tributary/model-store";

export type Variant = Partial<Pick<ModelManifest, "name" | "version" | "hardwareClass" | "latencyBudgetMs">> & {
  /** By path; undefined leaves the file out. */
  readonly files?: Readonly<Record<string, Uint8Array | undefined>>;
};

/** Writes the variant of the package in `from` to `folder` and returns its digest. */
export async function writeVariant(from: string, folder: string, variant: Variant): Promise<Digest> {
  const { manifest } = await loadPackage(from);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(manifest.files)) files[path] = await readFile(join(from, path));
  for (const [path, bytes] of Object.entries(variant.files ?? {})) {
    if (bytes === undefined) delete files[path];
    else files[path] = bytes;
  }
  const { files: _files, ...changes } = variant;
  return writePackage(folder, { ...manifest, ...changes, files });
}
