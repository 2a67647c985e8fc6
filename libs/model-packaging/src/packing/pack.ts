/**
 * Makes a model package from an ONNX file and validation frames.
 *
 * Everything in a package is computed by the runtime that devices use, on frames the model was not trained on.
 *
 * K2. The same inputs give the same bytes, hence the same digest: nothing records a time or a path.
 * K3. What does not fit is named before anything is measured; what runs and yet only guesses is not packed. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import {
  buildReferenceSketch,
  type FaultCodebook,
  goldenReportFrames,
  type Inference,
  type ModelManifest,
  noPicture,
  packageFiles,
  parsePreprocessing,
} from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { loadPackage, type PackageParts, writePackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { halvesOf, type ValidationFrame, validationFrames } from "../validation/frames.ts";
import {
  encodeJson,
  type GoldenSource,
  goldenFiles,
  goldenPlaces,
  metricsOf,
  type Observed,
  observationsOf,
  sketchFiles,
  temperatureOf,
} from "./documents.ts";
import { cameraExamples, confusionOf, pipelineLogits } from "./drift-documents.ts";
import { tensorsThatFit } from "./fit.ts";
import { checkTrainerTensors, readTrainerFrames } from "./golden-tensors.ts";
import { countTo, observe, Readings } from "./observe.ts";
import { learnFirstPolicy, policyLines, readPolicySettings } from "./policy.ts";
import type { Json } from "./readings.ts";
import { readSources, type Sources } from "./sources.ts";
import { readingsThatFit, suspect } from "./suspect.ts";

/** In the lineage of a package that was made from half of the validation frames: the seed of the halves. */
export const SPLIT_SEED = "validationSplitSeed";

const GOLDEN_FRAMES = 16;

export type PackOptions = {
  readonly model: string;
  readonly labels: string;
  readonly preprocess: string;
  readonly validation: string;
  /** Packs on one half of the validation frames, drawn by this seed: the gate takes the other one. Undefined: on all. */
  readonly splitSeed?: string;
  /** Folder of JPEGs with the trainer's tensors beside them: the golden frames, which the preprocessing is compared with.
   * Undefined: some of the validation frames, without such a comparison. */
  readonly golden?: string;
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
  const tensors = tensorsThatFit(sources.facts, labels, sources.preprocessing, options);
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
    const trained = await trainerJpegs(draft, sources, options, progress);
    const run = new Readings(draft, draftParts, options.threads, progress);
    const inferences = await suspect(frames, sources, options, run.observe, progress).finally(() => run.close());
    const golden = trained ?? (await goldenJpegs(frames, labels.length));
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
      ...(await measure(
        draft,
        { observed, temperature, golden, config: sources.config, isOfDevices: cloud !== null },
        options.threads,
        progress,
      )),
      [packageFiles.calibration]: encodeJson({ method: "temperature", temperature }),
    };
    const more: Record<string, string> = {};
    if (cloud !== null) {
      progress(`routing policy against ${cloud.manifest.name} ${cloud.manifest.version}`);
      const answers = await ask(cloud.dir, frames, options.threads, progress);
      const learned = learnFirstPolicy(observed, temperature, answers, settings);
      files[packageFiles.policy] = encodeJson(learned.policy);
      more.routingPolicyLearnedAgainst = `${cloud.manifest.name} ${cloud.manifest.version} ${cloud.digest}`;
      for (const line of policyLines(learned)) progress(line);
    }
    return await writePackage(dir, parts(files, metrics, more));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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

/** The frames that `--golden` gives, once the preprocessing makes their tensors; null without. */
async function trainerJpegs(
  draft: string,
  sources: Sources,
  { golden, preprocess, threads, ...wanted }: PackOptions,
  progress: (line: string) => void,
): Promise<readonly Uint8Array[] | null> {
  if (golden === undefined) return null;
  const frames = await readTrainerFrames(golden);
  const described = { config: sources.config, readings: readingsThatFit(sources, wanted), path: preprocess };
  await checkTrainerTensors(described, frames, () => new OnnxModelHost(loadPackage).load(draft, { threads }));
  progress(`${frames.length} golden frames: the preprocessing makes the trainer's tensors`);
  return frames.map(({ jpeg }) => jpeg);
}

const goldenJpegs = (frames: readonly ValidationFrame[], classes: number): Promise<readonly Uint8Array[]> =>
  Promise.all(
    goldenPlaces(frames, GOLDEN_FRAMES, classes).map((place) => readFile((frames[place] as ValidationFrame).path)),
  );

type Measured = {
  readonly observed: Observed;
  readonly temperature: number;
  /** JPEGs of the golden frames. */
  readonly golden: readonly Uint8Array[];
  readonly config: Json;
  /** Whether devices run it: only they have cameras whose faults are to be named. */
  readonly isOfDevices: boolean;
};

/** Golden frames, reference sketches, and what drift is named with. */
async function measure(
  dir: string,
  { observed, temperature, golden: jpegs, config, isOfDevices }: Measured,
  threads: number,
  progress: (line: string) => void,
): Promise<Readonly<Record<string, Uint8Array>>> {
  const { labels } = observed;
  const observations = observationsOf(observed, temperature);
  const sketch = buildReferenceSketch(observations, labels.length, 2);
  const golden: GoldenSource[] = [];
  const model = await new OnnxModelHost(loadPackage).load(dir, { threads });
  try {
    // One by one, as a device does it: a batch may round otherwise.
    for (const jpeg of jpegs) {
      const result = await model.infer(jpeg, { tensorDigest: true, pixels: true });
      if (!result.ok) throw new Failure(result.code, "ask-a-person", `a golden frame: ${result.message}`);
      golden.push({ jpeg, inference: result.inference });
    }
    progress(
      "recording what faults look like, so that they can be recognised on devices; none of them is a fault of this model",
    );
    const pipeline = await pipelineLogits(model, golden, config);
    progress(recognisable("preprocessing", pipeline));
    const isResizing = parsePreprocessing(config).resize !== null;
    const named = isOfDevices
      ? await cameraExamples(model, temperature, observed, observations, sketch, isResizing)
      : null;
    if (named !== null) progress(recognisable("cameras", named.examples));
    const faults: FaultCodebook = {
      formatVersion: 1,
      frames: goldenReportFrames(labels.length, golden.length),
      pipeline,
      camera: [],
    };
    const confusion = confusionOf(observed, observations, sketch);
    return {
      ...goldenFiles(golden),
      ...sketchFiles(observations, labels.length),
      [packageFiles.faults]: encodeJson(faults, 0),
      ...(named !== null && { [packageFiles.cameraFaults]: encodeJson({ formatVersion: 1, ...named }, 0) }),
      ...(confusion !== null && { [packageFiles.confusion]: encodeJson(confusion, 0) }),
    };
  } finally {
    await model.close();
  }
}

function recognisable(where: string, faults: readonly { readonly name: string }[]): string {
  const names = new Set(faults.map(({ name }) => name));
  return `  ${names.size} faults of ${where} can be recognised on devices later: ${[...names].join(", ")}`;
}

async function ask(
  dir: string,
  frames: readonly ValidationFrame[],
  threads: number,
  progress: (line: string) => void,
): Promise<readonly Inference[]> {
  const model = await new OnnxModelHost(loadPackage).load(dir, { threads });
  try {
    return await observe(model, frames, {}, countTo(frames, progress));
  } finally {
    await model.close();
  }
}

function standIns(frame: ValidationFrame, labels: readonly string[]): Readonly<Record<string, Uint8Array>> {
  const label = labels[frame.label] as string;
  const sketch = buildReferenceSketch(
    [{ label, confidence: 0.5, margin: 0.1, entropy: 0.5, picture: noPicture }],
    labels.length,
  );
  const golden = { jpeg: "golden/none.jpg", pixels: "golden/none.rgb", tensorDigest: "0".repeat(64) };
  return {
    [packageFiles.calibration]: encodeJson({ method: "temperature", temperature: 1 }),
    [packageFiles.referenceSketch]: encodeJson(sketch),
    [packageFiles.goldenIndex]: encodeJson({ formatVersion: 1, frames: [{ ...golden, logits: labels.map(() => 0) }] }),
    [golden.jpeg]: new Uint8Array(1),
    [golden.pixels]: new Uint8Array(1),
  };
}
