/** A task of another shape: two classes at nine to one, of which lab/tasks has few photos. The smaller class is the one that a careless
 * training loses. Photos are used once:
 *
 *   base        replayed
 *   validation  one half for packing and the choice of a blend, one for the gate
 *   seen        two thirds are what cameras see, and people label; a third judges */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "@tributary/kernel";
import { frameOf, type LabelledPhoto, openTask, packTask, type Task, writeFrames } from "@tributary/tasks";
import { type SeenPhoto, writeSeen } from "../photos.ts";
import type { SiteFrame } from "./sets.ts";
import { type SiteView, sceneOf } from "./site-views.ts";
import { CLEAR, DUSK, type Story } from "./story.ts";

/** Where water is about as frequent as in the validation set. */
const SITE = "harbour";
const OTHER_SITES = ["main", "yard", "annex"];
const UNSEEN_EVERY = 3;

/** Makes everything anew below `dir`. */
export async function waterStory(dir: string, log: (line: string) => void): Promise<Story> {
  const task = await openTask("water");
  rmSync(dir, { recursive: true, force: true });
  const [poolDir, validationDir, baseDir] = ["pool", "validation", "base"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  log(`packing the models of ${task.name}`);
  const packages = await packTask(task, join(dir, "packages"), () => undefined);
  log(`photos of ${task.name}`);
  await writeFrames(task, task.validation, validationDir);
  await writeFrames(task, task.base, baseDir);
  const of = (isUnseen: boolean) => task.seen.filter((_, i) => (i % UNSEEN_EVERY === 0) === isUnseen);
  await writeSeen(poolDir, await seenPhotos(task, of(false)), task.labels);
  const mixes = new Map(
    task.places.map(({ name, mix }) => [
      name,
      Object.fromEntries(task.labels.map((label, i) => [label, mix[i] as number])),
    ]),
  );
  return {
    task: task.name,
    site: SITE,
    otherSites: OTHER_SITES,
    // More than the 20 whose equal shares would have to be filled to the last frame.
    atSite: 24,
    packages,
    poolDir,
    validationDir,
    baseDir,
    sceneOf: (site, view) => ({ view, mix: mixes.get(site) }),
    // There are 640 photos that cameras may see, and no two labelled frames may look alike.
    trainer: { labels: { wanted: 480 } },
    unseen: (view) => framesOf(task, of(true), view === "elsewhere" ? CLEAR : DUSK),
    gains: null,
    controls: null,
    isTried: true,
    bars: { regainedMin: 0.2, unseenMin: 300, cost: null, mayBeHeld: true, runMs: 1_800_000 },
  };
}

async function seenPhotos(task: Task, photos: readonly LabelledPhoto[]): Promise<readonly SeenPhoto[]> {
  const seen: SeenPhoto[] = [];
  for (const view of [CLEAR, DUSK] as const) {
    for (const frame of await framesOf(task, photos, view)) seen.push({ view, ...frame });
  }
  return seen;
}

async function framesOf(task: Task, photos: readonly LabelledPhoto[], view: SiteView): Promise<readonly SiteFrame[]> {
  const frames: SiteFrame[] = [];
  for (const [place, { photo, label }] of photos.entries()) {
    const { pixels, ...size } = photo;
    const scene = await sceneOf(pixels, size, view, seededRandom(1_000_003 + place));
    frames.push({ jpeg: await frameOf(task, { ...size, pixels: scene }), label });
  }
  return frames;
}
