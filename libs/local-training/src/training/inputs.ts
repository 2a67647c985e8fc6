/** Everything that a training reads, checked before anything is computed: the deployed package, its graph, and the lists of frames.
 *
 * I1. A frame of GATE is never opened: the gate alone sees it. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type ModelPackage, packageFiles } from "@tributary/inference";
import { type Digest, reasonOf } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { parseGraph } from "@tributary/onnx";
import { DATASET_MANIFEST, type TrainingJob } from "@tributary/training";
import { type Trainable, trainableOf } from "@tributary/training/graph";
import { missingFrames } from "@tributary/training/local";
import type { LocalTraining } from "../local-training.ts";
import { failure } from "./failures.ts";
import { type ManifestFrame, parseManifest } from "./manifest.ts";

/** `base` frames keep the model's answers, `slice` frames change them. `heldOut`: frames of elsewhere that neither this training nor that of the
 * deployed model learned; they are the frames of TUNE in the dataset that are of another slice than the job's. */
export type Part = "sliceTrain" | "sliceTune" | "heldOut" | "baseTrain" | "baseTune";

export type InputFrame = {
  readonly path: string;
  readonly sha256: Digest;
  /** Number of its class. */
  readonly label: number;
  readonly slice: string;
  readonly part: Part;
};

export type Inputs = {
  readonly pkg: ModelPackage;
  readonly model: Uint8Array;
  readonly trainable: Trainable;
  readonly frames: readonly InputFrame[];
  /** Of everything that decides the result: what another training left is not resumed from. */
  readonly key: Digest;
};

export async function readInputs({ job, parentDir, datasetDir, baseDir }: LocalTraining): Promise<Inputs> {
  checkJob(job);
  const pkg = await loadPackage(parentDir, { digest: job.parentDigest });
  if (pkg.manifest.input !== "jpeg") {
    const what = `${pkg.manifest.name} ${pkg.manifest.version} takes tensors that its caller preprocesses`;
    throw failure("training-parent-unsupported", "ask-a-person", `${what}; train it by a command backend`);
  }
  const model = await readPackageFile(pkg, packageFiles.model);
  const trainable = trainableOf(parseGraph(model), pkg.manifest.tensors);
  if (trainable.classes !== pkg.labels.length) {
    const what = `the graph answers ${trainable.classes} classes, labels.json has ${pkg.labels.length}`;
    throw failure("training-parent-unsupported", "ask-a-person", `${parentDir}: ${what}`);
  }
  const dataset = await readManifest(datasetDir);
  const base = await readManifest(baseDir);
  const labels = new Map(pkg.labels.map((name, i) => [name, i]));
  const frames = [
    ...dataset.frames.flatMap((frame) => {
      const tune = frame.slice === job.slice ? "sliceTune" : "heldOut";
      return inputFrame(frame, datasetDir, labels, "sliceTrain", tune);
    }),
    ...base.frames.flatMap((frame) => inputFrame(frame, baseDir, labels, "baseTrain", "baseTune")),
  ];
  checkEnough(frames, job);
  const key = sha256(JSON.stringify([2, job, dataset.digest, base.digest]));
  return { pkg, model, trainable, frames, key };
}

/** Also of the frames that are left after decoding. */
export function checkEnough(frames: readonly Pick<InputFrame, "part">[], job: TrainingJob): void {
  const count = (part: Part) => frames.filter((frame) => frame.part === part).length;
  const missing = missingFrames({
    sliceTrain: count("sliceTrain"),
    sliceTune: count("sliceTune"),
    baseTrain: count("baseTrain"),
    baseTune: count("baseTune"),
  });
  if (missing.length === 0) return;
  throw failure("training-frames-too-few", "ask-a-person", `${job.slice}: ${missing.join("; ")}`);
}

async function readManifest(dir: string): Promise<{ frames: readonly ManifestFrame[]; digest: Digest }> {
  const bytes = await readFile(join(dir, DATASET_MANIFEST)).catch((error: unknown) => {
    throw failure("training-manifest-invalid", "ask-a-person", `${dir}: ${reasonOf(error)}`, { cause: error });
  });
  return { frames: parseManifest(bytes, dir), digest: sha256(bytes) };
}

function inputFrame(
  { file, sha256, label, slice, split }: ManifestFrame,
  dir: string,
  labels: ReadonlyMap<string, number>,
  train: Part,
  tune: Part,
): readonly InputFrame[] {
  if (split === "GATE") return []; // I1
  const number = labels.get(label);
  if (number === undefined) {
    const known = [...labels.keys()].slice(0, 10).join(", ");
    throw failure(
      "training-label-unknown",
      "ask-a-person",
      `${dir}/${file}: the model has no class "${label}": ${known}`,
    );
  }
  return [{ path: resolve(dir, file), sha256, label: number, slice, part: split === "TRAIN" ? train : tune }];
}

function checkJob({ recipe, runId, seed }: TrainingJob): void {
  const isWhole = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max;
  const isBetween = (value: number, min: number, max: number) => value >= min && value <= max;
  const wrong = [
    [runId !== "" && seed !== "", "runId, seed"],
    [isWhole(recipe.batch, 2, 4_096), "recipe.batch"],
    [isWhole(recipe.sliceFramesPerBatch, 1, recipe.batch - 1), "recipe.sliceFramesPerBatch"],
    // Base photos as they were have to remain in every batch.
    [
      isWhole(recipe.matchedFramesPerBatch, 0, recipe.batch - recipe.sliceFramesPerBatch - 1),
      "recipe.matchedFramesPerBatch",
    ],
    [isBetween(recipe.learningRateMax, 1e-8, 1), "recipe.learningRateMax"],
    [isBetween(recipe.warmUpShare, 0, 1), "recipe.warmUpShare"],
    [isBetween(recipe.epochs, 1e-3, 1_000), "recipe.epochs"],
    [isBetween(recipe.basePassesMax, 1e-3, 1_000), "recipe.basePassesMax"],
    [isBetween(recipe.distillation, 0, 1), "recipe.distillation"],
    [isWhole(recipe.shiftMax, 0, 64), "recipe.shiftMax"],
    [recipe.blends.length > 0 && recipe.blends.length <= 20, "recipe.blends"],
    [recipe.blends.every((share) => share > 0 && share <= 1), "recipe.blends"],
    [isBetween(recipe.harm.lossMax, 0, 1), "recipe.harm.lossMax"],
    [isBetween(recipe.harm.alpha, 1e-6, 0.5), "recipe.harm.alpha"],
    [isBetween(recipe.harm.chance, 0, 1), "recipe.harm.chance"],
    [recipe.layers === "all" || recipe.layers === "last", "recipe.layers"],
    [isWhole(recipe.calibrationFrames, 1, 100_000), "recipe.calibrationFrames"],
  ].flatMap(([isRight, name]) => (isRight ? [] : [name]));
  if (wrong.length === 0) return;
  const names = [...new Set(wrong)].join(", ");
  throw failure("training-job-invalid", "ask-a-person", `run ${runId}: out of range or empty: ${names}`);
}

const sha256 = (content: string | Uint8Array): Digest => createHash("sha256").update(content).digest("hex");
