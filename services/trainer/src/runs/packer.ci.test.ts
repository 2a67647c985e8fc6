/** What a job trained, as a package on real files: packed, stored, and judged on other frames than it was packed on. */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { TrainingRun } from "@tributary/contracts";
import { packageFiles, parseManifest } from "@tributary/inference";
import { loadPackage } from "@tributary/model-store";
import { repositoryRoot, sampleFrames, silentTelemetry, tempDir } from "@tributary/testing";
import { DATASET_MANIFEST, type DatasetFrame } from "@tributary/training";
import type { Datasets } from "../datasets/port.ts";
import type { ModelRegistry } from "../registry/blobs.ts";
import { someDataset, someRun } from "../trainer.test-kit.ts";
import { extendValidation } from "./extend-validation.ts";
import { PackagePacker } from "./packer.ts";

const EDGE = join(repositoryRoot, "models/edge-resnet8");
const dir = tempDir("trainer-packer");
const blobs = new Map<string, Buffer>();
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const put = (bytes: Buffer): string => {
  const digest = sha256(bytes);
  blobs.set(digest, bytes);
  return digest;
};

type Frame = { readonly bytes: Buffer; readonly label: string };
let frames: readonly Frame[];
let validation: string;
let run: TrainingRun;
/** Of the parent's policy. */
const decided = { samplePropensityMin: 0.1, sampleBudget: 0.25, escalationShareMax: 0.4, deadlineMs: 7_000 };
let lineage: Readonly<Record<string, string>> = {};

const registry = {
  models: { one: async () => ({ lineage }) },
  validation: {
    describe: async () => ({ digest: validation }),
    push: async ({ body }: { body: { manifestDigest: string } }) => {
      validation = body.manifestDigest;
    },
  },
  blobs: {
    has: async ({ digest }: { digest: string }) => blobs.has(digest),
    async *get({ digest }: { digest: string }) {
      yield blobs.get(digest) as Buffer;
    },
    put: async ({ digest, body }: { digest: string; body: AsyncIterable<Uint8Array> }) => {
      expect(put(Buffer.concat(await Array.fromAsync(body)))).toBe(digest);
    },
  },
} as unknown as ModelRegistry;

beforeAll(async () => {
  const { manifest, labels } = await loadPackage(EDGE);
  for (const path of Object.keys(manifest.files)) put(await readFile(join(EDGE, path)));
  const policy = JSON.parse(await readFile(join(EDGE, packageFiles.policy), "utf8"));
  const bytes = Buffer.from(JSON.stringify({ ...policy, ...decided }));
  const files = { ...manifest.files, [packageFiles.policy]: { sha256: put(bytes), bytes: bytes.length } };
  const digest = put(Buffer.from(JSON.stringify({ ...manifest, files })));
  const samples = await sampleFrames(320);
  frames = samples.map(({ jpeg, label }) => ({ bytes: jpeg, label: labels[label] as string }));
  const listed = frames.slice(0, 200).map(({ bytes, label }, i) => {
    return { file: `${i}.jpg`, sha256: put(bytes), bytes: bytes.length, label };
  });
  validation = put(Buffer.from(JSON.stringify({ frames: listed })));
  run = someRun({ parentDigest: digest, parentVersion: "1.4.0", datasetVersion: "d", metrics: { blend: 0.8 } });
});
afterAll(() => dir.remove());

async function materialise(folder: string): Promise<void> {
  await mkdir(join(folder, "frames"), { recursive: true });
  const lines = frames.slice(200).map(({ bytes, label }, i): DatasetFrame => {
    const digest = sha256(bytes);
    const split = i < 20 ? "TUNE" : "GATE";
    const rest = {
      labelSource: "PERSON",
      slice: run.slice,
      frameId: `one:1:front:${i}`,
      deviceId: "one",
      samplePropensity: null,
    };
    return { file: `frames/${digest}.jpg`, sha256: digest, label, split, ...rest };
  });
  for (const [i, { file }] of lines.entries()) await writeFile(join(folder, file), frames[200 + i]?.bytes ?? "");
  await writeFile(join(folder, DATASET_MANIFEST), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

test("a candidate has its lineage and its parent's limits, and what it learned joins the validation set once", async () => {
  const datasets = {
    get: (_model: string, version: string) => someDataset({ version, baseVersion: "base" }),
    materialise: async (_model: string, _version: string, folder: string) => materialise(folder),
  } as unknown as Datasets;
  const model = async () => join(EDGE, packageFiles.model);
  const packer = new PackagePacker({
    datasets,
    registry,
    results: { uriOf: async () => "", read: async () => ({ kind: "malformed", reason: "" }), model },
    scratch: join(dir.path, "scratch"),
    cloud: { edge: EDGE },
    threads: 1,
    msMax: 120_000,
    telemetry: silentTelemetry(),
  });
  // Somebody pushes a frame that is learned, after the dataset was frozen.
  const pushed = validation;
  const learned = { file: "late.jpg", sha256: put(frames[205]?.bytes as Buffer), bytes: 1, label: frames[205]?.label };
  const { frames: others } = JSON.parse((blobs.get(pushed) as Buffer).toString()) as { frames: object[] };
  validation = put(Buffer.from(JSON.stringify({ frames: [...others, learned] })));
  await expect(packer.pack(run, new AbortController().signal)).rejects.toMatchObject({
    code: "validation-learned",
    message: expect.stringMatching(/^1 frames that were pushed .* and were learned: late\.jpg\. Start it again$/),
  });
  validation = pushed;
  const { version, digest } = await packer.pack(run, new AbortController().signal);
  const manifest = parseManifest(JSON.parse((blobs.get(digest) as Buffer).toString()));
  lineage = manifest.lineage;
  expect(version).toBe(`1.5.0-${run.runId}`);
  expect(manifest).toMatchObject({ name: "edge", version, input: "jpeg" });
  expect(lineage).toMatchObject({
    trainingRun: run.runId,
    dataset: "edge/d",
    baseDataset: "edge/base",
    parent: run.parentDigest,
    slice: "site=north",
    blend: "0.8",
    validationSplitSeed: run.runId,
  });
  const policy = blobs.get(manifest.files[packageFiles.policy]?.sha256 ?? "") as Buffer;
  expect(JSON.parse(policy.toString())).toMatchObject(decided);
  for (const { sha256: file } of Object.values(manifest.files)) expect(blobs.has(file)).toBe(true);
  // Trained on what the devices of its parent see, it is measured with the same library.
  const parent = parseManifest(JSON.parse((blobs.get(run.parentDigest) as Buffer).toString()));
  expect(manifest.files[packageFiles.preprocessor]).toEqual(parent.files[packageFiles.preprocessor]);
  const before = validation;
  expect(await extendValidation(registry, run, new AbortController().signal)).toBe(100);
  const after = validation;
  expect(after).not.toBe(before);
  const { frames: all } = JSON.parse((blobs.get(after) as Buffer).toString()) as {
    frames: { slice?: string; device?: string }[];
  };
  // Frames of one device are not independent, so later gates must know which are.
  expect(all.filter(({ slice, device }) => slice === "site=north" && device === "one")).toHaveLength(100);
  expect(all).toHaveLength(300);
});
