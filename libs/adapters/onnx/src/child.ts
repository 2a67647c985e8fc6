/** The process that runs one model: takes JPEGs from its pipe, answers with logits. Started by `OnnxModelHost` alone.
 *
 * C1. It lives as long as the pipe: it exits with its parent, however that ends, so none is ever orphaned (inside a run of the
 *     session Linux kills it, child-model.ts H5). Signals of a terminal or a supervisor reach the parent, which
 *     closes the pipe once it has its answers.
 * C2. A picture cannot end it; only the model's own failure can. */
import { createHash } from "node:crypto";
import { Socket } from "node:net";
import { type Inference, type InferenceResult, noPicture, quantiseTensor, type RealTime } from "@tributary/inference";
import { Failure, reasonOf } from "@tributary/kernel";
import sharp from "sharp";
import { moveCompilers, moveOtherThreads, raiseThisProcess } from "./cores.ts";
import { Normaliser, pictureStatistics } from "./normaliser.ts";
import { decodePicture, type Picture } from "./preprocess.ts";
import {
  type ChildInit,
  type ChildReady,
  decodeInfer,
  decodeJson,
  encodeAnswers,
  encodeJson,
  type InferRequest,
  MessageReader,
  messageKinds,
  type PrepareInit,
} from "./protocol.ts";
import { Session } from "./session.ts";

const PIPE_FD = 3;

type Model = {
  readonly init: Pick<ChildInit, "preprocessing" | "pixelsMax">;
  readonly session: Pick<Session, "shape" | "isBatched" | "featuresLength" | "run">;
  /** Values per picture in `logits`. */
  readonly outputLength: number;
  readonly normaliser: Normaliser;
};

const [backgroundCore = "", realTimeJson = "null"] = process.argv.slice(2);
const realTime = JSON.parse(realTimeJson) as RealTime | null;
if (backgroundCore !== "") moveCompilers(backgroundCore);
sharp.concurrency(1);
sharp.cache(false);
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

const pipe = new Socket({ fd: PIPE_FD, readable: true, writable: true, allowHalfOpen: true });
let model: Model | null = null;
/** Kept when the same model is loaded with another preprocessing. */
let opened: Session | null = null;
let spareTensor: Float32Array | null = null;
let working = 0;
let isEnding = false;

const reader = new MessageReader((kind, body) => {
  switch (kind) {
    case messageKinds.init:
      return attend(load(decodeJson(body) as ChildInit));
    case messageKinds.prepare:
      return attend(prepare(decodeJson(body) as PrepareInit));
    case messageKinds.raise:
      return void raiseThisProcess(decodeJson(body) as RealTime);
    case messageKinds.infer:
      return attend(answer(infer, decodeInfer(body)));
    case messageKinds.inferTensors:
      return attend(answer(inferTensors, decodeInfer(body)));
    default:
      throw new RangeError(`a message of kind ${kind}`);
  }
});
pipe.on("data", (chunk: Buffer) => reader.push(chunk));
pipe.on("end", () => {
  isEnding = true;
  leaveWhenDone();
});
pipe.on("error", () => process.exit(0)); // C1: the parent is gone.
pipe.on("close", () => process.exit(0));

function attend(work: Promise<void>): void {
  working += 1;
  work.then(() => {
    working -= 1;
    leaveWhenDone();
  });
}

function leaveWhenDone(): void {
  if (isEnding && working === 0) pipe.end(() => process.exit(0));
}

async function load(init: ChildInit): Promise<void> {
  try {
    opened = await Session.load(init, opened);
    model = { init, session: opened, outputLength: init.classes, normaliser: new Normaliser(init.preprocessing) };
    // With the threads that decode pictures, which a frame waits for as well. Not before: loading computes for a second, and would keep
    // other models and the agent from the core that it shares with them.
    if (backgroundCore !== "") moveOtherThreads(backgroundCore);
    const notRaised = realTime === null ? null : raiseThisProcess(realTime);
    pipe.write(encodeJson(messageKinds.ready, { notRaised } satisfies ChildReady));
  } catch (error) {
    const code = error instanceof Failure ? error.code : "model-unloadable";
    pipe.write(encodeJson(messageKinds.refused, { code, message: reasonOf(error) }));
  }
}

/** A child without a model: it returns its input tensors instead of answers. */
async function prepare(init: PrepareInit): Promise<void> {
  const { shape, preprocessing } = init;
  // A copy: the tensor is filled again while the answer may still wait to be written.
  const run = async (tensor: Float32Array) => ({ logits: tensor.slice(), features: null });
  const outputLength = shape.reduce((all, side) => all * side, 1);
  const session = { shape, isBatched: true, featuresLength: 0, run };
  model = { init, session, outputLength, normaliser: new Normaliser(preprocessing) };
  pipe.write(encodeJson(messageKinds.ready, {}));
}

async function answer(by: typeof infer, request: InferRequest): Promise<void> {
  if (model === null) throw new Error("asked to infer before a model was loaded");
  pipe.write(encodeAnswers(request.id, await by(model, request)));
}

/** Tensors that somebody else preprocessed; there is no picture to describe. */
async function inferTensors({ session }: Model, request: InferRequest): Promise<readonly InferenceResult[]> {
  const size = session.shape.reduce((all, side) => all * side, 1);
  const results: InferenceResult[] = [];
  for (const bytes of request.jpegs) {
    if (bytes.length !== 4 * size) {
      const message = `${bytes.length} bytes, the model takes ${size} numbers of 4`;
      results.push({ ok: false, code: "tensor-size-wrong", message });
      continue;
    }
    const tensor = new Float32Array(size);
    new Uint8Array(tensor.buffer).set(bytes);
    const { logits } = await session.run(tensor, 1, false);
    const timingsMs = { preprocess: 0, run: 0 };
    results.push({
      ok: true,
      inference: {
        logits,
        features: null,
        tensorDigest: null,
        pixels: null,
        cells: null,
        picture: noPicture,
        timingsMs,
      },
    });
  }
  return results;
}

async function infer(model: Model, request: InferRequest): Promise<readonly InferenceResult[]> {
  const { init, session, normaliser, outputLength } = model;
  const start = performance.now();
  const decoded = await Promise.all(
    request.jpegs.map((jpeg) => decodePicture(jpeg, init.preprocessing, init.pixelsMax, request.want.cells)),
  );
  const pictures = decoded.map((picture) => withModelSize(picture, init, session));
  const good = pictures.filter((picture) => picture.ok);
  const size = session.shape.reduce((all, side) => all * side, 1);
  const tensor = takeTensor(size * good.length);
  const channels = good.map(({ pixels }) => normaliser.channels(pixels));
  for (let i = 0; i < good.length; i++) normaliser.write(channels[i] as Uint8Array, tensor, i * size);
  const ready = performance.now();

  const outputs = good.length === 0 ? null : await run(session, tensor, good.length, size, request.want.features);
  const preprocess = (ready - start) / Math.max(1, good.length);
  const runMs = (performance.now() - ready) / Math.max(1, good.length);
  let next = 0;
  const results = pictures.map((picture): InferenceResult => {
    if (!picture.ok) return picture;
    const i = next++;
    const part = (all: Float32Array, length: number) => all.subarray(i * length, (i + 1) * length);
    const features = outputs?.features ?? null;
    const inference: Inference = {
      logits: part(outputs?.logits as Float32Array, outputLength),
      features: features === null ? null : part(features, session.featuresLength),
      tensorDigest: request.want.tensorDigest ? sha256(quantiseTensor(part(tensor, size))) : null,
      pixels: request.want.pixels ? (channels[i] as Uint8Array) : null,
      cells: picture.cells,
      picture: pictureStatistics(picture.pixels, picture.width, picture.height, picture.jpeg),
      timingsMs: { preprocess, run: runMs },
    };
    return { ok: true, inference };
  });
  spareTensor = tensor;
  return results;
}

/** The tensor of the last request, if it fits: a fresh one for each picture costs a twentieth of its whole time. */
function takeTensor(length: number): Float32Array {
  const spare = spareTensor;
  spareTensor = null;
  return spare?.length === length ? spare : new Float32Array(length);
}

/** Without `do_resize`, a picture of another size than the model's is refused. */
function withModelSize(picture: Picture, init: Model["init"], session: Model["session"]): Picture {
  if (!picture.ok || init.preprocessing.resize !== null) return picture;
  const isFirst = init.preprocessing.layout === "channels_first";
  const [height, width] = isFirst ? session.shape.slice(1) : session.shape;
  if (picture.width === width && picture.height === height) return picture;
  const message = `${picture.width} x ${picture.height}, the model takes ${width} x ${height}`;
  return { ok: false, code: "image-size-wrong", message };
}

async function run(
  session: Model["session"],
  tensor: Float32Array,
  count: number,
  size: number,
  wantsFeatures: boolean,
) {
  if (session.isBatched || count === 1) return session.run(tensor, count, wantsFeatures);
  const parts = [];
  for (let i = 0; i < count; i++) {
    parts.push(await session.run(tensor.slice(i * size, (i + 1) * size), 1, wantsFeatures));
  }
  return {
    logits: joined(parts.map((part) => part.logits)),
    features: parts[0]?.features ? joined(parts.map((part) => part.features as Float32Array)) : null,
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const length = parts[0]?.length ?? 0;
  const all = new Float32Array(length * parts.length);
  for (const [i, part] of parts.entries()) all.set(part, i * length);
  return all;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
