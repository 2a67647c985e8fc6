/** Labelled frames of the demo and bench of retraining, as folders. Every set has photos of its own, by their place in the published
 * order, so that nothing is judged on what it was trained on:
 *
 *   train 0 to 20,000        base set: what the sample model was first trained on, replayed
 *   train 20,000 to 25,000   base photos that choose a blend; and photos of no site, for a control
 *   train 45,000 to 50,000   validation: packages are measured on one half, the gate takes the other
 *   test 0 to 5,000          the site's cameras: what people label, and what is trained on
 *   test 5,000 to 10,000     unseen: judged by the demo and the bench alone */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@tributary/kernel";
import { DATASET_MANIFEST, type DatasetFrame } from "@tributary/training";
import { CLASSES } from "../photos.ts";
import type { UnseenFrames } from "./judge.ts";
import { type PublishedSplit, publishedPhotos, type RawPhoto } from "./published-photos.ts";
import { type SiteView, siteFrame } from "./site-views.ts";

type Place = { readonly split: PublishedSplit; readonly range: readonly [number, number] };
export const sets = {
  base: { split: "train", range: [0, 20_000] },
  baseTune: { split: "train", range: [20_000, 22_000] },
  others: { split: "train", range: [22_000, 25_000] },
  validation: { split: "train", range: [45_000, 50_000] },
  site: { split: "test", range: [0, 5_000] },
  unseen: { split: "test", range: [5_000, 10_000] },
} as const satisfies Record<string, Place>;
export type SetName = keyof typeof sets;

const AT_ONCE = 64;

export type SiteFrame = { readonly jpeg: Buffer; readonly label: number };

export class SiteSets {
  readonly #dir: string;
  readonly #log: (line: string) => void;
  readonly #photos = new Map<SetName, Promise<readonly RawPhoto[]>>();

  constructor(dir: string, log: (line: string) => void) {
    this.#dir = dir;
    this.#log = log;
  }

  photos(name: SetName): Promise<readonly RawPhoto[]> {
    const { split, range } = sets[name];
    const known = this.#photos.get(name);
    if (known !== undefined) return known;
    const read = publishedPhotos(join(this.#dir, "published"), split, range, this.#log);
    this.#photos.set(name, read);
    return read;
  }

  /** Frames of photos of a set as a camera with this view sees them. */
  async frames(name: SetName, view: SiteView, places: readonly number[], seed = 1): Promise<readonly SiteFrame[]> {
    const photos = await this.photos(name);
    const frames: SiteFrame[] = [];
    for (let from = 0; from < places.length; from += AT_ONCE) {
      const some = places.slice(from, from + AT_ONCE).map(async (place) => {
        const photo = photos[place] as RawPhoto;
        return { jpeg: await siteFrame(photo, view, place, seed), label: photo.label };
      });
      frames.push(...(await Promise.all(some)));
    }
    return frames;
  }

  /** A folder of JPEGs with labels.json, as `validation push` and `datasets push` read it; written once. */
  async folder(name: SetName, count = Number.POSITIVE_INFINITY): Promise<string> {
    const [first, end] = sets[name].range;
    const size = Math.min(count, end - first);
    const dir = join(this.#dir, `${name}-${size}`);
    if (existsSync(dir)) return dir;
    this.#log(`${size} photos of ${name}`);
    const draft = `${dir}.new`;
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    const labels: Record<string, string> = {};
    for (let from = 0; from < size; from += AT_ONCE) {
      const places = Array.from({ length: Math.min(AT_ONCE, size - from) }, (_, i) => from + i);
      const frames = await this.frames(name, "clear", places);
      await Promise.all(
        frames.map(({ jpeg, label }, i) => {
          const file = `${String(from + i).padStart(5, "0")}.jpg`;
          labels[file] = CLASSES[label] as string;
          return writeFile(join(draft, file), jpeg);
        }),
      );
    }
    await writeFile(join(draft, "labels.json"), JSON.stringify(labels));
    await rename(draft, dir);
    return dir;
  }
}

/** What the cameras of a site see once it has drifted: another light, another lens, or other classes. */
export const siteDrifts = ["dusk", "defocus", "class-mix"] as const;
export type SiteDrift = (typeof siteDrifts)[number];

/** Classes that the site with another mix sees most: those that the sample model confuses most. */
const MIX: ReadonlySet<number> = new Set(
  ["bird", "cat", "dog"].map((name) => CLASSES.indexOf(name as (typeof CLASSES)[number])),
);
/** Of other classes it sees every tenth photo. */
const MIX_OTHERS_EVERY = 10;

/** In an order by lot; all of them, or the first `count`. */
export async function siteFramesOf(
  sites: SiteSets,
  name: "site" | "unseen",
  drift: SiteDrift,
  seed: number,
  count = Number.POSITIVE_INFINITY,
): Promise<readonly SiteFrame[]> {
  const photos = await sites.photos(name);
  const random = seededRandom(seed);
  const lots = [...photos.keys()].map((place) => ({ place, lot: random() }));
  const order = lots.sort((a, b) => a.lot - b.lot).map(({ place }) => place);
  const isSeen = (place: number) => MIX.has(photos[place]?.label ?? -1) || place % MIX_OTHERS_EVERY === 0;
  const places = drift === "class-mix" ? order.filter(isSeen) : order;
  return sites.frames(name, drift === "class-mix" ? "clear" : drift, places.slice(0, count), seed);
}

/** Unseen photos as all other sites see them. */
async function unseenFrames(sites: SiteSets): Promise<readonly SiteFrame[]> {
  return sites.frames("unseen", "clear", [...(await sites.photos("unseen")).keys()]);
}

/** What judges a model on this site's unseen photos. */
export const unseenOf =
  (sites: SiteSets): UnseenFrames =>
  (view) =>
    view === "elsewhere" ? unseenFrames(sites) : siteFramesOf(sites, "unseen", view, 1);

/** Writes a dataset's folder, as a training backend is given it; the manifest last, so a folder that has one is complete. */
export async function writeDataset(
  dir: string,
  parts: readonly {
    readonly slice: string;
    readonly split: DatasetFrame["split"];
    readonly labelSource: string;
    readonly frames: readonly SiteFrame[];
  }[],
  classes: readonly string[] = CLASSES,
): Promise<string> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(join(dir, "frames"), { recursive: true });
  const lines: DatasetFrame[] = [];
  for (const { slice, split, labelSource, frames } of parts) {
    for (const { jpeg, label } of frames) {
      const sha256 = createHash("sha256").update(jpeg).digest("hex");
      const file = `frames/${sha256}.jpg`;
      await writeFile(join(dir, file), jpeg);
      const about = { label: classes[label] as string, labelSource, slice, split };
      lines.push({ file, sha256, ...about, frameId: "", deviceId: "", samplePropensity: null });
    }
  }
  const text = lines.sort((a, b) => (a.file < b.file ? -1 : 1)).map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(join(dir, DATASET_MANIFEST), text.join(""));
  return dir;
}
