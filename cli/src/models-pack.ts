/**
 * `tributary models pack`: makes a model package from an ONNX file and validation frames.
 *
 * K1. Everything in a package is computed by the runtime that devices use, on frames the model was not trained on.
 * K2. The same inputs give the same bytes, hence the same digest: nothing records a time or a path.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  buildReferenceSketch,
  type Inference,
  type ModelManifest,
  type PictureStatistics,
  packageFiles,
  parseLabels,
} from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { loadPackage, type PackageParts, writePackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { Command, InvalidArgumentError } from "commander";
import {
  encodeJson,
  type GoldenSource,
  goldenFiles,
  goldenPlaces,
  metricsOf,
  type Observed,
  sketchOf,
  temperatureOf,
} from "./packing/documents.ts";
import { observe } from "./packing/observe.ts";
import { learnFirstPolicy, readPolicySettings } from "./packing/policy.ts";
import { type ValidationFrame, validationFrames } from "./packing/validation-frames.ts";

const GOLDEN_FRAMES = 16;

type Options = {
  readonly source: string;
  readonly validation: string;
  readonly out: string;
  readonly name: string;
  readonly version: string;
  readonly hardwareClass: string;
  readonly latencyBudgetMs: number;
  readonly threads: number;
  readonly cloud?: string;
  readonly policy?: string;
};

const atLeast = (min: number) => (text: string) => {
  const value = Number(text);
  if (!(value >= min)) throw new InvalidArgumentError(`a number from ${min} is needed.`);
  return value;
};

export function modelsPackCommand(): Command {
  return new Command("pack")
    .description("make a model package from an ONNX file, measured on validation frames")
    .requiredOption("--source <DIR>", "model.onnx, labels.json, preprocessor_config.json and, if any, lineage.json")
    .requiredOption("--validation <DIR>", "JPEG frames the model was not trained on, and labels.json: file -> class")
    .requiredOption("--out <DIR>", "where the package goes; replaced as a whole")
    .requiredOption("--name <NAME>", "name of the model")
    .requiredOption("--version <VERSION>", "its version")
    .option("--hardware-class <CLASS>", "the devices it is made for", "generic")
    .option("--latency-budget-ms <MS>", "time it may take for one frame there", atLeast(1), 50)
    .option("--threads <N>", "threads for measuring", atLeast(1), 1)
    .option("--cloud <DIR>", "package of the cloud model: also learn the first routing policy against it")
    .option("--policy <FILE>", "settings of that policy as JSON: budget, deadline, priority labels, guarantee, ...")
    .action(async (options: Options) => {
      const digest = await packModel(options, (line) => process.stderr.write(`${line}\n`));
      process.stdout.write(`${digest}\n`);
    });
}

export async function packModel(options: Options, progress: (line: string) => void): Promise<Digest> {
  const sources = await readSources(options.source);
  const labels = parseLabels(JSON.parse(new TextDecoder().decode(sources[packageFiles.labels])));
  const frames = await validationFrames(options.validation, labels);
  const settings = await readPolicySettings(options.policy);
  const lineage = await readLineage(options.source);
  const parts = (files: PackageParts["files"], metrics: PackageParts["metrics"], more: ModelManifest["lineage"]) =>
    ({
      name: options.name,
      version: options.version,
      input: "jpeg",
      tensors: { input: "input", logits: "logits", features: "features" },
      hardwareClass: options.hardwareClass,
      latencyBudgetMs: options.latencyBudgetMs,
      metrics,
      lineage: { ...lineage, ...more },
      files: { ...sources, ...files },
    }) satisfies PackageParts;

  const folder = await mkdtemp(join(tmpdir(), "tributary-pack-"));
  try {
    // Measuring needs a package that loads; its stand-in documents never leave this folder.
    const draft = join(folder, "draft");
    await writePackage(draft, parts(standIns(frames[0] as ValidationFrame, labels), {}, {}));
    progress(`${options.name}: ${frames.length} validation frames`);
    const { inferences, golden } = await measure(draft, frames, labels.length, options, progress);
    const observed: Observed = { frames, inferences, labels };
    const temperature = temperatureOf(observed);
    const metrics = metricsOf(observed, temperature);
    progress(
      `temperature ${temperature}, ${Object.entries(metrics)
        .map(([name, value]) => `${name} ${value}`)
        .join(", ")}`,
    );

    const files: Record<string, Uint8Array> = {
      ...goldenFiles(golden),
      [packageFiles.calibration]: encodeJson({ method: "temperature", temperature }),
      [packageFiles.referenceSketch]: encodeJson(sketchOf(observed, temperature)),
    };
    const more: Record<string, string> = {};
    if (options.cloud !== undefined) {
      const cloud = await loadPackage(options.cloud);
      progress(`routing policy against ${cloud.manifest.name} ${cloud.manifest.version}`);
      const said = await ask(options.cloud, frames, options.threads, {}, progress);
      const policy = learnFirstPolicy(observed, temperature, said, settings);
      files[packageFiles.policy] = encodeJson(policy);
      more.routingPolicyLearnedAgainst = `${cloud.manifest.name} ${cloud.manifest.version} ${cloud.digest}`;
      const { method, epsilon, escalationShare } = policy.guarantee;
      progress(
        `score from ${policy.features.join(", ")} and class; sent above ${policy.scoreMin}: ${escalationShare} of frames`,
      );
      progress(`${method}: loss at most ${epsilon} with probability ${1 - policy.guarantee.delta}`);
    }
    return await writePackage(options.out, parts(files, metrics, more));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  dir: string,
  frames: readonly ValidationFrame[],
  classes: number,
  options: Options,
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

async function readSources(dir: string): Promise<Readonly<Record<string, Uint8Array>>> {
  const names = [packageFiles.model, packageFiles.labels, packageFiles.preprocessor];
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name))] as const)),
  );
}

async function readLineage(dir: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(dir, "lineage.json"), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  return JSON.parse(text) as Readonly<Record<string, string>>;
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
