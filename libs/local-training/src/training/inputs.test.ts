import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { TrainingJob } from "@tributary/training";
import { type Photo, photos, writeDataset, writeDigits, writeTraining } from "../digits.test-kit.ts";
import type { LocalTraining } from "../local-training.ts";
import { readInputs } from "./inputs.ts";

let dir: string;
let training: LocalTraining;
let some: readonly Photo[];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-local-inputs-"));
  training = await writeTraining(dir, join(dir, "out"));
  some = await photos(1_197, 90, true);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

let folders = 0;
async function withDataset(train: readonly Photo[], tune: readonly Photo[]): Promise<LocalTraining> {
  const datasetDir = join(dir, `dataset-${++folders}`);
  await writeDataset(datasetDir, "site=north", { TRAIN: train, TUNE: tune, GATE: [] });
  return { ...training, datasetDir };
}
const withJob = (change: Partial<TrainingJob>): LocalTraining => ({ ...training, job: { ...training.job, ...change } });

test("inputs.ts I1: frames of the gate are left alone, all others are numbered by class", async () => {
  const { frames } = await readInputs(training);
  const count = (part: string) => frames.filter((frame) => frame.part === part).length;
  expect(["sliceTrain", "sliceTune", "baseTrain", "baseTune"].map(count)).toEqual([100, 60, 200, 60]);
  expect(new Set(frames.map(({ label }) => label))).toEqual(new Set([0, 1]));
});

test("what decides the result decides the key", async () => {
  const { key } = await readInputs(training);
  expect((await readInputs({ ...training, outDir: "elsewhere" })).key).toBe(key);
  expect((await readInputs(withJob({ seed: "2" }))).key).not.toBe(key);
  expect((await readInputs(await withDataset(some.slice(0, 60), some.slice(60)))).key).not.toBe(key);
});

test("too few frames are refused with the number that would do", async () => {
  const few = await withDataset(some.slice(0, 20), some.slice(20, 30));
  await expect(readInputs(few)).rejects.toMatchObject({
    code: "training-frames-too-few",
    message: expect.stringMatching(/site=north: 20 labelled frames .* at least 50 are needed; 10 .* at least 20/),
  });
});

test("a label that the model does not know is refused by name", async () => {
  const [first, ...others] = some as [Photo, ...Photo[]];
  const unknown = await withDataset([{ ...first, label: "prime" }, ...others.slice(0, 59)], others.slice(59));
  await expect(readInputs(unknown)).rejects.toMatchObject({
    code: "training-label-unknown",
    message: expect.stringMatching(/"prime"/),
  });
});

test("another package than the job's, and one that takes tensors, are refused", async () => {
  await expect(readInputs(withJob({ parentDigest: "0".repeat(64) }))).rejects.toMatchObject({
    code: "package-digest-mismatch",
  });
  const parentDir = join(dir, "tensor");
  const parentDigest = await writeDigits(parentDir, undefined, { input: "tensor" });
  await expect(readInputs({ ...withJob({ parentDigest }), parentDir })).rejects.toMatchObject({
    code: "training-parent-unsupported",
  });
});

test("every setting out of its range is named", async () => {
  const recipe = { ...training.job.recipe, batch: 1, learningRateMax: Number.NaN, blends: [0, 1] };
  await expect(readInputs(withJob({ recipe }))).rejects.toMatchObject({
    code: "training-job-invalid",
    message: expect.stringMatching(/recipe.batch.*recipe.learningRateMax.*recipe.blends/),
  });
});
