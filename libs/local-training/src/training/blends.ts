/** Measures every blend as it would be deployed, quantised where the deployed model is, on TUNE frames, and makes the file of the
 * chosen one. */
import { encodeGraph } from "@tributary/onnx";
import { openGraph } from "@tributary/onnx/graph-session";
import type { SplitAccuracy } from "@tributary/training";
import { deployableGraph, meanRanges, type Ranges, rangesGraph } from "@tributary/training/graph";
import {
  answerOf,
  type BlendAccuracy,
  blended,
  chooseBlend,
  drawSome,
  type JudgedFrame,
  type Parameters,
  splitAccuracy,
} from "@tributary/training/local";
import { tensorOf } from "./frame-file.ts";
import type { Part } from "./inputs.ts";
import type { Run } from "./run.ts";
import { deployedParameters, parameterFeeds } from "./steps.ts";

/** As many as ONNX Runtime's own tool is given at once; ranges are the mean over batches. */
const CALIBRATION_BATCH = 100;
const BATCH = 64;

export type Candidate = {
  readonly model: Uint8Array;
  readonly blend: number;
  readonly blends: readonly BlendAccuracy[];
  readonly accuracies: readonly SplitAccuracy[];
};

export async function chooseCandidate(run: Run, trained: Parameters): Promise<Candidate> {
  const { trainable, pkg } = run.inputs;
  const { recipe } = run.training.job;
  const deployed = deployedParameters(trainable);
  const modelOf = async (blend: number) => {
    const values = blended(deployed, trained, blend);
    const ranges = trainable.isQuantised ? await calibrated(run, values) : {};
    return encodeGraph(deployableGraph(trainable, Object.fromEntries(values), ranges));
  };
  const shares = [...new Set(recipe.blends)].sort((a, b) => a - b);
  const measured: (BlendAccuracy & { readonly judged: Judged })[] = [];
  const startedAt = performance.now();
  for (const [i, blend] of shares.entries()) {
    const judged = await judge(run, await modelOf(blend));
    measured.push({ blend, slice: shareRight(judged.sliceTune), base: shareRight(judged.baseTune), judged });
    const etaMs = ((performance.now() - startedAt) / (i + 1)) * (shares.length - i - 1);
    run.report({ phase: "blends", done: i + 1, all: shares.length, loss: null, etaMs });
  }
  const [first] = measured;
  const baseBefore = (first?.judged.baseTune ?? []).filter(({ label, before }) => label === before).length;
  const chosen = chooseBlend(measured, {
    baseBefore: baseBefore / run.frames.count("baseTune"),
    validated: pkg.manifest.metrics.accuracy ?? null,
    baseLossMax: recipe.baseLossMax,
    sliceFrames: run.frames.count("sliceTune"),
  });
  if (chosen.note !== null) run.notes.push(chosen.note);
  const judged = measured.find(({ blend }) => blend === chosen.blend)?.judged as Judged;
  return {
    model: await modelOf(chosen.blend),
    blend: chosen.blend,
    blends: measured.map(({ blend, slice, base }) => ({ blend, slice, base })),
    accuracies: [...bySlice(judged.sliceTune), ["base", judged.baseTune] as const].map(([slice, frames]) =>
      splitAccuracy(slice, "TUNE", frames, pkg.labels),
    ),
  };
}

type JudgedInSlice = JudgedFrame & { readonly slice: string };
type Judged = Readonly<Record<"sliceTune" | "baseTune", readonly JudgedInSlice[]>>;

const bySlice = (judged: readonly JudgedInSlice[]) => Map.groupBy(judged, ({ slice }) => slice);

const shareRight = (judged: readonly JudgedFrame[]): number =>
  judged.filter(({ label, after }) => label === after).length / Math.max(1, judged.length);

async function judge(run: Run, model: Uint8Array): Promise<Judged> {
  const { frames, inputs, normaliser, training } = run;
  const { input, logits } = inputs.pkg.manifest.tensors;
  const shape = inputs.trainable.input.shape.slice(1).map(Number);
  const isBatched = typeof inputs.trainable.deployed.inputs.find(({ name }) => name === input)?.shape[0] !== "number";
  const session = await openGraph(model, { threads: training.limits.threads });
  const judgePart = async (part: Part): Promise<readonly JudgedInSlice[]> => {
    const judged: JudgedInSlice[] = [];
    const size = isBatched ? BATCH : 1;
    for (let i = 0; i < frames.count(part); i += size) {
      run.budget.check();
      const count = Math.min(size, frames.count(part) - i);
      const records = await Promise.all(Array.from({ length: count }, (_, at) => frames.read(part, i + at)));
      const tensor = tensorOf(
        normaliser,
        records.map(({ pixels }) => pixels),
      );
      const outputs = await session.run({ [input]: { data: tensor, dims: [count, ...shape] } }, [logits]);
      const answers = outputs[logits]?.data as Float32Array;
      const classes = answers.length / count;
      for (const [at, record] of records.entries()) {
        const { label, slice } = frames.facts(part, i + at);
        const after = answerOf(answers.subarray(at * classes, (at + 1) * classes));
        judged.push({ label, slice, before: answerOf(record.logits), after });
      }
    }
    return judged;
  };
  try {
    return { sliceTune: await judgePart("sliceTune"), baseTune: await judgePart("baseTune") };
  } finally {
    await session.close();
  }
}

/** Ranges of activations over slice frames and base photos that were trained on, shuffled: in order, the last batches would all be of one
 * kind. */
async function calibrated(run: Run, values: Parameters): Promise<Ranges> {
  const { frames, inputs, normaliser, training } = run;
  const { trainable } = inputs;
  const { recipe, seed } = training.job;
  const drawn = (["sliceTrain", "baseTrain"] as const).flatMap((part) =>
    drawSome(frames.count(part), recipe.calibrationFrames, `${seed}\ncalibration\n${part}`).map(
      (index) => [part, index] as const,
    ),
  );
  const order = drawSome(drawn.length, drawn.length, `${seed}\ncalibration`);
  const graph = rangesGraph(trainable);
  const fetches = graph.outputs.map(({ name }) => name);
  const session = await openGraph(encodeGraph(graph), { threads: training.limits.threads });
  try {
    const batches = [];
    for (let i = 0; i < order.length; i += CALIBRATION_BATCH) {
      run.budget.check();
      const places = order.slice(i, i + CALIBRATION_BATCH).map((place) => drawn[place] as readonly [Part, number]);
      const records = await Promise.all(places.map(([part, index]) => frames.read(part, index)));
      const tensor = tensorOf(
        normaliser,
        records.map(({ pixels }) => pixels),
      );
      const dims = [records.length, ...trainable.input.shape.slice(1).map(Number)];
      const feeds = { ...parameterFeeds(trainable, values), [trainable.input.name]: { data: tensor, dims } };
      batches.push(await session.run(feeds, fetches));
    }
    return meanRanges(batches);
  } finally {
    await session.close();
  }
}
