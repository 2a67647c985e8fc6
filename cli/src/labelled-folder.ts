/** A folder of labelled JPEGs that is about to be uploaded. It loads the model runtime. */
import { join } from "node:path";
import { checkManifest, describeFolder, type ValidationManifest } from "@tributary/model-packaging";
import type { Io } from "./context.ts";
import { Progress } from "./progress.ts";
import type { Part } from "./upload.ts";

export type LabelledFolder = {
  /** SHA-256 of its manifest: the set's identity. */
  readonly digest: string;
  readonly manifest: ValidationManifest;
  /** Its frames, and the manifest. */
  readonly parts: readonly Part[];
};

type Limits = Parameters<typeof checkManifest>[1];

export async function labelledFolder(folder: string, io: Io, limits?: Limits): Promise<LabelledFolder> {
  let text = "reading the folder";
  const progress = new Progress(io, () => text);
  try {
    const { manifest, bytes, digest } = await describeFolder(folder, (done, all) => {
      text = `reading frames: ${done} of ${all}`;
    });
    const { frames } = checkManifest(manifest, limits);
    const parts = frames.map(({ file, sha256, bytes }): Part => ({ from: join(folder, file), digest: sha256, bytes }));
    return { digest, manifest, parts: [...parts, { from: bytes, digest, bytes: bytes.length }] };
  } finally {
    progress.end();
  }
}
