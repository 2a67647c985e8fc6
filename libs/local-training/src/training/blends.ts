/** Measures every blend as it would be deployed, quantised where the deployed model is and the bias of its logits corrected, on TUNE frames, and
 * makes the file of the chosen one.
 *
 * Each is compared with the deployed model on the same frames (harm.ts of the core):
 *
 *   site       frames of the slice
 *   elsewhere  frames that neither this training nor those of the deployed model learned (`heldOut`), and base photos of TUNE; the bias of the
 *              logits is found on the former as well, one number per class (ADR 76)
 *   alike      frames of elsewhere that are made to look like the slice, which have labels where the slice has few
 *   replayed   base photos, most of which were trained on
 *
 * A deployed model that knows base photos by heart forgets these first when its weights move, which no frame of the fleet would notice. So they do
 * not stand for elsewhere where it is proven that it does: where it is right on them clearly more often than on what nobody learned. */
import { encodeGraph } from "@tributary/onnx";
import { type GraphSession, openGraph } from "@tributary/onnx/graph-session";
import type { SplitAccuracy } from "@tributary/training";
import {
  deployableGraph,
  logitsBias,
  meanRanges,
  type Ranges,
  rangesGraph,
  shiftedRanges,
} from "@tributary/training/graph";
import {
  answerOf,
  biasCorrection,
  blended,
  certaintyOf,
  chooseBlend,
  drawSome,
  type HarmLine,
  harmLines,
  type JudgedFrame,
  knowsByHeart,
  type MeasuredBlend,
  matchAppearance,
  type Parameters,
  splitAccuracy,
  weighedAsAtSite,
} from "@tributary/training/local";
import { tensorOf } from "./frame-file.ts";
import type { Part } from "./inputs.ts";
import type { Run } from "./run.ts";
import { deployedParameters, matchOf, parameterFeeds } from "./steps.ts";

/** As many as ONNX Runtime's own tool is given at once; ranges are the mean over batches. */
const CALIBRATION_BATCH = 100;
const BATCH = 64;
/** Of each part, and of those that are made to look like the slice. */
const SHOWN_MAX = 2_500;
/** Base photos that the bias of the logits is corrected by, beside held-out frames. */
const CORRECTED_BY = 1_500;
/** Of a blend, in the result. */
const LINES_MAX = 100;

export type Candidate = {
  readonly model: Uint8Array;
  /** 0: the deployed model as it is. */
  readonly blend: number;
  readonly nothing: string | null;
  readonly blends: readonly MeasuredBlend[];
  readonly accuracies: readonly SplitAccuracy[];
};

export async function chooseCandidate(run: Run, trained: Parameters): Promise<Candidate> {
  const { pkg, model: deployedModel } = run.inputs;
  const parts = await partsOf(run);
  const views = await viewsOf(run, parts);
  const all = sharesOf(run).length;
  const measured: (MeasuredBlend & { readonly judged: Judged; readonly again: BlendFile["again"] })[] = [];
  const startedAt = performance.now();
  for await (const { blend, model, again } of blendFiles(run, trained, parts)) {
    const judged = await judge(run, model, views);
    const [slice, base] = [judged.sliceTune, judged.elsewhere].map(shareRight) as [number, number];
    measured.push({ blend, slice, base, lines: linesOf(run, judged), judged, again });
    const done = measured.length;
    const etaMs = ((performance.now() - startedAt) / done) * (all - done);
    run.report({ phase: "blends", done, all, loss: null, etaMs });
  }
  const { blend, nothing } = chooseBlend(measured, pkg.labels);
  const { judged, again } = (measured.find((one) => one.blend === blend) ?? measured[0]) as (typeof measured)[number];
  const asBefore = (frames: readonly JudgedFrame[]) =>
    frames.map((frame) => ({ ...frame, after: frame.before, gained: 0 }));
  const now = (frames: readonly JudgedFrame[]) => (blend === 0 ? asBefore(frames) : frames);
  return {
    model: blend === 0 ? deployedModel : again(),
    blend,
    nothing,
    blends: measured.map(({ judged: _, again: __, lines, ...one }) => ({
      ...one,
      lines: lines.filter(isListed).slice(0, LINES_MAX),
    })),
    accuracies: [
      splitAccuracy(run.training.job.slice, "TUNE", now(judged.sliceTune), pkg.labels),
      splitAccuracy("base", "TUNE", now(judged.elsewhere), pkg.labels),
    ],
  };
}

export type BlendFile = {
  readonly blend: number;
  readonly model: Uint8Array;
  /** The same file once more: all of them at once may be too large to be kept. */
  readonly again: () => Uint8Array;
};

const sharesOf = ({ training }: Run): readonly number[] =>
  [...new Set(training.job.recipe.blends)].sort((a, b) => a - b);

/** The file of each blend, as it would be deployed: calibrated, and the bias of its logits corrected. */
export async function* blendFiles(run: Run, trained: Parameters, parts?: Parts): AsyncGenerator<BlendFile> {
  const { trainable } = run.inputs;
  const shown = correctedBy(parts ?? (await partsOf(run)));
  const deployed = deployedParameters(trainable);
  const bias = logitsBias(trainable);
  if (bias === null) run.notes.push("no bias is added to the logits alone, so none is corrected");
  for (const blend of sharesOf(run)) {
    const ranges = trainable.isQuantised ? await calibrated(run, blended(deployed, trained, blend)) : {};
    const fileOf = (correction: Float32Array) => {
      const values = Object.fromEntries(blended(deployed, trained, blend));
      if (bias === null) return encodeGraph(deployableGraph(trainable, values, ranges));
      const corrected = values[bias.name]?.map((own, c) => own + (correction[c] as number)) as Float32Array;
      const shifted = shiftedRanges(ranges, bias, correction);
      return encodeGraph(deployableGraph(trainable, { ...values, [bias.name]: corrected }, shifted));
    };
    const none = new Float32Array(trainable.classes);
    const correction = bias === null ? none : await correctionOf(run, fileOf(none), shown);
    const again = () => fileOf(correction);
    yield { blend, model: again(), again };
  }
}

/** Of a thousand classes the record of a run has no room for all lines. */
const isListed = ({ label, verdict }: HarmLine): boolean => label === null || verdict === "harm";

function linesOf(run: Run, judged: Judged): readonly HarmLine[] {
  const { harm } = run.training.job.recipe;
  const { sliceTune, ...others } = judged;
  return [
    ...harmLines("site", sliceTune, harm),
    ...PLACES.flatMap((place) => harmLines(place, others[place], harm, place === "replayed" ? others.elsewhere : [])),
  ];
}

const shareRight = (judged: readonly JudgedFrame[]): number =>
  judged.filter(({ label, after }) => label === after).length / Math.max(1, judged.length);

type Shown = readonly [part: Part, index: number];
/** `certainty`: of the frame's label. */
type Answered = { readonly label: number; readonly answer: number; readonly certainty: number };
/** Frames as they are shown to both models. */
type View = {
  readonly frames: readonly Shown[];
  readonly seen: (pixels: Uint8Array) => Uint8Array;
  /** By the deployed model. */
  readonly before: readonly Answered[];
  /** A frame that stands for others counts as so many. */
  readonly weights?: readonly number[];
};
const PLACES = ["alike", "elsewhere", "replayed"] as const;
const VIEWS = ["sliceTune", ...PLACES] as const;
type Views = Readonly<Record<(typeof VIEWS)[number], View>>;
type Judged = Readonly<Record<(typeof VIEWS)[number], readonly JudgedFrame[]>>;

/** Frames of a part, drawn. */
async function partOf(run: Run, part: Part): Promise<View> {
  const { frames, training } = run;
  const drawn = drawSome(frames.count(part), SHOWN_MAX, `${training.job.seed}\n${part}`);
  const shown = drawn.map((i) => [part, i] as const);
  const before: Answered[] = [];
  for (const one of shown) before.push(answered(run, one, (await frames.read(...one)).logits));
  return { frames: shown, seen: (pixels) => pixels, before };
}

type Parts = Readonly<Record<"sliceTune" | "heldOut" | "baseTune" | "baseTrain", View>> & {
  readonly isByHeart: boolean;
};

async function partsOf(run: Run): Promise<Parts> {
  const [sliceTune, heldOut] = [await partOf(run, "sliceTune"), await partOf(run, "heldOut")];
  const [baseTune, baseTrain] = [await partOf(run, "baseTune"), await partOf(run, "baseTrain")];
  const isByHeart = knowsByHeart(rightOf(heldOut), rightOf(joined(baseTune, baseTrain)));
  if (isByHeart) run.notes.push("the deployed model knows base photos by heart: what it loses of them is not counted");
  return { sliceTune, heldOut, baseTune, baseTrain, isByHeart };
}

/** On base photos, which it replays, the trained model loses less than on frames that nobody learned, and of few held-out frames of a class chance
 * decides: both together. */
function correctedBy({ heldOut, baseTrain }: Parts): View {
  const { frames, before, ...learned } = baseTrain;
  return joined(heldOut, { ...learned, frames: frames.slice(0, CORRECTED_BY), before: before.slice(0, CORRECTED_BY) });
}

async function viewsOf(run: Run, { sliceTune, heldOut, baseTune, baseTrain, isByHeart }: Parts): Promise<Views> {
  const { frames, inputs, training } = run;
  const match = await matchOf(run);
  const elsewhere = isByHeart ? heldOut : joined(heldOut, baseTune);
  const replayed = joined(baseTune, baseTrain);
  const all = joined(heldOut, replayed).frames;
  const drawn = {
    frames: drawSome(all.length, SHOWN_MAX, `${training.job.seed}\nalike`).map((i) => all[i] as Shown),
    seen: (pixels: Uint8Array) => matchAppearance(pixels, frames.size, match),
  };
  const atSite = joined(sliceTune, await partOf(run, "sliceTrain"));
  const deployed = await openGraph(inputs.model, { threads: training.limits.threads });
  try {
    const before = await answersTo(run, deployed, drawn);
    const weights = weighedAsAtSite(before, atSite.before);
    return { sliceTune, elsewhere, replayed, alike: { ...drawn, before, weights } };
  } finally {
    await deployed.close();
  }
}

const joined = (a: View, b: View): View => ({
  ...a,
  frames: [...a.frames, ...b.frames],
  before: [...a.before, ...b.before],
});

async function correctionOf(run: Run, model: Uint8Array, view: View): Promise<Float32Array> {
  const { inputs, training } = run;
  const session = await openGraph(model, { threads: training.limits.threads });
  try {
    const logits = await logitsOf(run, session, view);
    const shown = view.before.map((before, i) => ({ ...before, logits: logits[i] as Float32Array }));
    const { classes } = inputs.trainable;
    return biasCorrection(shown, { classes, temperature: inputs.pkg.calibration.temperature });
  } finally {
    await session.close();
  }
}

type Counts = { readonly frames: number; readonly right: number };

const rightOf = ({ before }: View): Counts => ({
  frames: before.length,
  right: before.filter(({ label, answer }) => label === answer).length,
});

async function judge(run: Run, model: Uint8Array, views: Views): Promise<Judged> {
  const session = await openGraph(model, { threads: run.training.limits.threads });
  try {
    const judged: [string, readonly JudgedFrame[]][] = [];
    for (const name of VIEWS) {
      const { before, weights } = views[name];
      const answers = await answersTo(run, session, views[name]);
      const frames = answers.map(({ label, answer: after, certainty }, i) => {
        const { answer, certainty: old } = before[i] as Answered;
        return { label, before: answer, after, gained: certainty - old, weight: weights?.[i] ?? 1 };
      });
      judged.push([name, frames]);
    }
    return Object.fromEntries(judged) as Judged;
  } finally {
    await session.close();
  }
}

function answered({ frames, inputs }: Run, [part, index]: Shown, logits: ArrayLike<number>): Answered {
  const { label } = frames.facts(part, index);
  return {
    label,
    answer: answerOf(logits),
    certainty: certaintyOf(label, logits, inputs.pkg.calibration.temperature),
  };
}

async function answersTo(run: Run, session: GraphSession, view: Omit<View, "before">): Promise<readonly Answered[]> {
  const logits = await logitsOf(run, session, view);
  return view.frames.map((one, i) => answered(run, one, logits[i] as Float32Array));
}

async function logitsOf(
  run: Run,
  session: GraphSession,
  { frames: shown, seen }: Omit<View, "before">,
): Promise<readonly Float32Array[]> {
  const { frames, inputs, normaliser, budget } = run;
  const { input, logits } = inputs.pkg.manifest.tensors;
  const shape = inputs.trainable.input.shape.slice(1).map(Number);
  const isBatched = typeof inputs.trainable.deployed.inputs.find(({ name }) => name === input)?.shape[0] !== "number";
  const size = isBatched ? BATCH : 1;
  const all: Float32Array[] = [];
  for (let i = 0; i < shown.length; i += size) {
    budget.check();
    const some = shown.slice(i, i + size);
    const records = await Promise.all(some.map(([part, index]) => frames.read(part, index)));
    const tensor = tensorOf(
      normaliser,
      records.map(({ pixels }) => seen(pixels)),
    );
    const outputs = await session.run({ [input]: { data: tensor, dims: [records.length, ...shape] } }, [logits]);
    const values = outputs[logits]?.data as Float32Array;
    const classes = values.length / records.length;
    for (const at of some.keys()) all.push(values.slice(at * classes, (at + 1) * classes));
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
