/** A site of a task: its cameras' photos are labelled and trained on, others judge. Photos of the task are used once:
 *
 *   base        nine tenths are replayed, a tenth is TUNE
 *   validation  one half is held out for the choice of a blend, as packing takes it
 *   seen        a third is labelled at the site; the others, unseen, judge at the site and elsewhere */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SiteFrame, type SiteView, sceneOf, trainedOnce, writeDataset } from "@tributary/demo/retrain";
import { type ModelPackage, packageFiles } from "@tributary/inference";
import { hashOf, seededRandom } from "@tributary/kernel";
import { blendFiles, type LocalTraining, train, type trainLocally } from "@tributary/local-training";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { decodePicture, Normaliser, PIXELS_MAX } from "@tributary/onnx";
import { openGraph } from "@tributary/onnx/graph-session";
import { frameOf, type LabelledPhoto, packEdge, type Task } from "@tributary/tasks";
import { RESULT_MODEL, type Recipe, recipeFor, type TrainingResult } from "@tributary/training";
import { drawSome } from "@tributary/training/local";

const SLICE = "site=north";
const SEEN_LABELLED = 1 / 3;
const BASE_TUNE = 0.1;
/** Of the labels: as the trainer splits them, without those of the gate. */
const TUNE_SHARE = 0.2;
const BATCH = 50;

/** Another mix of classes is that of the task's second place. */
export const taskDrifts = ["dusk", "defocus", "another mix"] as const;
export type TaskDrift = (typeof taskDrifts)[number];

/** A step of a model of so large frames takes tens of times as long as of the others. */
export const isSlow = ({ frameSide }: Pick<Task, "frameSide">): boolean => frameSide > 256;

/** Unseen photos at the site, or as cameras elsewhere see them; and those that a blend is chosen by, and packing's temperature. */
export type View = TaskDrift | "elsewhere" | "held out";

/** How labellers err. */
export type Poison = { readonly kind: "random" | "swapped"; readonly share: number };

/** Logits of a model, by frame. */
export type Shown = { readonly labels: readonly number[]; readonly logits: readonly (readonly number[])[] };

export class TaskSite {
  readonly task: Task;
  readonly #dir: string;
  readonly #pkg: ModelPackage;
  readonly #progress: (line: string) => void;
  #baseDir: Promise<string> | undefined;
  readonly #shown = new Map<View, Promise<Shown>>();
  readonly #seen = new Map<View, Promise<Pictures>>();

  private constructor(task: Task, dir: string, pkg: ModelPackage, progress: (line: string) => void) {
    this.task = task;
    this.#dir = dir;
    this.#pkg = pkg;
    this.#progress = progress;
  }

  static async open(task: Task, dir: string, progress: (line: string) => void): Promise<TaskSite> {
    const packages = join(dir, task.name, "packages");
    if (!existsSync(join(packages, "edge", packageFiles.manifest))) await packEdge(task, packages, progress);
    return new TaskSite(task, join(dir, task.name), await loadPackage(join(packages, "edge")), progress);
  }

  get labelled(): readonly LabelledPhoto[] {
    return this.task.seen.slice(0, Math.round(this.task.seen.length * SEEN_LABELLED));
  }

  get unseen(): readonly LabelledPhoto[] {
    return this.task.seen.slice(Math.round(this.task.seen.length * SEEN_LABELLED));
  }

  get temperature(): number {
    return this.#pkg.calibration.temperature;
  }

  /** What the trainer makes of `labels` of people, of which some are tuned on. */
  async train(
    drift: TaskDrift,
    training: TaskTraining,
  ): Promise<{ readonly result: TrainingResult; readonly model: Uint8Array }> {
    const prepared = await this.#prepared(drift, training);
    const result = await trainedOnce(nameOf(prepared), prepared, { progress: this.#progress });
    return { result, model: await readFile(join(prepared.outDir, RESULT_MODEL)) };
  }

  /** Every blend of a training as it would be deployed, also those that the trainer would not take. */
  async trainBlends(
    drift: TaskDrift,
    training: TaskTraining,
  ): Promise<readonly { readonly blend: number; readonly model: Uint8Array }[]> {
    const prepared = await this.#prepared(drift, training);
    await trainedOnce(nameOf(prepared), prepared, { progress: this.#progress, train: keepingBlends });
    const { blends } = prepared.job.recipe;
    return Promise.all(
      blends.map(async (blend) => ({ blend, model: await readFile(join(prepared.outDir, blendFile(blend))) })),
    );
  }

  async #prepared(
    drift: TaskDrift,
    { labels, seed, poison, otherwise }: TaskTraining,
  ): Promise<Omit<LocalTraining, "limits">> {
    const { task } = this;
    const wrong = poison === undefined ? [] : [poison.kind, poison.share];
    const own = otherwise === undefined ? [] : [otherwise.name];
    const name = [drift, labels, ...wrong, ...own, seed].join("-").replaceAll(" ", "-");
    const outDir = join(this.#dir, name, "out");
    await mkdir(outDir, { recursive: true });
    const seen = photosAt(task, this.labelled, drift, seed).slice(0, labels);
    const photos = poison ? poisoned(seen, task, poison, seed) : seen;
    const frames = await siteFrames(task, photos, { drift, seed });
    const tune = Math.max(20, Math.round(TUNE_SHARE * frames.length));
    const held = await siteFrames(task, heldOutOf(task), CLEAR);
    const person = { slice: SLICE, labelSource: "PERSON" } as const;
    const datasetDir = await writeDataset(
      join(this.#dir, name, "dataset"),
      [
        { ...person, split: "TRAIN", frames: distinct(frames.slice(tune)) },
        { ...person, split: "TUNE", frames: distinct(frames.slice(0, tune)) },
        { slice: "base", split: "TUNE", labelSource: "IMPORT", frames: distinct(held) },
      ],
      task.labels,
    );
    const job = {
      runId: name,
      model: task.name,
      parentDigest: this.#pkg.digest,
      dataset: `${task.name}/${name}`,
      baseDataset: `${task.name}/base`,
      slice: SLICE,
      seed: `bench ${seed}`,
      recipe: changedRecipe(
        recipeFor(labels - tune, Math.round(task.base.length * (1 - BASE_TUNE))),
        otherwise,
        frames.length - tune,
      ),
    };
    return { job, parentDir: this.#pkg.dir, datasetDir, baseDir: await this.#base(), outDir };
  }

  #base(): Promise<string> {
    this.#baseDir ??= this.#writeBase();
    return this.#baseDir;
  }

  async #writeBase(): Promise<string> {
    const dir = join(this.#dir, "base");
    if (existsSync(join(dir, "manifest.jsonl"))) return dir;
    const frames = distinct(await siteFrames(this.task, this.task.base, CLEAR));
    const tune = Math.round(frames.length * BASE_TUNE);
    const part = { slice: "base", labelSource: "IMPORT" } as const;
    return writeDataset(
      dir,
      [
        { ...part, split: "TRAIN", frames: frames.slice(tune) },
        { ...part, split: "TUNE", frames: frames.slice(0, tune) },
      ],
      this.task.labels,
    );
  }

  /** Of the model, or the deployed one. */
  async shown(where: View, model?: Uint8Array): Promise<Shown> {
    if (model !== undefined) return this.#answers(where, model);
    const known =
      this.#shown.get(where) ?? readPackageFile(this.#pkg, packageFiles.model).then((own) => this.#answers(where, own));
    this.#shown.set(where, known);
    return known;
  }

  async #answers(where: View, model: Uint8Array): Promise<Shown> {
    const { labels, pixels, shape } = await this.#pictures(where);
    const { input, logits } = this.#pkg.manifest.tensors;
    const normaliser = new Normaliser(this.#pkg.preprocessing);
    const length = shape.reduce((product, side) => product * side, 1);
    const session = await openGraph(model, { threads: 1 });
    const all: number[][] = [];
    try {
      for (let from = 0; from < pixels.length; from += BATCH) {
        const some = pixels.slice(from, from + BATCH);
        const data = new Float32Array(some.length * length);
        for (const [i, own] of some.entries()) normaliser.write(own, data, i * length);
        const outputs = await session.run({ [input]: { data, dims: [some.length, ...shape] } }, [logits]);
        const values = Array.from((outputs[logits]?.data ?? []) as Float32Array);
        const classes = values.length / some.length;
        for (const i of some.keys()) all.push(values.slice(i * classes, (i + 1) * classes));
      }
    } finally {
      await session.close();
    }
    return { labels, logits: all };
  }

  /** Each view is decoded once, for all models. */
  #pictures(where: View): Promise<Pictures> {
    const known = this.#seen.get(where) ?? this.#decoded(where);
    this.#seen.set(where, known);
    return known;
  }

  /** Unseen photos as cameras elsewhere see them, in another order. */
  async #drawn(photos: readonly LabelledPhoto[]): Promise<Pictures> {
    const { pixels, shape } = await this.#pictures("elsewhere");
    const places = new Map(this.unseen.map((photo, i) => [photo, i]));
    return {
      labels: photos.map(({ label }) => label),
      pixels: photos.map((photo) => pixels[places.get(photo) as number] as Uint8Array),
      shape,
    };
  }

  async #decoded(where: View): Promise<Pictures> {
    const { task } = this;
    if (where === "another mix") return this.#drawn(photosAt(task, this.unseen, where, 1));
    const drift = where === "dusk" || where === "defocus" ? where : null;
    const own =
      where === "held out" ? heldOutOf(task) : drift === null ? this.unseen : photosAt(task, this.unseen, drift, 1);
    const frames = await siteFrames(task, own, drift === null ? CLEAR : { drift, seed: 1 });
    const { preprocessing } = this.#pkg;
    const normaliser = new Normaliser(preprocessing);
    const pixels: Uint8Array[] = [];
    let shape: readonly number[] = [];
    for (const { jpeg } of frames) {
      const picture = await decodePicture(jpeg, preprocessing, PIXELS_MAX);
      if (!picture.ok) throw new Error(picture.message);
      const { width, height } = picture;
      const read = normaliser.channels(picture.pixels);
      const channels = read.length / (width * height);
      shape = preprocessing.layout === "channels_first" ? [channels, height, width] : [height, width, channels];
      pixels.push(read);
    }
    return { labels: own.map(({ label }) => label), pixels, shape };
  }
}

/** Photos of a view as the model's preprocessing reads them; `shape` is that of a tensor of one. */
type Pictures = {
  readonly labels: readonly number[];
  readonly pixels: readonly Uint8Array[];
  readonly shape: readonly number[];
};

export type TaskTraining = {
  readonly labels: number;
  readonly seed: number;
  readonly poison?: Poison;
  readonly otherwise?: Otherwise;
};

/** What a training does otherwise than the trainer would: its name, changes of the recipe, and a number of steps that does not depend on how many
 * photos there are. */
type Otherwise = { readonly name: string; readonly change: Partial<Recipe>; readonly steps?: number };

function changedRecipe(recipe: Recipe, otherwise: Otherwise | undefined, frames: number): Recipe {
  if (otherwise === undefined) return recipe;
  const { change, steps } = otherwise;
  const changed = { ...recipe, ...change };
  return steps === undefined
    ? changed
    : { ...changed, epochs: Math.ceil((steps * changed.sliceFramesPerBatch) / frames) };
}

const heldOutOf = ({ validation }: Task): readonly LabelledPhoto[] => validation.filter((_, i) => i % 2 === 0);

const nameOf = ({ job }: Pick<LocalTraining, "job">): string => `${job.model} ${job.runId}`;

const blendFile = (blend: number): string => `blend-${blend}.onnx`;

/** In this process, and none of them is chosen. */
const keepingBlends: typeof trainLocally = (training, { onProgress } = {}) =>
  train(training, { assertOwned: async () => {}, report: (at) => onProgress?.(at) }, async (run, trained) => {
    for await (const { blend, model } of blendFiles(run, trained))
      await writeFile(join(training.outDir, blendFile(blend)), model);
    return { model: run.inputs.model, blend: 0, nothing: "none was chosen", blends: [], accuracies: [] };
  });

/** In an order by lot; of another mix of classes, as many of each as the second place has, as far as there are. */
function photosAt(task: Task, photos: readonly LabelledPhoto[], drift: TaskDrift, seed: number) {
  const order = drawSome(photos.length, photos.length, `${task.name} ${seed}`).map((i) => photos[i] as LabelledPhoto);
  if (drift !== "another mix") return order;
  const mix = task.places[1]?.mix ?? [];
  const counts = task.labels.map((_, label) => photos.filter((one) => one.label === label).length);
  const whole = Math.min(
    ...mix.map((share, label) => (share === 0 ? Number.POSITIVE_INFINITY : (counts[label] as number) / share)),
  );
  const left = mix.map((share) => Math.floor(share * whole));
  return order.filter(({ label }) => {
    left[label] = (left[label] as number) - 1;
    return (left[label] as number) >= 0;
  });
}

type Seen = { readonly drift: TaskDrift; readonly seed: number };
/** Photos as they are. */
const CLEAR: Seen = { drift: "another mix", seed: 1 };

const viewOf = (drift: TaskDrift): SiteView => (drift === "another mix" ? "clear" : drift);

async function siteFrames(
  task: Task,
  photos: readonly LabelledPhoto[],
  { drift, seed }: Seen,
): Promise<readonly SiteFrame[]> {
  const frames: SiteFrame[] = [];
  for (let from = 0; from < photos.length; from += BATCH) {
    const some = photos.slice(from, from + BATCH).map(async ({ photo, label }, i) => {
      const { pixels, ...size } = photo;
      const scene = await sceneOf(pixels, size, viewOf(drift), seededRandom(seed * 1_000_003 + from + i));
      return { jpeg: await frameOf(task, { ...size, pixels: scene }), label };
    });
    frames.push(...(await Promise.all(some)));
  }
  return frames;
}

/** Photos of a task may be the same picture; a dataset has a picture once. */
function distinct(frames: readonly SiteFrame[]): readonly SiteFrame[] {
  const ofEach = new Map(frames.map((frame) => [createHash("sha256").update(frame.jpeg).digest("hex"), frame]));
  return [...ofEach.values()];
}

/** `swapped`: the two most frequent classes are taken for each other. */
export function poisoned<T extends { readonly label: number }>(
  items: readonly T[],
  { labels, validation }: Pick<Task, "labels" | "validation">,
  { kind, share }: Poison,
  seed: number,
): readonly T[] {
  const random = seededRandom(hashOf(`poison ${seed}`));
  const count = (label: number) => validation.filter((one) => one.label === label).length;
  const [first = 0, second = 1] = [...labels.keys()].sort((a, b) => count(b) - count(a));
  const others = labels.length - 1;
  return items.map((item) => {
    const { label } = item;
    const isWrong = random() < share;
    const lot = random();
    if (!isWrong) return item;
    if (kind === "random") return { ...item, label: (label + 1 + Math.floor(others * lot)) % labels.length };
    return label === first ? { ...item, label: second } : label === second ? { ...item, label: first } : item;
  });
}
