/** The shipped model with a larger random sample; nothing else of it is changed, unless given. */
import { packageFiles } from "@tributary/inference";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";

export type Otherwise = { readonly name?: string; readonly deadlineMs?: number };

/** Writes it to `dir`, which must not exist. */
export async function packageWithSample(
  dir: string,
  from: string,
  sampling: number,
  { name, deadlineMs }: Otherwise = {},
): Promise<string> {
  const base = await loadPackage(from);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(base.manifest.files)) files[path] = await readPackageFile(base, path);
  const policy = JSON.parse(new TextDecoder().decode(files[packageFiles.policy]));
  const sampled = {
    ...policy,
    samplePropensityMin: sampling,
    sampleBudget: sampling,
    ...(deadlineMs !== undefined && { deadlineMs }),
  };
  files[packageFiles.policy] = new TextEncoder().encode(`${JSON.stringify(sampled, null, 2)}\n`);
  const { formatVersion: _, ...manifest } = base.manifest;
  await writePackage(dir, { ...manifest, ...(name && { name }), files });
  return dir;
}
