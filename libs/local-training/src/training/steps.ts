/**
 * Gradient steps, from the deployed parameters or a checkpoint to the last step.
 *
 * S1. A training that was killed and resumed ends with the weights of one that was not: batches follow from the step, sums are made in
 *     a fixed order by a fixed number of threads, and state is kept bit by bit. */
import { encodeGraph } from "@tributary/onnx";
import { type GraphSession, type GraphTensor, openGraph } from "@tributary/onnx/graph-session";
import { gradientGraph, lastLayer, type Trainable } from "@tributary/training/graph";
import {
  type AppearanceMatch,
  adamStep,
  appearanceMatch,
  appearanceOf,
  augment,
  type BatchFrame,
  batchPlan,
  distilled,
  drawSome,
  learningRateAt,
  matchAppearance,
  type Parameters,
  startAdam,
  truth,
} from "@tributary/training/local";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { failure } from "./failures.ts";
import { tensorOf } from "./frame-file.ts";
import type { Part } from "./inputs.ts";
import type { Run } from "./run.ts";

const CHECKPOINT_STEPS = 25;
const CHECKPOINT_MS = 10_000;
/** Writing takes at most a twentieth of the time. */
const CHECKPOINT_SHARE = 20;
/** Photos, and frames of the slice, that are compared. */
const MATCHED_BY = 2_000;
/** Of the loss that is reported: about the last fifty steps. */
const LOSS_DECAY = 0.98;

export type Trained = { readonly parameters: Parameters; readonly steps: number; readonly loss: number };

export async function trainSteps(run: Run): Promise<Trained> {
  const { training, inputs, frames } = run;
  const { job, outDir, limits } = training;
  const { trainable } = inputs;
  const only = job.recipe.layers === "last" ? lastLayer(trainable) : trainable.parameters.map(({ name }) => name);
  const labelsOf = (part: Part) => Array.from({ length: frames.count(part) }, (_, i) => frames.facts(part, i).label);
  const planned = { slice: labelsOf("sliceTrain"), base: labelsOf("baseTrain") };
  const plan = batchPlan(planned, job.recipe, job.seed);
  const match = job.recipe.matchedFramesPerBatch === 0 ? null : await matchOf(run);
  let { parameters, adam, loss } = await startOf(run);
  const session = await openGraph(encodeGraph(gradientGraph(trainable, only)), { threads: limits.threads });
  const startedAt = performance.now();
  const firstStep = adam.step;
  let [writtenAt, writtenStep, writtenMs] = [startedAt, adam.step, 0];
  try {
    while (adam.step < plan.steps) {
      run.budget.check();
      const batch = await batchOf(run, plan.batchAt(adam.step), match);
      const step = await gradientsOf(session, trainable, parameters, batch, only);
      if (!Number.isFinite(step.loss)) {
        const what = `the loss is ${step.loss} at step ${adam.step + 1} of ${plan.steps}`;
        throw failure("training-diverged", "ask-a-person", `${what}; lower recipe.learningRateMax`);
      }
      const rate = learningRateAt(adam.step, plan.steps, job.recipe);
      adam = adamStep(parameters, step.gradients, adam, rate);
      loss = loss === null ? step.loss : LOSS_DECAY * loss + (1 - LOSS_DECAY) * step.loss;
      const now = performance.now();
      const etaMs = ((now - startedAt) / (adam.step - firstStep)) * (plan.steps - adam.step);
      run.report({ phase: "training", done: adam.step, all: plan.steps, loss, etaMs });
      const isDue = adam.step - writtenStep >= CHECKPOINT_STEPS || now - writtenAt >= CHECKPOINT_MS;
      if (adam.step < plan.steps && (!isDue || now - writtenAt < CHECKPOINT_SHARE * writtenMs)) continue;
      await run.assertOwned();
      await writeCheckpoint(outDir, inputs.key, { parameters, adam, loss, spent: run.budget.spent() });
      writtenMs = performance.now() - now;
      [writtenAt, writtenStep] = [performance.now(), adam.step];
    }
  } finally {
    await session.close();
  }
  return { parameters, steps: plan.steps, loss: loss ?? 0 };
}

async function startOf({ training, inputs, budget, notes }: Run): Promise<Omit<Checkpoint, "spent">> {
  const checkpoint = await readCheckpoint(training.outDir, inputs.key);
  if (typeof checkpoint === "string") notes.push(checkpoint);
  if (checkpoint !== null && typeof checkpoint !== "string") {
    budget.resume(checkpoint.spent);
    return checkpoint;
  }
  const parameters = deployedParameters(inputs.trainable);
  return { parameters, adam: startAdam(parameters), loss: null };
}

export const deployedParameters = ({ parameters }: Trainable): Parameters =>
  new Map(parameters.map(({ name, data }) => [name, data.slice()]));

/** Parameters as the graph's inputs. */
export function parameterFeeds({ parameters }: Trainable, values: Parameters): Record<string, GraphTensor> {
  return Object.fromEntries(
    parameters.map(({ name, dims }) => [name, { data: values.get(name) as Float32Array, dims }]),
  );
}

type Batch = { readonly input: Float32Array; readonly target: Float32Array; readonly frames: number };

/** What makes base photos look like the slice. */
export async function matchOf({ frames, training }: Run): Promise<AppearanceMatch> {
  const { seed } = training.job;
  const of = (part: "baseTrain" | "sliceTrain") =>
    Promise.all(
      drawSome(frames.count(part), MATCHED_BY, `${seed}\nappearance\n${part}`).map(async (index) =>
        appearanceOf((await frames.read(part, index)).pixels, frames.size),
      ),
    );
  return appearanceMatch(await of("baseTrain"), await of("sliceTrain"));
}

async function batchOf(
  { frames, normaliser, inputs, training }: Run,
  planned: readonly BatchFrame[],
  match: AppearanceMatch | null,
): Promise<Batch> {
  const classes = inputs.trainable.classes;
  const target = new Float32Array(planned.length * classes);
  const pictures = await Promise.all(
    planned.map(async ({ index, isSlice, isMatched, augmentation }, i) => {
      const part = isSlice ? "sliceTrain" : "baseTrain";
      const { label } = frames.facts(part, index);
      const { pixels, logits } = await frames.read(part, index);
      const own = isSlice ? truth(label, classes) : distilled(label, logits, training.job.recipe.distillation);
      target.set(own, i * classes);
      const seen = isMatched && match !== null ? matchAppearance(pixels, frames.size, match) : pixels;
      return augment(seen, frames.size, augmentation);
    }),
  );
  return { input: tensorOf(normaliser, pictures), target, frames: planned.length };
}

async function gradientsOf(
  session: GraphSession,
  trainable: Trainable,
  parameters: Parameters,
  { input, target, frames }: Batch,
  only: readonly string[],
): Promise<{ loss: number; gradients: Parameters }> {
  const feeds = {
    ...parameterFeeds(trainable, parameters),
    [trainable.input.name]: { data: input, dims: [frames, ...trainable.input.shape.slice(1).map(Number)] },
    target: { data: target, dims: [frames, trainable.classes] },
  };
  const outputs = await session.run(feeds, ["loss", ...only.map((name) => `gradient:${name}`)]);
  const gradients = new Map(only.map((name) => [name, outputs[`gradient:${name}`]?.data as Float32Array]));
  return { loss: Number(outputs.loss?.data[0]), gradients };
}
