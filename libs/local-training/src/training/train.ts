/**
 * One training, in the caller's process (train-locally.ts gives it one of its own): from the deployed package and frames to `model.onnx` and `result.json`.
 *
 * R1. Whatever the process is killed in, the folder has what the next one resumes from, and `result.json` only beside its whole model.
 * R2. Blends are chosen on frames of TUNE, and the gate's frames are not read (inputs.ts I1). */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "@tributary/kernel/durable-file";
import { Normaliser } from "@tributary/onnx";
import { RESULT_FILE, RESULT_MODEL, type TrainingResult } from "@tributary/training";
import type { LocalTraining } from "../local-training.ts";
import { chooseCandidate } from "./blends.ts";
import { Budget } from "./budget.ts";
import { removeCheckpoint } from "./checkpoint.ts";
import { openFrames, removeFrames } from "./frame-file.ts";
import { readInputs } from "./inputs.ts";
import type { Run } from "./run.ts";
import { trainSteps } from "./steps.ts";

export async function train(
  training: LocalTraining,
  { assertOwned, report }: Pick<Run, "assertOwned" | "report">,
  candidateOf: typeof chooseCandidate = chooseCandidate,
): Promise<TrainingResult> {
  const { outDir, limits, job } = training;
  await mkdir(outDir, { recursive: true });
  await rm(join(outDir, RESULT_FILE), { force: true }); // Of an earlier job: it would be taken for this one's.
  const budget = new Budget(limits);
  const inputs = await readInputs(training);
  const startedAt = performance.now();
  const frames = await openFrames(inputs, {
    job,
    outDir,
    threads: limits.threads,
    onProgress: (done, all) => {
      budget.check();
      const etaMs = ((performance.now() - startedAt) / done) * (all - done);
      report({ phase: "frames", done, all, loss: null, etaMs });
    },
  });
  try {
    const notes = [...frames.notes];
    const normaliser = new Normaliser(inputs.pkg.preprocessing);
    const run: Run = { training, inputs, frames, normaliser, budget, notes, assertOwned, report };
    const trained = await trainSteps(run);
    const { model, blend, nothing, blends, accuracies } = await candidateOf(run, trained.parameters);
    const { steps, loss } = trained;
    const result: TrainingResult = {
      formatVersion: 1,
      blends,
      blend,
      ...(nothing !== null && { nothing }),
      accuracies,
      steps,
      loss,
      ...budget.spent(),
      notes,
    };
    await assertOwned();
    await writeDurably(join(outDir, RESULT_MODEL), model);
    await writeDurably(join(outDir, RESULT_FILE), Buffer.from(`${JSON.stringify(result, null, 2)}\n`));
    await removeCheckpoint(outDir);
    await removeFrames(outDir);
    return result;
  } finally {
    await frames.close();
  }
}
