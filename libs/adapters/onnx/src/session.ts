/** An ONNX Runtime session, in the child.
 *
 * N1. The bytes that are loaded are the bytes that were hashed (G6).
 * N2. The file must match its manifest: tensor names, types, shapes and number of classes are checked before use, and against
 *     the model's real outputs by a trial run.
 * N3. A model whose weights are outside its file is refused: those bytes were not hashed (G6). */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { inputShape } from "@tributary/inference";
import { Failure, reasonOf } from "@tributary/kernel";
import ort from "onnxruntime-node";
import { placeOfTensors } from "./external-data.ts";
import type { ChildInit } from "./protocol.ts";
import { sessionOptions } from "./session-options.ts";

export type Outputs = { readonly logits: Float32Array; readonly features: Float32Array | null };

export class Session {
  readonly #session: ort.InferenceSession;
  readonly #init: ChildInit;
  /** Shape of one picture. */
  readonly shape: readonly number[];
  /** false: the file fixes its batch at one. */
  readonly isBatched: boolean;
  /** Length of the features, 0 without. */
  readonly featuresLength: number;

  private constructor(session: ort.InferenceSession, init: ChildInit, shape: readonly number[], features: number) {
    this.#session = session;
    this.#init = init;
    this.shape = shape;
    this.featuresLength = features;
    this.isBatched = typeof dimensionsOf(session, "input", init.tensors.input)[0] !== "number";
  }

  /** `known`, where it is of the same file, is not read and optimised again: only what it is given is prepared otherwise. */
  static async load(init: ChildInit, known: Session | null = null): Promise<Session> {
    const isKnown = known !== null && known.#init.modelSha256 === init.modelSha256;
    const session = isKnown ? known.#session : await open(init);
    const shape = checkAgainstManifest(session, init);
    const trial = new Session(session, init, shape, 0);
    const outputs = await trial.run(new Float32Array(product(shape)), 1, true).catch((error: unknown) => {
      throw new Failure("model-unloadable", "give-up", `${init.modelPath}: trial run: ${reasonOf(error)}`);
    });
    if (outputs.logits.length !== init.classes) {
      throw mismatch(init, `"${init.tensors.logits}" gives ${outputs.logits.length} values, ${init.classes} labels`);
    }
    return new Session(session, init, shape, outputs.features?.length ?? 0);
  }

  /** One run over `count` pictures. */
  async run(pictures: Float32Array, count: number, wantsFeatures: boolean): Promise<Outputs> {
    const { input, logits, features } = this.#init.tensors;
    const fetches = wantsFeatures && features !== null ? [logits, features] : [logits];
    const tensor = new ort.Tensor("float32", pictures, [count, ...this.shape]);
    const outputs = await this.#session.run({ [input]: tensor }, fetches);
    return {
      logits: outputs[logits]?.data as Float32Array,
      features: features === null || !wantsFeatures ? null : (outputs[features]?.data as Float32Array),
    };
  }
}

async function open(init: ChildInit): Promise<ort.InferenceSession> {
  const bytes = await readFile(init.modelPath);
  const digest = createHash("sha256").update(bytes).digest("hex");
  if (digest !== init.modelSha256) {
    throw new Failure("package-digest-mismatch", "give-up", `${init.modelPath}: SHA-256 is ${digest}`);
  }
  const place = placeOfTensors(bytes);
  if (place === "unreadable") {
    throw new Failure("model-unloadable", "give-up", `${init.modelPath}: it is no ONNX model that can be read`);
  }
  if (place === "outside") {
    const advice = "save it with its weights inside";
    throw new Failure("model-external-data", "give-up", `${init.modelPath}: it has tensors in other files; ${advice}`);
  }
  return await ort.InferenceSession.create(bytes, sessionOptions(init.threads, false)).catch((error: unknown) => {
    throw new Failure("model-unloadable", "give-up", `${init.modelPath}: ${reasonOf(error)}`, { cause: error });
  });
}

function checkAgainstManifest(session: ort.InferenceSession, init: ChildInit): readonly number[] {
  const { input, logits, features } = init.tensors;
  if (!session.inputNames.includes(input) || session.inputNames.length !== 1) {
    throw mismatch(init, `its inputs are ${session.inputNames.join(", ")}, the manifest lists ${input}`);
  }
  for (const output of features === null ? [logits] : [logits, features]) {
    if (!session.outputNames.includes(output)) {
      throw mismatch(init, `its outputs are ${session.outputNames.join(", ")}, the manifest lists ${output}`);
    }
    checkType(session, "output", output, init);
  }
  checkType(session, "input", input, init);

  const [batch, ...rest] = dimensionsOf(session, "input", input);
  const isFirst = init.preprocessing.layout === "channels_first";
  const modelHeight = rest[isFirst ? 1 : 0];
  const modelWidth = rest[isFirst ? 2 : 1];
  const height = init.preprocessing.resize?.height ?? modelHeight;
  const width = init.preprocessing.resize?.width ?? modelWidth;
  if (typeof height !== "number" || typeof width !== "number") {
    throw mismatch(init, "neither it nor preprocessor_config.json fixes the picture's size");
  }
  const shape = inputShape(init.preprocessing, width, height);
  const isSame = rest.length === shape.length && rest.every((size, i) => typeof size !== "number" || size === shape[i]);
  if (!isSame || (typeof batch === "number" && batch !== 1)) {
    const own = [batch, ...rest].join(" x ");
    throw mismatch(init, `"${input}" takes ${own}, preprocessor_config.json makes N x ${shape.join(" x ")}`);
  }
  const classes = dimensionsOf(session, "output", logits).at(-1);
  if (typeof classes === "number" && classes !== init.classes) {
    throw mismatch(init, `"${logits}" has ${classes} classes, labels.json ${init.classes}`);
  }
  return shape;
}

function checkType(session: ort.InferenceSession, side: "input" | "output", name: string, init: ChildInit): void {
  const metadata = metadataOf(session, side, name);
  const type = metadata?.isTensor ? metadata.type : "no tensor";
  if (type !== "float32") throw mismatch(init, `"${name}" is ${type}, not float32`);
}

function metadataOf(session: ort.InferenceSession, side: "input" | "output", name: string) {
  const all = side === "input" ? session.inputMetadata : session.outputMetadata;
  return all.find((metadata) => metadata.name === name);
}

function dimensionsOf(
  session: ort.InferenceSession,
  side: "input" | "output",
  name: string,
): readonly (number | string)[] {
  const metadata = metadataOf(session, side, name);
  // An unnamed dynamic dimension may come as -1.
  return metadata?.isTensor ? metadata.shape.map((size) => (size === -1 ? "?" : size)) : [];
}

const mismatch = (init: ChildInit, what: string) =>
  new Failure("model-manifest-mismatch", "give-up", `${init.modelPath} does not match its manifest: ${what}`);

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
