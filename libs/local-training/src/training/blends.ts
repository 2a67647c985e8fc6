/** Measures every blend as it would be deployed, quantised where the deployed model is, on TUNE frames, and makes the file of the
 * chosen one.
 *
 * Each is compared with the deployed model on the same frames, at three places: frames of the slice; frames of elsewhere; and frames of elsewhere
 * that are made to look like the slice, which have labels where the slice has few. Frames of elsewhere are those that nobody learned (`heldOut`), if
 * the dataset has enough of them; base photos, of which the deployed model knows some by heart, err towards harm, since these are what a model
 * that moves forgets first. */
import { encodeGraph } from "@tributary/onnx";
import { type GraphSession, openGraph } from "@tributary/onnx/graph-session";
import type { SplitAccuracy } from "@tributary/training";
import { deployableGraph, meanRanges, type Ranges, rangesGraph } from "@tributary/training/graph";
import {
  answerOf,
  blended,
  chooseBlend,
  drawSome,
  type HarmLine,
  harmLines,
  type JudgedFrame,
  type MeasuredBlend,
  matchAppearance,
  type Parameters,
  splitAccuracy,
  trainingFramesMin,
} from "@tributary/training/local";
import { tensorOf } from "./frame-file.ts";
import type { Part } from "./inputs.ts";
import type { Run } from "./run.ts";
import { deployedParameters, matchOf, parameterFeeds } from "./steps.ts";

/** As many as ONNX Runtime's own tool is given at once; ranges are the mean over batches. */
const CALIBRATION_BATCH = 100;
const BATCH = 64;
/** Frames that are made to look like the slice. */
const ALIKE_MAX = 2_000;

export type Candidate = {
  readonly model: Uint8Array;
  /** 0: the deployed model as it is. */
  readonly blend: number;
  readonly nothing: string | null;
  readonly blends: readonly MeasuredBlend[];
  readonly accuracies: readonly SplitAccuracy[];
};

export async function chooseCandidate(run: Run, trained: Parameters): Promise<Candidate> {
  const { trainable, pkg, model: deployedModel } = run.inputs;
  const { recipe } = run.training.job;
  const deployed = deployedParameters(trainable);
  const modelOf = async (blend: number) => {
    const values = blended(deployed, trained, blend);
    const ranges = trainable.isQuantised ? await calibrated(run, values) : {};
    return encodeGraph(deployableGraph(trainable, Object.fromEntries(values), ranges));
  };
  const views = await viewsOf(run);
  const shares = [...new Set(recipe.blends)].sort((a, b) => a - b);
  const measured: (MeasuredBlend & { readonly judged: Judged })[] = [];
  const startedAt = performance.now();
  for (const [i, blend] of shares.entries()) {
    const judged = await judge(run, await modelOf(blend), views);
    const [slice, base] = [judged.sliceTune, judged.elsewhere].map(shareRight) as [number, number];
    measured.push({ blend, slice, base, lines: linesOf(run, judged), judged });
    const etaMs = ((performance.now() - startedAt) / (i + 1)) * (shares.length - i - 1);
    run.report({ phase: "blends", done: i + 1, all: shares.length, loss: null, etaMs });
  }
  const { blend, nothing } = chooseBlend(measured, pkg.labels);
  const shown = measured.find((one) => one.blend === blend) ?? measured[0];
  const { sliceTune, elsewhere } = (shown as (typeof measured)[number]).judged;
  const asBefore = (frames: readonly JudgedFrame[]) => frames.map((frame) => ({ ...frame, after: frame.before }));
  const now = (frames: readonly JudgedFrame[]) => (blend === 0 ? asBefore(frames) : frames);
  return {
    model: blend === 0 ? deployedModel : await modelOf(blend),
    blend,
    nothing,
    blends: measured.map(({ judged: _, ...one }) => one),
    accuracies: [
      splitAccuracy(run.training.job.slice, "TUNE", now(sliceTune), pkg.labels),
      splitAccuracy("base", "TUNE", now(elsewhere), pkg.labels),
    ],
  };
}

function linesOf(run: Run, { sliceTune, alike, elsewhere, baseTune }: Judged): readonly HarmLine[] {
  const { harm } = run.training.job.recipe;
  return [
    ...harmLines({ place: "site", judged: sliceTune }, harm),
    ...harmLines({ place: "alike", judged: alike }, harm),
    ...harmLines({ place: "elsewhere", judged: elsewhere, cautious: baseTune }, harm),
  ];
}

const shareRight = (judged: readonly JudgedFrame[]): number =>
  judged.filter(({ label, after }) => label === after).length / Math.max(1, judged.length);

/** Frames as they are shown to both models. */
type View = {
  readonly part: Part;
  readonly indices: readonly number[];
  readonly seen: (pixels: Uint8Array) => Uint8Array;
  /** The deployed model's answers. */
  readonly before: readonly number[];
};
const VIEWS = ["sliceTune", "alike", "elsewhere", "baseTune"] as const;
type Views = Readonly<Record<(typeof VIEWS)[number], View>>;
type Judged = Readonly<Record<(typeof VIEWS)[number], readonly JudgedFrame[]>>;

async function viewsOf(run: Run): Promise<Views> {
  const { frames, inputs, training } = run;
  const match = await matchOf(run);
  const asTheyAre = async (part: Part): Promise<View> => {
    const indices = Array.from({ length: frames.count(part) }, (_, i) => i);
    const before: number[] = [];
    for (const index of indices) before.push(answerOf((await frames.read(part, index)).logits));
    return { part, indices, seen: (pixels) => pixels, before };
  };
  const part = frames.count("heldOut") >= trainingFramesMin.baseTune ? "heldOut" : "baseTune";
  const drawn = {
    part,
    indices: drawSome(frames.count(part), ALIKE_MAX, `${training.job.seed}\nalike`),
    seen: (pixels: Uint8Array) => matchAppearance(pixels, frames.size, match),
  } as const;
  const deployed = await openGraph(inputs.model, { threads: training.limits.threads });
  try {
    const alike = { ...drawn, before: await answersTo(run, deployed, drawn) };
    const baseTune = await asTheyAre("baseTune");
    const elsewhere = part === "baseTune" ? baseTune : await asTheyAre(part);
    return { sliceTune: await asTheyAre("sliceTune"), alike, elsewhere, baseTune };
  } finally {
    await deployed.close();
  }
}

async function judge(run: Run, model: Uint8Array, views: Views): Promise<Judged> {
  const session = await openGraph(model, { threads: run.training.limits.threads });
  const judgeView = async (view: View): Promise<readonly JudgedFrame[]> => {
    const answers = await answersTo(run, session, view);
    return view.indices.map((index, i) => ({
      label: run.frames.facts(view.part, index).label,
      before: view.before[i] as number,
      after: answers[i] as number,
    }));
  };
  try {
    const sliceTune = await judgeView(views.sliceTune);
    const alike = await judgeView(views.alike);
    const baseTune = await judgeView(views.baseTune);
    const elsewhere = views.elsewhere === views.baseTune ? baseTune : await judgeView(views.elsewhere);
    return { sliceTune, alike, elsewhere, baseTune };
  } finally {
    await session.close();
  }
}

async function answersTo(
  { frames, inputs, normaliser, budget }: Run,
  session: GraphSession,
  { part, indices, seen }: Omit<View, "before">,
): Promise<readonly number[]> {
  const { input, logits } = inputs.pkg.manifest.tensors;
  const shape = inputs.trainable.input.shape.slice(1).map(Number);
  const isBatched = typeof inputs.trainable.deployed.inputs.find(({ name }) => name === input)?.shape[0] !== "number";
  const size = isBatched ? BATCH : 1;
  const all: number[] = [];
  for (let i = 0; i < indices.length; i += size) {
    budget.check();
    const records = await Promise.all(indices.slice(i, i + size).map((index) => frames.read(part, index)));
    const tensor = tensorOf(
      normaliser,
      records.map(({ pixels }) => seen(pixels)),
    );
    const outputs = await session.run({ [input]: { data: tensor, dims: [records.length, ...shape] } }, [logits]);
    const answers = outputs[logits]?.data as Float32Array;
    const classes = answers.length / records.length;
    for (const at of records.keys()) all.push(answerOf(answers.subarray(at * classes, (at + 1) * classes)));
  }
  return all;
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
