/**
 * The frames as the device sees them, decoded and resized once: a file of records of one size, each the picture's pixels (uint8, the
 * model's channels, interleaved) and the deployed model's logits. A batch reads its records; memory does not grow with the frames.
 *
 * A frame that does not decode, or that the device would refuse, is left out and counted. The file is kept for a resumed training, and
 * made anew where it is of other inputs or damaged. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "@tributary/kernel";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import { decodePicture, Normaliser, PIXELS_MAX } from "@tributary/onnx";
import { type GraphSession, openGraph } from "@tributary/onnx/graph-session";
import type { TrainingJob } from "@tributary/training";
import type { PictureSize } from "@tributary/training/local";
import { failure } from "./failures.ts";
import { checkEnough, type InputFrame, type Inputs, type Part } from "./inputs.ts";

const RECORDS = "frames.bin";
const INDEX = "frames.json";
const INDEX_BYTES_MAX = 64 << 20;
const FRAME_BYTES_MAX = 64 << 20;
const CHUNK_FRAMES = 32;

export type FrameFacts = Pick<InputFrame, "label" | "slice" | "part">;

type Index = {
  readonly key: string;
  /** Of the records. */
  readonly sha256: string;
  readonly size: PictureSize;
  /** In the order of their records. */
  readonly frames: readonly FrameFacts[];
  /** Frames that were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
};

export type FrameOptions = {
  readonly job: TrainingJob;
  readonly outDir: string;
  readonly threads: number;
  onProgress(done: number, all: number): void;
};

/** Opens what an earlier process made, or makes it. Close it. */
export async function openFrames(inputs: Inputs, options: FrameOptions): Promise<FrameFile> {
  const known = await knownIndex(inputs, options.outDir);
  const index = known ?? (await makeFrames(inputs, options));
  checkEnough(index.frames, options.job);
  const handle = await open(join(options.outDir, RECORDS), "r");
  return new FrameFile(handle, index, inputs.pkg.labels.length);
}

export async function removeFrames(outDir: string): Promise<void> {
  for (const file of [RECORDS, INDEX, `${RECORDS}.new`]) await rm(join(outDir, file), { force: true });
}

export type FrameRecord = { readonly pixels: Uint8Array; readonly logits: Float32Array };

export class FrameFile {
  readonly size: PictureSize;
  readonly notes: readonly string[];
  readonly #handle: FileHandle;
  readonly #frames: readonly FrameFacts[];
  readonly #records: Readonly<Record<Part, readonly number[]>>;
  readonly #pixelBytes: number;
  readonly #classes: number;

  constructor(handle: FileHandle, { size, frames, leftOut }: Index, classes: number) {
    this.#handle = handle;
    this.#frames = frames;
    this.size = size;
    this.#pixelBytes = size.width * size.height * size.channels;
    this.#classes = classes;
    const recordsOf = (part: Part) => frames.flatMap((frame, i) => (frame.part === part ? [i] : []));
    this.#records = {
      sliceTrain: recordsOf("sliceTrain"),
      sliceTune: recordsOf("sliceTune"),
      heldOut: recordsOf("heldOut"),
      baseTrain: recordsOf("baseTrain"),
      baseTune: recordsOf("baseTune"),
    };
    this.notes = Object.entries(leftOut).map(([reason, count]) => `${count} frames were left out: ${reason}`);
  }

  count(part: Part): number {
    return this.#records[part].length;
  }

  /** `index` below `count(part)`. */
  facts(part: Part, index: number): FrameFacts {
    return this.#frames[this.#records[part][index] as number] as FrameFacts;
  }

  async read(part: Part, index: number): Promise<FrameRecord> {
    const bytes = Buffer.alloc(recordBytes(this.#pixelBytes, this.#classes));
    const record = this.#records[part][index] as number;
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, record * bytes.length);
    if (bytesRead !== bytes.length) throw failure("training-failed", "retry", `${RECORDS} ends before frame ${record}`);
    const logits = new Float32Array(this.#classes);
    new Uint8Array(logits.buffer).set(bytes.subarray(this.#pixelBytes));
    return { pixels: bytes.subarray(0, this.#pixelBytes), logits };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

const recordBytes = (pixelBytes: number, classes: number): number => pixelBytes + 4 * classes;

async function knownIndex({ key, pkg }: Inputs, outDir: string): Promise<Index | null> {
  const bytes = await readBounded(join(outDir, INDEX), INDEX_BYTES_MAX);
  if (bytes === undefined || bytes === "too-large") return null;
  try {
    const index = JSON.parse(bytes.toString()) as Index;
    if (index.key !== key) return null;
    const { width, height, channels } = index.size;
    const hash = createHash("sha256");
    let length = 0;
    for await (const chunk of createReadStream(join(outDir, RECORDS), { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
    }
    const isWhole = length === index.frames.length * recordBytes(width * height * channels, pkg.labels.length);
    return isWhole && hash.digest("hex") === index.sha256 ? index : null;
  } catch {
    return null; // Damaged: it is made anew.
  }
}

async function makeFrames(inputs: Inputs, { outDir, threads, onProgress }: FrameOptions): Promise<Index> {
  await removeFrames(outDir);
  const maker = new FrameMaker(inputs, await openGraph(inputs.model, { threads }));
  const beside = join(outDir, `${RECORDS}.new`);
  const file = await open(beside, "w");
  const hash = createHash("sha256");
  try {
    for (let i = 0; i < inputs.frames.length; i += CHUNK_FRAMES) {
      const records = await maker.records(inputs.frames.slice(i, i + CHUNK_FRAMES));
      hash.update(records);
      await file.appendFile(records);
      onProgress(Math.min(inputs.frames.length, i + CHUNK_FRAMES), inputs.frames.length);
    }
    await file.sync();
  } finally {
    await file.close();
    await maker.close();
  }
  await rename(beside, join(outDir, RECORDS));
  const { size, frames, leftOut } = maker.found();
  const index: Index = { key: inputs.key, sha256: hash.digest("hex"), size, frames, leftOut };
  await writeDurably(join(outDir, INDEX), Buffer.from(JSON.stringify(index)));
  return index;
}

/** Prepares pictures exactly as the device does (child.ts of the adapter onnx). */
class FrameMaker {
  readonly #inputs: Inputs;
  readonly #session: GraphSession;
  readonly #normaliser: Normaliser;
  readonly #size: PictureSize;
  readonly #frames: FrameFacts[] = [];
  readonly #leftOut = new Map<string, number>();

  constructor(inputs: Inputs, session: GraphSession) {
    this.#inputs = inputs;
    this.#session = session;
    this.#normaliser = new Normaliser(inputs.pkg.preprocessing);
    this.#size = pictureSizeOf(inputs);
  }

  async records(frames: readonly InputFrame[]): Promise<Buffer> {
    const pictures = (await Promise.all(frames.map((frame) => this.#channelsOf(frame)))).filter((one) => one !== null);
    const pixelBytes = this.#size.width * this.#size.height * this.#size.channels;
    const classes = this.#inputs.pkg.labels.length;
    const size = recordBytes(pixelBytes, classes);
    const records = Buffer.alloc(size * pictures.length);
    const logits = await this.#logitsOf(pictures.map(({ channels }) => channels));
    for (const [i, { frame, channels }] of pictures.entries()) {
      records.set(channels, i * size);
      const own = logits.subarray(i * classes, (i + 1) * classes);
      records.set(new Uint8Array(own.buffer, own.byteOffset, own.byteLength), i * size + pixelBytes);
      this.#frames.push({ label: frame.label, slice: frame.slice, part: frame.part });
    }
    return records;
  }

  found(): Pick<Index, "size" | "frames" | "leftOut"> {
    return { size: this.#size, frames: this.#frames, leftOut: Object.fromEntries(this.#leftOut) };
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  async #channelsOf(frame: InputFrame): Promise<{ frame: InputFrame; channels: Uint8Array } | null> {
    const picture = await decodePicture(await readFrame(frame), this.#inputs.pkg.preprocessing, PIXELS_MAX);
    if (!picture.ok) return this.#leaveOut(picture.code);
    const { width, height } = this.#size;
    if (picture.width !== width || picture.height !== height) return this.#leaveOut("image-size-wrong");
    return { frame, channels: this.#normaliser.channels(picture.pixels) };
  }

  #leaveOut(reason: string): null {
    this.#leftOut.set(reason, (this.#leftOut.get(reason) ?? 0) + 1);
    return null;
  }

  async #logitsOf(pictures: readonly Uint8Array[]): Promise<Float32Array> {
    const { trainable, pkg } = this.#inputs;
    const [free, ...shape] =
      trainable.deployed.inputs.find(({ name }) => name === pkg.manifest.tensors.input)?.shape ?? [];
    const atOnce = typeof free === "number" ? free : Math.max(1, pictures.length);
    const all = new Float32Array(pictures.length * pkg.labels.length);
    for (let i = 0; i < pictures.length; i += atOnce) {
      const batch = pictures.slice(i, i + atOnce);
      const tensor = tensorOf(this.#normaliser, batch);
      const feeds = { [pkg.manifest.tensors.input]: { data: tensor, dims: [batch.length, ...shape.map(Number)] } };
      const outputs = await this.#session.run(feeds, [pkg.manifest.tensors.logits]);
      all.set(outputs[pkg.manifest.tensors.logits]?.data as Float32Array, i * pkg.labels.length);
    }
    return all;
  }
}

/** Normalised pictures of one size, one after another. */
export function tensorOf(normaliser: Normaliser, pictures: readonly Uint8Array[]): Float32Array {
  const length = pictures[0]?.length ?? 0;
  const tensor = new Float32Array(length * pictures.length);
  for (const [i, picture] of pictures.entries()) normaliser.write(picture, tensor, i * length);
  return tensor;
}

/** A dataset is frozen: a frame that is missing or another one is no reason to train on the rest. */
async function readFrame({ path, sha256 }: InputFrame): Promise<Buffer> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw failure("training-frame-missing", "ask-a-person", `${path}: ${reasonOf(error)}`, { cause: error });
  });
  if (bytes.length <= FRAME_BYTES_MAX && createHash("sha256").update(bytes).digest("hex") === sha256) return bytes;
  throw failure("training-frame-missing", "ask-a-person", `${path} is not the frame of the manifest; fetch it again`);
}

/** Of the model's input, from the preprocessing or, where it takes pictures as they are, from the graph. */
function pictureSizeOf({ pkg: { preprocessing }, trainable }: Inputs): PictureSize {
  const channels = preprocessing.scale.length;
  if (preprocessing.resize !== null) {
    return { width: preprocessing.resize.width, height: preprocessing.resize.height, channels };
  }
  const [, ...shape] = trainable.input.shape;
  const [height, width] = preprocessing.layout === "channels_first" ? shape.slice(1) : shape;
  if (typeof width === "number" && typeof height === "number") return { width, height, channels };
  const what = "neither the graph nor preprocessor_config.json fixes the picture's size";
  throw failure("training-parent-unsupported", "ask-a-person", what);
}
