/** Whether a model, its labels and its preprocessing fit together, from what the file declares. Pure. Everything that
 * does not fit is named at once, each with what to write instead. */
import { inputShape, type Preprocessing } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import type { ModelFacts, TensorFacts } from "@tributary/onnx";

export type Tensors = { readonly input: string; readonly logits: string; readonly features: string | null };
export type WantedTensors = { readonly input?: string; readonly logits?: string; readonly features?: string };

export function tensorsThatFit(
  facts: ModelFacts,
  labels: readonly string[],
  preprocessing: Preprocessing,
  wanted: WantedTensors,
): Tensors {
  const problems: string[] = [];
  const input = inputOf(facts, wanted.input, problems);
  const logits = logitsOf(facts, wanted.logits, labels.length, problems);
  const features = featuresOf(facts, wanted.features, logits?.name, problems);
  if (facts.opset === null) problems.push("opset: the file names none; save it with onnx.save from an exporter");
  if (input !== undefined) checkInput(input, preprocessing, problems);
  if (logits !== undefined) checkLogits(logits, labels.length, problems);
  if (problems.length > 0 || input === undefined || logits === undefined) {
    const made = `opset ${facts.opset ?? "?"}, made by ${facts.producer || "an unnamed tool"}`;
    throw new Failure("model-unfit", "ask-a-person", `the model (${made}) does not fit:\n  ${problems.join("\n  ")}`);
  }
  return { input: input.name, logits: logits.name, features };
}

function inputOf(facts: ModelFacts, wanted: string | undefined, problems: string[]): TensorFacts | undefined {
  const found = wanted === undefined ? facts.inputs[0] : facts.inputs.find(({ name }) => name === wanted);
  if (facts.inputs.length !== 1 || found === undefined) {
    problems.push(`input: one picture tensor is needed, the model has ${named(facts.inputs)}`);
  }
  return facts.inputs.length === 1 ? found : undefined;
}

function logitsOf(
  { outputs }: ModelFacts,
  wanted: string | undefined,
  classes: number,
  problems: string[],
): TensorFacts | undefined {
  if (wanted !== undefined) {
    const found = outputs.find(({ name }) => name === wanted);
    if (found === undefined) problems.push(`--logits ${wanted}: the model's outputs are ${named(outputs)}`);
    return found;
  }
  const fitting = outputs.filter(({ shape }) => shape?.at(-1) === classes);
  const found = outputs.find(({ name }) => name === "logits") ?? (outputs.length === 1 ? outputs[0] : undefined);
  if (found !== undefined) return found;
  if (fitting.length === 1) return fitting[0];
  problems.push(`logits: name their output with --logits: ${named(outputs)}`);
  return undefined;
}

function featuresOf(
  { outputs }: ModelFacts,
  wanted: string | undefined,
  logits: string | undefined,
  problems: string[],
): string | null {
  const name = wanted ?? "features";
  const isThere = name !== logits && outputs.some((output) => output.name === name);
  if (!isThere && wanted !== undefined) {
    problems.push(`--features ${wanted}: the model's outputs are ${named(outputs)}`);
  }
  return isThere ? name : null;
}

function checkInput({ name, type, shape }: TensorFacts, preprocessing: Preprocessing, problems: string[]): void {
  if (type !== "float32") {
    problems.push(
      `range: input "${name}" is ${type}, float32 is needed; put the cast (and the scaling) into the model`,
    );
  }
  if (shape === null) return;
  const [batch, ...own] = shape;
  if (shape.length !== 4) {
    problems.push(
      `shape: input "${name}" is ${shown(shape)}, a batch of pictures is needed: N x C x H x W or N x H x W x C`,
    );
    return;
  }
  if (typeof batch === "number" && batch !== 1) {
    problems.push(`shape: input "${name}" fixes its batch at ${batch}; export it with a free batch, or with 1`);
  }
  const [height, width] = sidesOf(preprocessing, own);
  const made = inputShape(preprocessing, width, height);
  if (own.every((size, i) => typeof size !== "number" || size === made[i])) return;
  problems.push(
    `shape: input "${name}" is ${shown(shape)}, the preprocessing makes N x ${made.join(" x ")}; ${cure(own, preprocessing)}`,
  );
}

/** What the preprocessing makes, or, without a resize, what the model takes. */
function sidesOf(preprocessing: Preprocessing, own: readonly (number | string)[]): readonly [number, number] {
  if (preprocessing.resize !== null) return [preprocessing.resize.height, preprocessing.resize.width];
  const sides = preprocessing.layout === "channels_first" ? own.slice(1) : own.slice(0, 2);
  return [Number(sides[0]) || 0, Number(sides[1]) || 0];
}

/** The other layouts, channel counts and sizes that would do. */
function cure(own: readonly (number | string)[], preprocessing: Preprocessing): string {
  const advice: string[] = [];
  const isFirst = own[0] === 1 || own[0] === 3;
  const layout = isFirst ? "channels_first" : "channels_last";
  if (!isFirst && own[2] !== 1 && own[2] !== 3) return "neither end of its shape is 1 or 3 channels";
  if (layout !== preprocessing.layout) advice.push(`"data_format": "${layout}"`);
  const channels = isFirst ? own[0] : own[2];
  if (channels === 1 && preprocessing.channelOrder !== "L")
    advice.push(`"channel_order": "L", "do_convert_rgb": false`);
  if (channels === 3 && preprocessing.channelOrder === "L")
    advice.push(`"channel_order": "RGB", "do_convert_rgb": true`);
  const [height, width] = isFirst ? own.slice(1) : own.slice(0, 2);
  const { resize } = preprocessing;
  if (
    typeof height === "number" &&
    typeof width === "number" &&
    (resize?.height !== height || resize.width !== width)
  ) {
    advice.push(`"size": {"height": ${height}, "width": ${width}}`);
  }
  return `write ${advice.join(", ")}`;
}

function checkLogits({ name, type, shape }: TensorFacts, classes: number, problems: string[]): void {
  if (type !== "float32") problems.push(`output "${name}" is ${type}, float32 is needed`);
  const last = shape?.at(-1);
  if (typeof last === "number" && last !== classes) {
    problems.push(`label count: "${name}" has ${last} classes, the labels file ${classes}`);
  }
}

const named = (tensors: readonly TensorFacts[]): string =>
  tensors.map(({ name, type, shape }) => `"${name}" (${type}, ${shape === null ? "?" : shown(shape)})`).join(", ") ||
  "none";
const shown = (shape: readonly (number | string)[]): string => shape.join(" x ");
