/** The shipped model with a larger random sample; nothing else of it is changed. */
import { packageFiles } from "@tributary/inference";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";

/** Writes it to `dir`, which must not exist; under another name where one is given. */
export async function packageWithSample(dir: string, from: string, sampling: number, name?: string): Promise<string> {
  const base = await loadPackage(from);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(base.manifest.files)) files[path] = await readPackageFile(base, path);
  const policy = JSON.parse(new TextDecoder().decode(files[packageFiles.policy]));
  const sampled = { ...policy, samplePropensityMin: sampling, sampleBudget: sampling };
  files[packageFiles.policy] = new TextEncoder().encode(`${JSON.stringify(sampled, null, 2)}\n`);
  const { formatVersion: _, ...manifest } = base.manifest;
  await writePackage(dir, { ...manifest, ...(name && { name }), files });
  return dir;
}
