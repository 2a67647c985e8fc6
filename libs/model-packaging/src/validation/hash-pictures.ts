/** Hashes of pictures that came from elsewhere, by which near-duplicates are found; what cannot be decoded is named instead. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodePicture, PIXELS_MAX } from "@tributary/onnx";
import { differenceHashOf, HASH_HEIGHT, HASH_WIDTH } from "@tributary/training/dataset";

export type HashedPictures = {
  /** By file name. */
  readonly hashes: Readonly<Record<string, string>>;
  /** Why they cannot be used, by file name. */
  readonly undecodable: Readonly<Record<string, string>>;
};

const PROGRESS_EVERY = 500;

/** Of every file of a folder. */
export async function hashPictures(dir: string, progress: (line: string) => void = () => {}): Promise<HashedPictures> {
  const hashes: Record<string, string> = {};
  const undecodable: Record<string, string> = {};
  // Hashes of earlier versions are compared with: they were made so.
  const how = {
    resize: { width: HASH_WIDTH, height: HASH_HEIGHT, kernel: "bilinear" },
    library: "libvips",
  } as const;
  const files = (await readdir(dir)).sort();
  for (const [i, file] of files.entries()) {
    const picture = await decodePicture(await readFile(join(dir, file)), how, PIXELS_MAX);
    if (picture.ok) hashes[file] = differenceHashOf(picture.pixels);
    else undecodable[file] = picture.message;
    if ((i + 1) % PROGRESS_EVERY === 0) progress(`${i + 1} of ${files.length} pictures decoded`);
  }
  return { hashes, undecodable };
}
