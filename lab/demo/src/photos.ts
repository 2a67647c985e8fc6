/** The sample photos, split into three disjoint uses, so that nothing is evaluated on its training data.
 *
 * The photos of a use are fixed by their position: new data for retraining, validation for packing and the gate, and what the
 * cameras see. A camera's photo is clear, dim or blurred. Every device has its own mix of the three: devices differ as they
 * do in a field. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SampleFrame, sampleFrames } from "@tributary/testing";
import sharp from "sharp";

/** From and to, in the order of samples/cifar10-test. */
export const SPLITS = { retraining: [0, 1_500], validation: [1_500, 2_500], cameras: [2_500, 5_000] } as const;
export const CLASSES = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
] as const;

/** What the cameras of the two-class case see. */
export const TWO_CLASSES: readonly string[] = ["frog", "ship"];

/** A photo as a camera sees it; null: not in this view. */
export type View = (jpeg: Buffer) => Promise<Buffer | null>;
const VIEWS: Readonly<Record<string, View>> = {
  clear: async (jpeg) => jpeg,
  dim: (jpeg) => sharp(jpeg).linear(0.5, 0).jpeg({ quality: 70, chromaSubsampling: "4:2:0" }).toBuffer(),
  blurred: (jpeg) => sharp(jpeg).blur(4).jpeg({ quality: 70, chromaSubsampling: "4:2:0" }).toBuffer(),
};

/** Where the photos that cameras see are in `pool.bin`; `pool.json` is a list of these. */
export type PooledPhoto = {
  readonly view: string;
  readonly label: string;
  readonly from: number;
  readonly bytes: number;
  /** SHA-256 of the JPEG: it stands in for a person who recognises the photo. */
  readonly sha256: string;
};

export type Photos = {
  /** Decoded when first asked for. */
  readonly retraining: () => Promise<readonly SampleFrame[]>;
  readonly cameras: () => Promise<readonly SampleFrame[]>;
  /** Folder of JPEGs with labels.json, as `tributary models pack` and the gate read it. */
  readonly validationDir: string;
  /** Folder of pool.bin and pool.json: photos of all classes, and of two of them alone. */
  readonly poolDir: string;
  readonly twoClassPoolDir: string;
};

/** Writes what is missing under `dir`; a second call writes nothing. */
export async function preparePhotos(dir: string): Promise<Photos> {
  let all: Promise<readonly SampleFrame[]> | undefined;
  const of =
    ([from, to]: readonly [number, number]) =>
    async () => {
      all ??= sampleFrames();
      return (await all).slice(from, to);
    };
  const [retraining, validation, cameras] = [of(SPLITS.retraining), of(SPLITS.validation), of(SPLITS.cameras)];
  const [validationDir, poolDir, twoClassPoolDir] = ["validation", "pool", "pool-two-classes"].map((name) =>
    join(dir, name),
  ) as [string, string, string];
  if (!existsSync(join(validationDir, "labels.json"))) await writeValidation(validationDir, await validation());
  if (!existsSync(join(poolDir, "pool.json"))) await writePool(poolDir, await cameras(), VIEWS);
  if (!existsSync(join(twoClassPoolDir, "pool.json"))) {
    const isSeen = ({ label }: SampleFrame) => TWO_CLASSES.includes(CLASSES[label] as string);
    await writePool(twoClassPoolDir, (await cameras()).filter(isSeen), VIEWS);
  }
  return { retraining, cameras, validationDir, poolDir, twoClassPoolDir };
}

export async function readPool(poolDir: string): Promise<readonly PooledPhoto[]> {
  return JSON.parse(await readFile(join(poolDir, "pool.json"), "utf8")) as PooledPhoto[];
}

async function writeValidation(dir: string, frames: readonly SampleFrame[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  const labels: Record<string, string> = {};
  for (const [i, { jpeg, label }] of frames.entries()) {
    const name = `${String(i).padStart(4, "0")}.jpg`;
    await writeFile(join(dir, name), jpeg);
    labels[name] = CLASSES[label] as string;
  }
  await writeWhole(join(dir, "labels.json"), JSON.stringify(labels));
}

/** `pool.bin` and `pool.json` of every photo in every view. */
export async function writePool(
  dir: string,
  frames: readonly SampleFrame[],
  views: Readonly<Record<string, View>>,
): Promise<void> {
  const seen: SeenPhoto[] = [];
  for (const { jpeg, label } of frames) {
    const seenAs = Object.entries(views).map(async ([view, see]) => ({ view, label, jpeg: await see(jpeg) }));
    for (const { view, jpeg } of await Promise.all(seenAs)) if (jpeg !== null) seen.push({ view, label, jpeg });
  }
  await writeSeen(dir, seen);
}

/** A photo in a view. */
export type SeenPhoto = SampleFrame & { readonly view: string };

/** `pool.bin` and `pool.json` of photos that are made already. */
export async function writeSeen(
  dir: string,
  seen: readonly SeenPhoto[],
  classes: readonly string[] = CLASSES,
): Promise<void> {
  await mkdir(dir, { recursive: true });
  const photos: PooledPhoto[] = [];
  const parts: Buffer[] = [];
  let from = 0;
  for (const { view, label, jpeg } of seen) {
    const sha256 = createHash("sha256").update(jpeg).digest("hex");
    photos.push({ view, label: classes[label] as string, from, bytes: jpeg.length, sha256 });
    parts.push(jpeg);
    from += jpeg.length;
  }
  await writeWhole(join(dir, "pool.bin"), Buffer.concat(parts));
  await writeWhole(join(dir, "pool.json"), JSON.stringify(photos));
}

async function writeWhole(path: string, content: string | Buffer): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
