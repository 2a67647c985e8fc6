/** Trainings without a fleet: each with the frames that its kind of drift and its control ask for. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@tributary/kernel";
import { type LocalTraining, type LocalTrainingProgress, progressLine, trainLocally } from "@tributary/local-training";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { calibrate } from "@tributary/routing";
import {
  DATASET_MANIFEST,
  RESULT_FILE,
  RESULT_MODEL,
  type Recipe,
  recipeFor,
  type TrainingJob,
  type TrainingResult,
} from "@tributary/training";
import { type SiteDrift, type SiteFrame, type SiteSets, siteFramesOf, writeDataset } from "./sets.ts";

/** `retrained` is what is measured; the others are controls. */
export const variants = [
  "retrained",
  "last layer only",
  "random photos",
  "cloud labels alone",
  "45 % wrong labels",
  "traded",
] as const;
export type Variant = (typeof variants)[number];

/** What of the recipe a control does otherwise. */
const OTHERWISE: Readonly<Partial<Record<Variant, Partial<Recipe>>>> = {
  "last layer only": { layers: "last" },
  // Without base photos made to look like the site, which have people's labels.
  "cloud labels alone": { matchedFramesPerBatch: 0 },
  // Hardly a base photo, nothing that keeps the deployed model's answers, and whatever it costs: the site gains what others lose.
  traded: {
    sliceFramesPerBatch: 112,
    matchedFramesPerBatch: 0,
    distillation: 0,
    epochs: 100,
    blends: [1],
    harm: { lossMax: 1, alpha: 0.05, chance: 0 },
  },
};

const SLICE = "site=north";
const FRAMES = { train: 300, tune: 75, baseTrain: 20_000, cloud: 1_000 } as const;
/** Labels that people give in all: some of them judge. */
const LABELS = 600;
export const WRONG_SHARE = 0.45;
const BASE_TUNE = 2_000;
const HELD_OUT = 2_500;
const PROGRESS_MS = 15_000;
/** One thread: several trainings may run at once. */
const LIMITS = { threads: 1, memoryBytesMax: 3 * 2 ** 30, msMax: 60 * 60_000 };

export type TrainerOptions = {
  readonly dir: string;
  readonly sites: SiteSets;
  readonly edgeDir: string;
  readonly cloudDir: string;
  readonly progress: (line: string) => void;
  readonly signal?: AbortSignal;
};

export type Trained = {
  readonly model: Uint8Array;
  readonly blend: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly labels: number;
};

/** What an earlier run made of the same job and frames by the same code, or a new one, by `train`. */
export async function trainedOnce(
  name: string,
  training: Omit<LocalTraining, "limits">,
  {
    progress,
    signal,
    train = trainLocally,
  }: Pick<TrainerOptions, "progress" | "signal"> & { readonly train?: typeof trainLocally },
): Promise<TrainingResult> {
  const { job, datasetDir, baseDir, outDir } = training;
  const key = createHash("sha256").update(JSON.stringify(job));
  for (const dir of [datasetDir, baseDir]) key.update(await readFile(join(dir, DATASET_MANIFEST)));
  for (const file of await codeFiles()) key.update(await readFile(file));
  const made = key.digest("hex");
  const keyFile = join(outDir, "job.sha256");
  if ((await readFile(keyFile, "utf8").catch(() => "")) === made) {
    progress(`${name}: trained before`);
    return JSON.parse(await readFile(join(outDir, RESULT_FILE), "utf8")) as TrainingResult;
  }
  let reportedMs = performance.now();
  const onProgress = (at: LocalTrainingProgress) => {
    if (performance.now() - reportedMs < PROGRESS_MS) return;
    reportedMs = performance.now();
    progress(`${name}: ${progressLine(at)}`);
  };
  await rm(keyFile, { force: true });
  const options = { onProgress, ...(signal !== undefined && { signal }) };
  const result = await train({ ...training, limits: LIMITS }, options);
  await writeFile(keyFile, made);
  return result;
}

export class Trainer {
  readonly #options: TrainerOptions;
  #base: Promise<string> | undefined;

  constructor(options: TrainerOptions) {
    this.#options = options;
  }

  async train(drift: SiteDrift, variant: Variant, seed: number): Promise<Trained> {
    const { dir, edgeDir } = this.#options;
    const name = `${drift}-${variant.replaceAll(/\W+/g, "-")}-${seed}`;
    const outDir = join(dir, name, "out");
    await mkdir(outDir, { recursive: true });
    const frames = await this.#frames(drift, variant, seed);
    const train = {
      slice: SLICE,
      split: "TRAIN",
      labelSource: variant === "cloud labels alone" ? "CLOUD" : "PERSON",
    } as const;
    const datasetDir = await writeDataset(join(dir, name, "dataset"), [
      { ...train, frames: frames.train },
      { ...train, split: "TUNE", frames: frames.tune },
      { slice: "base", split: "TUNE", labelSource: "IMPORT", frames: await this.#heldOut() },
    ]);
    const recipe: Recipe = { ...recipeFor(frames.train.length, FRAMES.baseTrain), ...OTHERWISE[variant] };
    const job: TrainingJob = {
      runId: name,
      model: "edge-resnet8",
      parentDigest: (await loadPackage(edgeDir)).digest,
      dataset: `edge-resnet8/${name}`,
      baseDataset: "edge-resnet8/base",
      slice: SLICE,
      seed: `bench ${seed}`,
      recipe,
    };
    const { progress, signal } = this.#options;
    const training = { job, datasetDir, outDir, parentDir: edgeDir, baseDir: await this.#baseDir() };
    const result = await trainedOnce(name, training, { progress, ...(signal && { signal }) });
    const { blend = 1, cpuSeconds = 0, wallSeconds = 0 } = result;
    const labels = variant === "cloud labels alone" ? 0 : LABELS;
    return { model: await readFile(join(outDir, RESULT_MODEL)), blend, cpuSeconds, wallSeconds, labels };
  }

  /** Half of the validation photos, as the trainer holds them out. */
  #heldOut(): Promise<readonly SiteFrame[]> {
    const half = range(HELD_OUT).map((i) => 2 * i);
    return this.#options.sites.frames("validation", "clear", half);
  }

  #baseDir(): Promise<string> {
    this.#base ??= this.#writeBase();
    return this.#base;
  }

  async #writeBase(): Promise<string> {
    const { dir, sites, progress } = this.#options;
    const target = join(dir, "base");
    if (existsSync(join(target, DATASET_MANIFEST))) return target;
    progress(`${FRAMES.baseTrain + BASE_TUNE} base photos`);
    const all = await sites.frames("base", "clear", range(FRAMES.baseTrain));
    const tune = await sites.frames("baseTune", "clear", range(BASE_TUNE));
    const part = { slice: "base", labelSource: "IMPORT" } as const;
    return writeDataset(target, [
      { ...part, split: "TRAIN", frames: all },
      { ...part, split: "TUNE", frames: tune },
    ]);
  }

  async #frames(drift: SiteDrift, variant: Variant, seed: number) {
    const { sites } = this.#options;
    const wanted = variant === "cloud labels alone" ? FRAMES.cloud : FRAMES.train;
    const all = await siteFramesOf(sites, "site", drift, seed, wanted + FRAMES.tune);
    const [train, tune] = [all.slice(FRAMES.tune), all.slice(0, FRAMES.tune)];
    const random = seededRandom(seed);
    switch (variant) {
      case "retrained":
      case "last layer only":
      case "traded":
        return { train, tune };
      case "random photos":
        return { train: await sites.frames("others", "clear", range(FRAMES.train)), tune };
      case "cloud labels alone":
        return { train: await this.#cloudLabelled(train), tune: await this.#cloudLabelled(tune) };
      case "45 % wrong labels": {
        const wrong = ({ jpeg, label }: SiteFrame): SiteFrame =>
          random() < WRONG_SHARE ? { jpeg, label: (label + 1 + Math.floor(9 * random())) % 10 } : { jpeg, label };
        return { train: train.map(wrong), tune: tune.map(wrong) };
      }
      default:
        return variant satisfies never;
    }
  }

  /** With the answer of the cloud's model as the label. */
  async #cloudLabelled(frames: readonly SiteFrame[]): Promise<readonly SiteFrame[]> {
    const pkg = await loadPackage(this.#options.cloudDir);
    const model = await new OnnxModelHost(loadPackage).load(pkg.dir, { threads: 2 });
    const labelled: SiteFrame[] = [];
    try {
      for (let from = 0; from < frames.length; from += 25) {
        const some = frames.slice(from, from + 25);
        for (const [i, result] of (await model.inferBatch(some.map(({ jpeg }) => jpeg))).entries()) {
          if (!result.ok) continue;
          const { labelIndex } = calibrate(result.inference.logits, pkg.calibration.temperature);
          labelled.push({ jpeg: (some[i] as SiteFrame).jpeg, label: labelIndex });
        }
      }
    } finally {
      await model.close();
    }
    return labelled;
  }
}

/** Of what trains: a changed one trains anew. */
async function codeFiles(): Promise<readonly string[]> {
  const folders = ["@tributary/local-training", "@tributary/training"].map((name) =>
    dirname(fileURLToPath(import.meta.resolve(name))),
  );
  const all = await Promise.all(
    folders.map(async (folder) => (await readdir(folder, { recursive: true })).map((file) => join(folder, file))),
  );
  return all
    .flat()
    .filter((file) => file.endsWith(".js"))
    .sort();
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
