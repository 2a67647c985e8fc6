/** The digits of samples/ as a deployed package, base photos, and a site whose photos are dark: what a training is given. The model
 * begins with a mean over 20 x 20 pixels, which the package leaves to the device's resize: tests are short. */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageFiles } from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { type PackageParts, writePackage } from "@tributary/model-store";
import { encodeGraph, parseGraph } from "@tributary/onnx";
import { DATASET_MANIFEST, type DatasetFrame, recipeFor, type TrainingJob } from "@tributary/training";
import sharp from "sharp";
import type { LocalTraining } from "./local-training.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const DIGITS = join(ROOT, "samples/digits");
const EDGE = join(ROOT, "models/edge-resnet8");
/** Of the camera. */
const CAMERA_SIDE = 32;
/** Of the model. */
const SIDE = 15;
/** A fifth of the light. */
const dark = (value: number): number => Math.round(0.2 * value);

export type Photo = { readonly jpeg: Buffer; readonly label: string };

/** `isSite`: as the site's camera shows them. */
export async function photos(from: number, count: number, isSite: boolean): Promise<readonly Photo[]> {
  const { classes, side, labels, pixels } = JSON.parse(await readFile(join(DIGITS, "photos.json"), "utf8"));
  const bytes = Buffer.from(pixels, "base64");
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const photo = bytes.subarray((from + i) * side * side, (from + i + 1) * side * side);
      const seen = isSite ? photo.map(dark) : photo;
      const jpeg = await sharp(seen, { raw: { width: side, height: side, channels: 1 } })
        .resize(CAMERA_SIDE, CAMERA_SIDE, { kernel: "cubic" })
        .toColourspace("b-w")
        .jpeg({ quality: 90 })
        .toBuffer();
      return { jpeg, label: classes[labels[from + i]] as string };
    }),
  );
}

async function smallModel(): Promise<Uint8Array> {
  const { nodes, inputs, ...graph } = parseGraph(await readFile(join(DIGITS, "edge/model.onnx")));
  const [pool, ...others] = nodes;
  const [input] = inputs;
  if (pool?.operator !== "AveragePool" || input === undefined) throw new Error("the digits' model is another one now");
  const renamed = others.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => (name === pool.outputs[0] ? input.name : name)),
  }));
  return encodeGraph({ ...graph, nodes: renamed, inputs: [{ ...input, shape: ["batch", 1, SIDE, SIDE] }] });
}

async function smallPreprocessing(): Promise<object> {
  const document = JSON.parse(await readFile(join(DIGITS, "edge/preprocess.json"), "utf8"));
  return { ...document, size: { height: SIDE, width: SIDE } };
}

/** The digits' model as a package; what training does not read is the sample model's. */
export async function writeDigits(
  dir: string,
  model?: Uint8Array,
  change: Partial<PackageParts> = {},
): Promise<Digest> {
  const [{ jpeg } = { jpeg: Buffer.alloc(0) }] = await photos(0, 1, false);
  const encode = (document: unknown) => Buffer.from(JSON.stringify(document));
  const frame = { jpeg: "golden/0.jpg", pixels: "golden/0.raw", tensorDigest: "0".repeat(64), logits: [0, 0] };
  return writePackage(dir, {
    name: "digits",
    version: "1.0.0",
    input: "jpeg",
    hardwareClass: "test",
    latencyBudgetMs: 1_000,
    tensors: { input: "image", logits: "scores", features: null },
    metrics: {},
    lineage: {},
    files: {
      [packageFiles.model]: model ?? (await smallModel()),
      [packageFiles.preprocessor]: encode(await smallPreprocessing()),
      [packageFiles.labels]: encode(["even", "odd"]),
      [packageFiles.calibration]: encode({ method: "temperature", temperature: 1 }),
      [packageFiles.referenceSketch]: await readFile(join(EDGE, packageFiles.referenceSketch)),
      [packageFiles.goldenIndex]: encode({ formatVersion: 1, frames: [frame] }),
      [frame.jpeg]: jpeg,
      [frame.pixels]: Buffer.alloc(1),
    },
    ...change,
  });
}

export type Splits = Readonly<Record<DatasetFrame["split"], readonly Photo[]>>;

/** A dataset's folder; frames of GATE are listed and left out, as nothing may read them. */
export async function writeDataset(dir: string, slice: string, splits: Splits): Promise<void> {
  await mkdir(join(dir, "frames"), { recursive: true });
  const lines: string[] = [];
  for (const split of ["TRAIN", "TUNE", "GATE"] as const) {
    for (const { jpeg, label } of splits[split]) {
      const sha256 = createHash("sha256").update(jpeg).digest("hex");
      const file = `frames/${sha256}.jpg`;
      if (split !== "GATE") await writeFile(join(dir, file), jpeg);
      const frame: DatasetFrame = {
        file,
        sha256,
        label,
        labelSource: "PERSON",
        slice,
        split,
        frameId: "",
        deviceId: "",
        samplePropensity: null,
      };
      lines.push(`${JSON.stringify(frame)}\n`);
    }
  }
  await writeFile(join(dir, DATASET_MANIFEST), lines.join(""));
}

/** Everything below `dir`: 100 photos of the site to train on, 60 to tune; 200 and 60 of the others. */
export async function writeTraining(dir: string, outDir: string): Promise<LocalTraining> {
  const [parentDir, datasetDir, baseDir] = [join(dir, "parent"), join(dir, "dataset"), join(dir, "base")];
  const parentDigest = await writeDigits(parentDir);
  await writeDataset(datasetDir, "site=north", {
    TRAIN: await photos(1_197, 100, true),
    TUNE: await photos(1_297, 60, true),
    GATE: await photos(1_357, 5, true),
  });
  await writeDataset(baseDir, "base", {
    TRAIN: await photos(0, 200, false),
    TUNE: await photos(200, 60, false),
    GATE: [],
  });
  const job: TrainingJob = {
    runId: "digits",
    model: "digits",
    parentDigest,
    dataset: "digits/1",
    baseDataset: "digits/base",
    slice: "site=north",
    seed: "1",
    recipe: {
      ...recipeFor(100, 200),
      batch: 24,
      sliceFramesPerBatch: 12,
      matchedFramesPerBatch: 2,
      learningRateMax: 0.02,
      epochs: 30,
      basePassesMax: 1_000,
      flips: false,
      shiftMax: 0,
      calibrationFrames: 20,
      blends: [0.5, 1],
    },
  };
  return {
    job,
    parentDir,
    datasetDir,
    baseDir,
    outDir,
    limits: { threads: 1, memoryBytesMax: 2 ** 30, msMax: 600_000 },
  };
}
