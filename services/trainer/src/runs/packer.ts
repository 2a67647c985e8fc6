/**
 * Makes a model package of what a job trained, and stores its files at the model registry; pushing lists it.
 *
 * It is packed on half of the registry's validation frames, drawn by the run, and on the slice's TUNE frames. The gate takes the
 * other half, and the slice's GATE frames, whose manifest is stored beside the package: every run is judged on other frames.
 */
import { createHash } from "node:crypto";
import { copyFile, link, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RegisteredVersion } from "@tributary/api";
import type { TrainingRun } from "@tributary/contracts";
import { type ModelManifest, packageFiles, repackedPreprocessing } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import {
  BASE_SLICE,
  halvesOf,
  LABELS_FILE,
  parseValidationManifest,
  runTask,
  SPLIT_SEED,
  someOf,
} from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { modelReferenceOf } from "@tributary/models";
import { parsePolicy } from "@tributary/routing";
import type { Telemetry } from "@tributary/telemetry";
import { candidateVersion, DATASET_MANIFEST, type DatasetFrame } from "@tributary/training";
import { isOfSlice } from "@tributary/training/dataset";
import type { Datasets } from "../datasets/port.ts";
import { packingProgressed } from "../events.ts";
import {
  downloadAll,
  downloadPackage,
  type ModelRegistry,
  manifestOf,
  type Part,
  uploadMissing,
} from "../registry/blobs.ts";
import { type ValidationFrames, validationOf } from "../registry/validation.ts";
import { frozenOf } from "./frozen.ts";
import type { Results } from "./results.ts";

export interface Packer {
  /** Rejects with a Failure that names why the model is refused. */
  pack(run: TrainingRun, signal: AbortSignal): Promise<{ readonly version: string; readonly digest: string }>;
}

export type PackagePackerOptions = {
  readonly datasets: Datasets;
  readonly registry: ModelRegistry;
  readonly results: Results;
  /** Folder for what is made on the way. */
  readonly scratch: string;
  /** By model: the package that its routing policy is learned against, a folder, or NAME@VERSION or NAME@ALIAS of the registry. */
  readonly cloud: Readonly<Record<string, string>>;
  readonly threads: number;
  readonly msMax: number;
  readonly telemetry: Telemetry;
};

/** Texts of a candidate's lineage; the registry's gate reads them. */
export const LINEAGE = {
  run: "trainingRun",
  dataset: "dataset",
  datasetMd5: "datasetMd5",
  base: "baseDataset",
  parent: "parent",
  slice: "slice",
  sliceFrames: "sliceFrames",
  blend: "blend",
} as const;

type Parent = {
  readonly manifest: ModelManifest;
  readonly labels: readonly string[];
  /** File of what its routing policy may spend; undefined: it has no policy. */
  readonly policy: string | undefined;
};

export class PackagePacker implements Packer {
  readonly #options: PackagePackerOptions;

  constructor(options: PackagePackerOptions) {
    this.#options = options;
  }

  async pack(run: TrainingRun, signal: AbortSignal) {
    const { scratch } = this.#options;
    await mkdir(scratch, { recursive: true });
    const dir = await mkdtemp(join(scratch, `${run.runId}-`));
    try {
      return await this.#pack(run, dir, signal);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  async #pack(run: TrainingRun, dir: string, signal: AbortSignal) {
    const { datasets, registry, results, threads, msMax, telemetry } = this.#options;
    const { runId, model: name } = run;
    const frames = join(dir, "dataset");
    await datasets.materialise(name, run.datasetVersion, frames, signal);
    const ofSlice = await datasetFrames(frames);
    const parent = await this.#parent(run, dir, signal);
    const validation = await this.#validation(run, parent, { dir, frames, ofSlice }, signal);
    const gate = await gateParts(
      frames,
      ofSlice.filter(({ split }) => split === "GATE"),
    );
    await uploadMissing(registry.blobs, gate.parts, signal);
    const lineage = join(dir, "lineage.json");
    await writeFile(lineage, JSON.stringify(this.#lineage(run, gate.digest)));
    const version = candidateVersion(run.parentVersion, runId);
    const cloud = await this.#cloud(name, dir, signal);
    const options = {
      name,
      version,
      model: await results.model(run, dir, signal),
      labels: join(dir, packageFiles.labels),
      preprocess: join(dir, packageFiles.preprocessor),
      validation,
      lineage,
      preprocessedBy: parent.manifest.input,
      hardwareClass: parent.manifest.hardwareClass,
      latencyBudgetMs: parent.manifest.latencyBudgetMs,
      threads,
      ...(cloud !== undefined && { cloud, ...(parent.policy && { policy: parent.policy }) }),
    };
    const progress = (line: string) => telemetry.emit(packingProgressed, { runId, line });
    const packed = join(dir, "package");
    await runTask({ kind: "pack", dir: packed, options }, { msMax, signal, progress });
    const { digest, manifest } = await loadPackage(packed);
    await uploadMissing(registry.blobs, await packageParts(packed, digest, manifest), signal);
    return { version, digest };
  }

  /** What the candidate has in common with the champion that it was trained from. */
  async #parent({ parentDigest }: TrainingRun, dir: string, signal: AbortSignal): Promise<Parent> {
    const { blobs } = this.#options.registry;
    const manifest = await manifestOf(blobs, parentDigest, signal);
    const wanted = [packageFiles.labels, packageFiles.preprocessor, packageFiles.policy].filter(
      (file) => manifest.files[file] !== undefined,
    );
    const files = wanted.map((file) => [join(dir, file), manifest.files[file]?.sha256 ?? ""] as const);
    await downloadAll(blobs, files, signal);
    // It was trained on what its parent's devices see.
    const preprocessor = join(dir, packageFiles.preprocessor);
    const described: unknown = JSON.parse(await readFile(preprocessor, "utf8"));
    await writeFile(preprocessor, JSON.stringify(repackedPreprocessing(described)));
    const labels = JSON.parse(await readFile(join(dir, packageFiles.labels), "utf8")) as readonly string[];
    return { manifest, labels, policy: await policySettings(dir) };
  }

  /** A folder of the frames that it is packed on. */
  async #validation(
    { model, runId }: TrainingRun,
    { labels }: Parent,
    {
      dir,
      frames,
      ofSlice,
    }: Readonly<Record<"dir" | "frames", string>> & { readonly ofSlice: readonly DatasetFrame[] },
    signal: AbortSignal,
  ): Promise<string> {
    const { registry } = this.#options;
    const { frames: all } = await validationOf(registry, model, signal);
    checkUnlearned(model, all, ofSlice);
    const target = join(dir, "validation");
    const byFile = new Map(all.map((frame) => [frame.file, frame]));
    const listed = all.map(({ file, label, slice = BASE_SLICE }) => {
      return { file, path: join(target, file), label: labels.indexOf(label), slice };
    });
    const { packing } = halvesOf(listed, runId);
    const digests = packing.map(({ file, path }) => [path, byFile.get(file)?.sha256 ?? ""] as const);
    await downloadAll(registry.blobs, digests, signal);
    const named: [string, string][] = packing.map(({ file }) => [file, byFile.get(file)?.label ?? ""]);
    await mkdir(join(target, runId), { recursive: true });
    for (const { file, sha256, label } of ofSlice.filter(({ split }) => split === "TUNE")) {
      const name = `${runId}/${sha256}.jpg`;
      await link(join(frames, file), join(target, name)).catch(() => copyFile(join(frames, file), join(target, name)));
      named.push([name, label]);
    }
    await writeFile(join(target, LABELS_FILE), JSON.stringify(Object.fromEntries(named)));
    return target;
  }

  /** The seed of the halves is the run's id, as if the package had been made of all frames with `splitSeed`. */
  #lineage(run: TrainingRun, sliceFrames: string): Readonly<Record<string, string>> {
    const { runId, model, parentDigest, slice } = run;
    const { blend } = run.metrics;
    const { dataset, base } = frozenOf(this.#options.datasets, run);
    return {
      [LINEAGE.run]: runId,
      [LINEAGE.dataset]: `${model}/${dataset.version}`,
      [LINEAGE.datasetMd5]: dataset.md5,
      [LINEAGE.base]: `${model}/${base.version}`,
      [LINEAGE.parent]: parentDigest,
      [LINEAGE.slice]: slice,
      [LINEAGE.sliceFrames]: sliceFrames,
      ...(blend !== undefined && { [LINEAGE.blend]: `${blend}` }),
      [SPLIT_SEED]: runId,
    };
  }

  /** A folder, as it is or from the registry; undefined: none is configured. */
  async #cloud(model: string, dir: string, signal: AbortSignal): Promise<string | undefined> {
    const { registry, cloud } = this.#options;
    const wanted = Object.hasOwn(cloud, model) ? cloud[model] : undefined;
    const reference = wanted === undefined ? null : modelReferenceOf(wanted);
    if (reference === null) return wanted;
    const { name, which } = reference;
    const { items } = await registry.models.list({ name }, { signal });
    const found: RegisteredVersion | undefined =
      items.find(({ version }) => version === which) ?? items.find(({ aliases }) => aliases.includes(which));
    if (found === undefined) {
      throw new Failure("cloud-model-unknown", "ask-a-person", `packing.cloud: the registry has no ${wanted}`);
    }
    const target = join(dir, "cloud");
    await downloadPackage(registry.blobs, found.modelDigest, target, signal);
    return target;
  }
}

/** Freezing left out what was in the validation set; somebody may have pushed another set since. */
function checkUnlearned(model: string, validation: ValidationFrames["frames"], ofSlice: readonly DatasetFrame[]): void {
  const learned = new Set(ofSlice.filter(({ split }) => split !== "GATE").map(({ sha256 }) => sha256));
  const both = validation.filter(({ sha256 }) => learned.has(sha256));
  if (both.length === 0) return;
  const what = `${both.length} frames that were pushed as validation frames of ${model} after the dataset was frozen are in it, and were learned`;
  throw new Failure(
    "validation-learned",
    "ask-a-person",
    `${what}: ${someOf(both.map(({ file }) => file))}. Start it again`,
  );
}

/** What people decided of the parent's policy holds for the candidate's, too: how much of the network, the cloud and people's time a
 * device may take. Score and threshold are learned. */
async function policySettings(dir: string): Promise<string | undefined> {
  const text = await readFile(join(dir, packageFiles.policy), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const policy = parsePolicy(JSON.parse(text));
  const { cloudTarget, samplePropensityMin, sampleBudget, escalationShareMax, burstMs, priorityReserve, deadlineMs } =
    policy;
  const settings = {
    cloudTarget,
    samplePropensityMin,
    sampleBudget,
    escalationShareMax,
    burstMs,
    priorityReserve,
    deadlineMs,
    epsilon: policy.guarantee.epsilon,
    delta: policy.guarantee.delta,
    priorityLabels: policy.priorityLabels.map(({ label, confidenceMin }) => ({ label, confidenceMin })),
  };
  const file = join(dir, "policy-settings.json");
  await writeFile(file, JSON.stringify(settings));
  return file;
}

/** Those of the slice: what is held out is among the validation frames that it is packed on. */
async function datasetFrames(dir: string): Promise<readonly DatasetFrame[]> {
  const text = await readFile(join(dir, DATASET_MANIFEST), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as DatasetFrame)
    .filter(isOfSlice);
}

/** The slice's GATE frames as a validation set: its digest, and what is uploaded for it. */
async function gateParts(dir: string, frames: readonly DatasetFrame[]) {
  const parts: Part[] = await Promise.all(
    frames.map(async ({ file, sha256 }) => {
      const from = join(dir, file);
      return { from, digest: sha256, bytes: (await stat(from)).size };
    }),
  );
  const listed = frames.map(({ sha256, label, deviceId }, i) => ({
    file: `${sha256}.jpg`,
    sha256,
    bytes: (parts[i] as Part).bytes,
    label,
    ...(deviceId !== "" && { device: deviceId }),
  }));
  const bytes = Buffer.from(`${JSON.stringify({ frames: listed })}\n`);
  parseValidationManifest(bytes);
  const digest = createHash("sha256").update(bytes).digest("hex");
  return { digest, parts: [...parts, { from: bytes, digest, bytes: bytes.length }] };
}

async function packageParts(dir: string, digest: string, { files }: ModelManifest): Promise<readonly Part[]> {
  const { size } = await stat(join(dir, packageFiles.manifest));
  return [
    ...Object.entries(files).map(([path, { sha256, bytes }]) => ({ from: join(dir, path), digest: sha256, bytes })),
    { from: join(dir, packageFiles.manifest), digest, bytes: size },
  ];
}
