/**
 * Makes a model package from an ONNX file and validation frames.
 *
 * K1. Everything in a package is computed by the runtime that devices use, on frames the model was not trained on.
 * K2. The same inputs give the same bytes, hence the same digest: nothing records a time or a path.
 * K3. What does not fit is named before anything is measured; what runs and yet only guesses is not packed.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import {
  buildReferenceSketch,
  type Inference,
  type ModelManifest,
  type PictureStatistics,
  packageFiles,
} from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { loadPackage, type PackageParts, writePackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import {
  encodeJson,
  type GoldenSource,
  goldenFiles,
  goldenPlaces,
  metricsOf,
  type Observed,
  sketchOf,
  temperatureOf,
} from "./documents.ts";
import { tensorsThatFit } from "./fit.ts";
import { observe } from "./observe.ts";
import { learnFirstPolicy, policyLines, readPolicySettings } from "./policy.ts";
import { parseJson, readSources, type Sources } from "./sources.ts";
import { isClearlyBetter, isGuessing, type Json, otherLabelOrder, otherReadings } from "./suspicions.ts";
import { halvesOf, type ValidationFrame, validationFrames } from "./validation-frames.ts";

/** In the lineage of a package that was made from half of the validation frames: the seed of the halves. */
export const SPLIT_SEED = "validationSplitSeed";

const GOLDEN_FRAMES = 16;
/** Frames on which the usual mistakes are tried. */
const SUSPICIOUS_FRAMES = 200;
/** Below it they are. */
const UNSUSPICIOUS_ACCURACY = 0.9;

export type PackOptions = {
  readonly model: string;
  readonly labels: string;
  readonly preprocess: string;
  readonly validation: string;
  /** Packs on one half of the validation frames, drawn by this seed: the gate takes the other one. Undefined: on all. */
  readonly splitSeed?: string;
  readonly lineage?: string;
  readonly name?: string;
  readonly version: string;
  readonly input?: string;
  readonly logits?: string;
  readonly features?: string;
  readonly preprocessedBy: ModelManifest["input"];
  readonly hardwareClass: string;
  readonly latencyBudgetMs: number;
  readonly threads: number;
  readonly cloud?: string;
  readonly policy?: string;
};

export async function packModel(dir: string, options: PackOptions, progress: (line: string) => void): Promise<Digest> {
  const sources = await readSources(options);
  const { labels } = sources;
  const tensors = tensorsThatFit(sources.facts, labels, sources.preprocessing, options); // K3
  const all = await validationFrames(options.validation, labels);
  const { splitSeed } = options;
  const frames = splitSeed === undefined ? all : halvesOf(all, splitSeed).packing;
  const settings = await readPolicySettings(options.policy);
  const cloud = options.cloud === undefined ? null : await cloudPackage(options.cloud, labels);
  const name = options.name ?? basename(resolve(dir));
  const parts = (files: PackageParts["files"], metrics: PackageParts["metrics"], more: ModelManifest["lineage"]) =>
    ({
      name,
      version: options.version,
      input: options.preprocessedBy,
      tensors,
      hardwareClass: options.hardwareClass,
      latencyBudgetMs: options.latencyBudgetMs,
      metrics,
      lineage: { ...sources.lineage, ...more, ...(splitSeed !== undefined && { [SPLIT_SEED]: splitSeed }) },
      files: { ...sources.files, ...files },
    }) satisfies PackageParts;

  const folder = await mkdtemp(join(tmpdir(), "tributary-pack-"));
  try {
    // Measuring needs a package that loads; its stand-in documents never leave this folder.
    const draft = join(folder, "draft");
    const draftParts = parts(standIns(frames[0] as ValidationFrame, labels), {}, {});
    await writePackage(draft, draftParts);
    progress(`${name}: ${frames.length} validation frames, ${labels.length} classes, opset ${sources.facts.opset}`);
    await suspect(draft, draftParts, frames, sources, options, progress);
    const { inferences, golden } = await measure(draft, frames, labels.length, options, progress);
    const observed: Observed = { frames, inferences, labels };
    const temperature = temperatureOf(observed);
    const metrics = metricsOf(observed, temperature);
    progress(
      `temperature ${temperature}, ${Object.entries(metrics)
        .map(([name, value]) => `${name} ${value}`)
        .join(", ")}`,
    );
    if (areProbabilities(inferences)) {
      progress(`note: "${tensors.logits}" adds up to 1 on every frame: probabilities; logits would calibrate better`);
    }

    const files: Record<string, Uint8Array> = {
      ...goldenFiles(golden),
      [packageFiles.calibration]: encodeJson({ method: "temperature", temperature }),
      [packageFiles.referenceSketch]: encodeJson(sketchOf(observed, temperature)),
    };
    const more: Record<string, string> = {};
    if (cloud !== null) {
      progress(`routing policy against ${cloud.manifest.name} ${cloud.manifest.version}`);
      const said = await ask(cloud.dir, frames, options.threads, {}, progress);
      const learned = learnFirstPolicy(observed, temperature, said, settings);
      files[packageFiles.policy] = encodeJson(learned.policy);
      more.routingPolicyLearnedAgainst = `${cloud.manifest.name} ${cloud.manifest.version} ${cloud.digest}`;
      for (const line of policyLines(learned)) progress(line);
    }
    return await writePackage(dir, parts(files, metrics, more));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** K3: tries the usual mistakes on some frames, tells what is probably wrong, and refuses a model that only guesses. */
async function suspect(
  draft: string,
  parts: PackageParts,
  frames: readonly ValidationFrame[],
  { labels }: Sources,
  options: PackOptions,
  progress: (line: string) => void,
): Promise<void> {
  const step = Math.max(1, Math.floor(frames.length / SUSPICIOUS_FRAMES));
  const some = frames.filter((_, i) => i % step === 0);
  const truth = some.map(({ label }) => label);
  const predict = async (dir: string) => (await ask(dir, some, options.threads, {}, () => {})).map(bestOf);
  const own = await predict(draft);
  const right = own.map((label, i) => label === truth[i]);
  const accuracy = right.filter(Boolean).length / right.length;
  if (accuracy >= UNSUSPICIOUS_ACCURACY) return;
  const suspicions: string[] = [];
  const order = otherLabelOrder(own, truth, labels);
  if (order !== null) suspicions.push(`the labels file is in another order; this one fits: ${order.join(", ")}`);
  const config = parseJson(
    "--preprocess",
    options.preprocess,
    parts.files[packageFiles.preprocessor] as Uint8Array,
  ) as Json;
  for (const { what, config: other } of otherReadings(config)) {
    const dir = `${draft}-other`;
    await writePackage(dir, { ...parts, files: { ...parts.files, [packageFiles.preprocessor]: encodeJson(other) } });
    const others = (await predict(dir)).map((label, i) => label === truth[i]);
    if (isGuessing(others, truth) || !isClearlyBetter(others, right)) continue;
    suspicions.push(`${what} is right on ${percent(others.filter(Boolean).length / others.length)} of them`);
  }
  const told = suspicions.map((suspicion) => `\n  ${suspicion}`).join("");
  const found = `right on ${percent(accuracy)} of ${some.length} validation frames`;
  if (isGuessing(right, truth)) {
    const probably = told === "" ? "\n  are these the frames and labels that it was trained for?" : told;
    throw new Failure(
      "model-only-guesses",
      "ask-a-person",
      `the model is ${found}, no better than guessing:${probably}`,
    );
  }
  if (told !== "") progress(`warning: the model is ${found}; the preprocessing may be wrong:${told}`);
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function bestOf({ logits }: Inference): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}

const areProbabilities = (inferences: readonly Inference[]): boolean =>
  inferences.every(({ logits }) => {
    const sum = logits.reduce((all, value) => all + value, 0);
    return Math.abs(sum - 1) < 1e-3 && logits.every((value) => value >= 0);
  });

async function cloudPackage(dir: string, labels: readonly string[]) {
  const cloud = await loadPackage(dir);
  if (cloud.labels.length === labels.length && cloud.labels.every((label, i) => label === labels[i])) return cloud;
  const other = cloud.labels.findIndex((label, i) => label !== labels[i]);
  const [theirs, ours] = [cloud.labels, labels].map((all) =>
    other < 0 ? `${all.length} labels` : (all[other] ?? "none"),
  );
  const message = `--cloud ${dir}: its labels are others (there ${theirs}, here ${ours}); both models must name the same classes`;
  throw new Failure("pack-labels-differ", "ask-a-person", message);
}

async function measure(
  dir: string,
  frames: readonly ValidationFrame[],
  classes: number,
  options: PackOptions,
  progress: (line: string) => void,
) {
  const inferences = await ask(dir, frames, options.threads, {}, progress);
  const chosen = goldenPlaces(frames, GOLDEN_FRAMES, classes).map((place) => frames[place] as ValidationFrame);
  // One by one, as a device does it: a batch may round otherwise.
  const golden: GoldenSource[] = [];
  for (const frame of chosen) {
    const [inference] = await ask(dir, [frame], options.threads, { tensorDigest: true, pixels: true }, () => {});
    golden.push({ jpeg: await readFile(frame.path), inference: inference as Inference });
  }
  return { inferences, golden };
}

async function ask(
  dir: string,
  frames: readonly ValidationFrame[],
  threads: number,
  want: { readonly tensorDigest?: true; readonly pixels?: true },
  progress: (line: string) => void,
): Promise<readonly Inference[]> {
  const model = await new OnnxModelHost(loadPackage).load(dir, { threads });
  try {
    return await observe(model, frames, want, (done) => {
      if (done % 1_000 < 32 || done === frames.length) progress(`  ${done} of ${frames.length}`);
    });
  } finally {
    await model.close();
  }
}

function standIns(frame: ValidationFrame, labels: readonly string[]): Readonly<Record<string, Uint8Array>> {
  const picture: PictureStatistics = { channelMeans: [0.5, 0.5, 0.5], channelSds: [0.2, 0.2, 0.2], luminance: 0.5 };
  const label = labels[frame.label] as string;
  const sketch = buildReferenceSketch([{ label, confidence: 0.5, margin: 0.1, entropy: 0.5, picture }], labels.length);
  const golden = { jpeg: "golden/none.jpg", pixels: "golden/none.rgb", tensorDigest: "0".repeat(64) };
  return {
    [packageFiles.calibration]: encodeJson({ method: "temperature", temperature: 1 }),
    [packageFiles.referenceSketch]: encodeJson(sketch),
    [packageFiles.goldenIndex]: encodeJson({ formatVersion: 1, frames: [{ ...golden, logits: labels.map(() => 0) }] }),
    [golden.jpeg]: new Uint8Array(1),
    [golden.pixels]: new Uint8Array(1),
  };
}
