/** A training of the digits' model on photos of a dark site, in its real process. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost, parseGraph } from "@tributary/onnx";
import { RESULT_FILE, RESULT_MODEL, type TrainingResult } from "@tributary/training";
import { photos, writeDigits, writeTraining } from "./digits.test-kit.ts";
import { type LocalTraining, type LocalTrainingProgress, trainLocally } from "./index.ts";

let dir: string;
let training: LocalTraining;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-local-training-"));
  training = await writeTraining(dir, join(dir, "whole"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const failureOf = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    () => Promise.reject(new Error("nothing was refused")),
    (error: unknown) => (error instanceof Failure ? error : Promise.reject(error)),
  );
const digestIn = async (outDir: string) =>
  createHash("sha256")
    .update(await readFile(join(outDir, RESULT_MODEL)))
    .digest("hex");

let whole: Promise<TrainingResult> | undefined;
const wholeTraining = () => (whole ??= trainLocally(training));

async function accuracyOf(packageDir: string, isSite: boolean): Promise<number> {
  const model = await new OnnxModelHost(loadPackage).load(packageDir, { threads: 1 });
  try {
    const shown = await photos(1_500, 100, isSite);
    const answers = await model.inferBatch(shown.map(({ jpeg }) => jpeg));
    const right = answers.filter((answer, i) => {
      const [even = 0, odd = 0] = answer.ok ? answer.inference.logits : [];
      return (even >= odd ? "even" : "odd") === shown[i]?.label;
    });
    return right.length / shown.length;
  } finally {
    await model.close();
  }
}

test("accuracy on unseen photos of the site rises, and elsewhere it stays", async () => {
  const result = await wholeTraining();
  const after = join(dir, "after");
  await writeDigits(after, await readFile(join(training.outDir, RESULT_MODEL)));
  expect(await accuracyOf(after, true)).toBeGreaterThan((await accuracyOf(training.parentDir, true)) + 0.1);
  expect(await accuracyOf(after, false)).toBeGreaterThan((await accuracyOf(training.parentDir, false)) - 0.1);
  const [site, base] = result.accuracies ?? [];
  expect(site).toMatchObject({ slice: "site=north", split: "TUNE", frames: 60 });
  expect(base).toMatchObject({ slice: "base", split: "TUNE", frames: 60 });
  expect(site?.after).toBeGreaterThan((site?.before ?? 1) + 0.1);
  const written = JSON.parse(await readFile(join(training.outDir, RESULT_FILE), "utf8"));
  expect(written).toEqual(result);
  expect((await readdir(training.outDir)).sort()).toEqual([RESULT_MODEL, RESULT_FILE].sort());
});

/** Ends it with SIGKILL once a checkpoint is there. */
async function kill(outDir: string): Promise<void> {
  const abort = new AbortController();
  const onProgress = ({ phase }: LocalTrainingProgress) => {
    if (phase === "training" && existsSync(join(outDir, "checkpoint.bin"))) abort.abort();
  };
  const failure = await failureOf(trainLocally({ ...training, outDir }, { signal: abort.signal, onProgress }));
  expect(failure).toMatchObject({ code: "training-stopped" });
}

test("steps.ts S1: killed in the middle and resumed, it ends with the same model; from a damaged checkpoint as well", async () => {
  const [resumed, damaged] = [join(dir, "resumed"), join(dir, "damaged")];
  await kill(resumed);
  await cp(resumed, damaged, { recursive: true });
  const checkpoint = join(damaged, "checkpoint.bin");
  const bytes = await readFile(checkpoint);
  await writeFile(checkpoint, bytes.fill(1, bytes.length - 8));
  const steps: number[] = [];
  const onProgress = ({ phase, done }: LocalTrainingProgress) => void (phase === "training" && steps.push(done));
  const result = await trainLocally({ ...training, outDir: resumed }, { onProgress });
  expect(Math.min(...steps)).toBeGreaterThanOrEqual(25);
  expect(result.notes).toEqual([]);
  const again = await trainLocally({ ...training, outDir: damaged });
  expect(again.notes).toEqual(["the checkpoint was damaged; training was started over"]);
  const { loss } = await wholeTraining();
  expect([result.loss, again.loss]).toEqual([loss, loss]);
  const digest = await digestIn(training.outDir);
  expect([await digestIn(resumed), await digestIn(damaged)]).toEqual([digest, digest]);
});

/** Two epochs make this model worse: they would give nothing. */
const ANY_HARM = { lossMax: 1, alpha: 0.05, chance: 0 };

test("of the control that trains the last layer, all others stay as they are deployed", async () => {
  const { job, parentDir } = training;
  const outDir = join(dir, "last");
  await trainLocally({
    ...training,
    outDir,
    job: { ...job, recipe: { ...job.recipe, layers: "last", epochs: 2, blends: [1], harm: ANY_HARM } },
  });
  const weightsIn = async (path: string) =>
    new Map(parseGraph(await readFile(path)).initializers.map(({ name, data }) => [name, data]));
  const [before, after] = [await weightsIn(join(parentDir, "model.onnx")), await weightsIn(join(outDir, RESULT_MODEL))];
  const changed = [...before.keys()].filter((name) => !isDeepStrictEqual(before.get(name), after.get(name)));
  expect(changed.sort()).toEqual(["head.bias", "head.weight"]);
});

test("above its memory, and after its time, it is ended with the reason", async () => {
  const outDir = join(dir, "bounded");
  const within = (limits: Partial<LocalTraining["limits"]>) =>
    failureOf(trainLocally({ ...training, outDir, limits: { ...training.limits, ...limits } }));
  const large = await within({ memoryBytesMax: 48 << 20 });
  expect(large).toMatchObject({ code: "training-memory-exceeded", message: expect.stringMatching(/may hold 48 MiB/) });
  expect(await within({ msMax: 300 })).toMatchObject({ code: "training-time-exceeded" });
  expect(await within({ cpuSecondsMax: 0.01 })).toMatchObject({ code: "training-cpu-exceeded" });
});
