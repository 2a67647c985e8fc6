/** What `tributary models pack` decides of a description, without a process for every reading: pixels are decoded once by the child
 * that devices use, the device's own code makes the tensors, the model runs here, and its answers are cached. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Inference,
  inputShape,
  noPicture,
  type Preprocessing,
  packageFiles,
  parsePreprocessing,
} from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { packModel, suspect, tensorsThatFit, type ValidationFrame } from "@tributary/model-packaging";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";
import { type ModelFacts, modelFacts, Normaliser, PreprocessHost } from "@tributary/onnx";
import { Session } from "@tributary/onnx/session";
import type { SampleFrame } from "@tributary/testing";
import type { Description } from "./faults.ts";
import type { Json } from "./models.ts";
import type { Task } from "./tasks.ts";

export type Outcome = {
  /** Whether it was rejected, and the messages: the error, or warnings and notes. */
  readonly isRefused: boolean;
  readonly messages: string;
};

const COMMITTED = fileURLToPath(new URL("../../../../models/edge-resnet8/", import.meta.url));
const BATCH = 50;

export class Packer {
  readonly #task: Task;
  readonly #session: Session;
  readonly #pixels = new Map<string, Map<SampleFrame, Uint8Array>>();
  readonly #logits = new Map<string, Map<SampleFrame, Float32Array>>();

  private constructor(task: Task, session: Session) {
    this.#task = task;
    this.#session = session;
  }

  static async of(task: Task): Promise<Packer> {
    const folder = await mkdtemp(join(tmpdir(), "tributary-bench-packing-"));
    try {
      const modelPath = join(folder, "model.onnx");
      await writeFile(modelPath, task.model);
      const modelSha256 = createHash("sha256").update(task.model).digest("hex");
      const preprocessing = parsePreprocessing(task.described);
      const tensors = tensorsThatFit(factsOf(task), task.labels, preprocessing, {});
      const init = { modelPath, modelSha256, tensors, classes: task.labels.length, preprocessing };
      return new Packer(task, await Session.load({ ...init, threads: 1, pixelsMax: 0 }));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** As `packModel` begins: the fit, then what is suspected. */
  async outcome({ config, labels }: Description, photos: readonly SampleFrame[]): Promise<Outcome> {
    const frames = this.#framesOf(photos, labels);
    const lines: string[] = [];
    try {
      const preprocessing = parsePreprocessing(config);
      const facts = factsOf(this.#task);
      tensorsThatFit(facts, labels, preprocessing, {});
      const sources = { files: {}, facts, labels, preprocessing, config, lineage: {} };
      const run = async (other: Json | null, some: readonly ValidationFrame[]) =>
        this.#run(
          other ?? config,
          some.map(({ file }) => photos[Number.parseInt(file, 10)] as SampleFrame),
        );
      await suspect(frames, sources, pathsOf(""), run, (line) => lines.push(line));
      return { isRefused: false, messages: lines.filter((line) => /^(warning|note):/.test(line)).join("\n") };
    } catch (error) {
      if (error instanceof Failure) return { isRefused: true, messages: error.message };
      throw error;
    }
  }

  /** The same through the whole of `packModel`, with files and processes. */
  async wholeOutcome({ config, labels }: Description, photos: readonly SampleFrame[]): Promise<Outcome> {
    const folder = await mkdtemp(join(tmpdir(), "tributary-bench-packing-"));
    try {
      const paths = pathsOf(folder);
      await mkdir(paths.validation);
      const frames = this.#framesOf(photos, this.#task.labels);
      const named = frames.map(({ file, label }) => [file, this.#task.labels[label]]);
      await writeFile(join(paths.validation, "labels.json"), JSON.stringify(Object.fromEntries(named)));
      for (const [i, { jpeg }] of photos.entries()) await writeFile(join(paths.validation, fileOf(i)), jpeg);
      await writeFile(paths.model, this.#task.model);
      await writeFile(paths.labels, JSON.stringify(labels));
      await writeFile(paths.preprocess, JSON.stringify(config));
      const lines: string[] = [];
      const made = { version: "1.0.0", preprocessedBy: "jpeg", hardwareClass: "any", latencyBudgetMs: 50 } as const;
      await packModel(join(folder, "package"), { ...paths, ...made, threads: 1 }, (line) => lines.push(line));
      const messages = lines.filter((line) => /^(warning|note):/.test(line)).join("\n");
      return { isRefused: false, messages: messages.replaceAll(`${folder}/`, "") };
    } catch (error) {
      if (error instanceof Failure) return { isRefused: true, messages: error.message.replaceAll(`${folder}/`, "") };
      throw error;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Whether each photo is classified rightly, by name; all wrong where it does not run. */
  async right({ config, labels }: Description, photos: readonly SampleFrame[]): Promise<readonly boolean[]> {
    try {
      tensorsThatFit(factsOf(this.#task), labels, parsePreprocessing(config), {});
      const inferences = await this.#run(config, photos);
      return inferences.map(({ logits }, i) => {
        const best = logits.indexOf(Math.max(...logits));
        return labels[best] === this.#task.labels[(photos[i] as SampleFrame).label];
      });
    } catch (error) {
      if (error instanceof Failure) return photos.map(() => false);
      throw error;
    }
  }

  #framesOf(photos: readonly SampleFrame[], labels: readonly string[]): readonly ValidationFrame[] {
    return photos.map(({ label }, i) => {
      const file = fileOf(i);
      return { file, path: file, label: labels.indexOf(this.#task.labels[label] as string), slice: "base" };
    });
  }

  async #run(config: Json, photos: readonly SampleFrame[]): Promise<readonly Inference[]> {
    const preprocessing = parsePreprocessing(config);
    const key = JSON.stringify(preprocessing);
    const known = this.#logits.get(key) ?? new Map<SampleFrame, Float32Array>();
    this.#logits.set(key, known);
    const unknown = photos.filter((photo) => !known.has(photo));
    const pixels = unknown.length === 0 ? null : await this.#pixelsOf(preprocessing, unknown);
    for (let from = 0; from < unknown.length; from += BATCH) {
      const batch = unknown.slice(from, from + BATCH);
      const logits = await this.#logitsOf(
        preprocessing,
        batch.map((photo) => pixels?.get(photo) as Uint8Array),
      );
      batch.forEach((photo, i) => {
        known.set(photo, logits[i] as Float32Array);
      });
    }
    const rest = { features: null, tensorDigest: null, pixels: null, cells: null, picture: noPicture };
    const timingsMs = { preprocess: 0, run: 0 };
    return photos.map((photo) => ({ logits: known.get(photo) as Float32Array, ...rest, timingsMs }));
  }

  async #logitsOf(preprocessing: Preprocessing, pixels: readonly Uint8Array[]): Promise<readonly Float32Array[]> {
    const { resize } = preprocessing;
    const shape = inputShape(preprocessing, resize?.width ?? 0, resize?.height ?? 0);
    const size = shape.reduce((all, side) => all * side, 1);
    const normaliser = new Normaliser(preprocessing);
    const tensor = new Float32Array(size * pixels.length);
    pixels.forEach((rgb, i) => {
      normaliser.write(normaliser.channels(rgb), tensor, i * size);
    });
    const { logits } = await this.#session.run(tensor, pixels.length, false);
    const classes = logits.length / pixels.length;
    return pixels.map((_, i) => logits.slice(i * classes, (i + 1) * classes));
  }

  /** Resized pixels, RGB, of these photos. */
  async #pixelsOf(
    { resize, library }: Preprocessing,
    photos: readonly SampleFrame[],
  ): Promise<ReadonlyMap<SampleFrame, Uint8Array>> {
    // No photo of a task has its model's size.
    if (resize === null)
      throw new Failure("image-size-wrong", "ask-a-person", "the photos have another size than the model takes");
    const key = JSON.stringify([resize, library]);
    const known = this.#pixels.get(key) ?? new Map<SampleFrame, Uint8Array>();
    this.#pixels.set(key, known);
    const unknown = photos.filter((photo) => !known.has(photo));
    if (unknown.length === 0) return known;
    const folder = await mkdtemp(join(tmpdir(), "tributary-bench-packing-"));
    try {
      await writeRawPackage(join(folder, "raw"), resize, library);
      const child = await new PreprocessHost(loadPackage, readPackageFile).load(join(folder, "raw"), { threads: 1 });
      for (let from = 0; from < unknown.length; from += BATCH) {
        const batch = unknown.slice(from, from + BATCH);
        const prepared = await child.prepare(batch.map(({ jpeg }) => jpeg));
        prepared.forEach((one, i) => {
          if (!one.ok) throw new Error(one.message);
          known.set(batch[i] as SampleFrame, Uint8Array.from(one.tensor));
        });
      }
      await child.close();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return known;
  }
}

/** A committed package whose tensors are the resized pixels, 0 to 255, RGB, interleaved. */
async function writeRawPackage(
  dir: string,
  resize: NonNullable<Preprocessing["resize"]>,
  library: Preprocessing["library"],
): Promise<void> {
  const pkg = await loadPackage(COMMITTED);
  const { files, formatVersion: _, ...manifest } = pkg.manifest;
  const read = await Promise.all(
    Object.keys(files).map(async (path) => [path, await readPackageFile(pkg, path)] as const),
  );
  const config = {
    size: { height: resize.height, width: resize.width },
    resample: { nearest: 0, lanczos: 1, bilinear: 2, bicubic: 3, box: 4, hamming: 5 }[resize.kernel],
    image_library: library,
    do_rescale: false,
    do_normalize: false,
    data_format: "channels_last",
  };
  const preprocessor = new TextEncoder().encode(JSON.stringify(config));
  await writePackage(dir, {
    ...manifest,
    files: { ...Object.fromEntries(read), [packageFiles.preprocessor]: preprocessor },
  });
}

function factsOf({ name, model }: Task): ModelFacts {
  const facts = modelFacts(model);
  if (facts === null) throw new Error(`${name}: no model`);
  return facts;
}

const fileOf = (place: number): string => `${String(place).padStart(5, "0")}.jpg`;

const pathsOf = (folder: string) => ({
  model: join(folder, "model.onnx"),
  labels: join(folder, "labels.json"),
  preprocess: join(folder, "preprocess.json"),
  validation: join(folder, "validation"),
});
