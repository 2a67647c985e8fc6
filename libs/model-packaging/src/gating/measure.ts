/** Shows the same frames to two models on this machine's runtime, and notes what the gate judges. */
import { readFile } from "node:fs/promises";
import { type LoadedModel, type ModelPackage, softmax } from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import {
  beyondOwnLight,
  type DeviceCounts,
  type GateInput,
  type Judged,
  labelEstimate,
  type Measured,
  type Probabilities,
  paired,
  type Slice,
  type Slices,
  sureFrames,
  type Untested,
} from "@tributary/models/gate";
import { checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import { calibrate } from "@tributary/routing";
import { SPLIT_SEED } from "../packing/pack.ts";
import { BASE_SLICE, halvesOf, type ValidationFrame, validationFrames } from "../validation/frames.ts";
import { CORRUPTIONS, type Corruption, type CorruptionName, corruptions, lightOf } from "./corruptions.ts";

export type GateOptions = {
  readonly candidate: string;
  readonly champion: string;
  readonly validation: string;
  /** Digest of the set that the folder holds; that of the folder by default. */
  readonly validationSet?: Digest;
  /** Of a candidate that a program trained: the slice that it was trained for, and a folder with frames of it. The lines of
   * slices then take the place of that of all frames. */
  readonly drifted?: DriftedSlice;
  readonly threads: number;
  /** Frames damaged in each way; 0: none. */
  readonly corrupted: number;
  /** Kinds of damage that are shown; by default those that the validation frames suggest (robustness.ts of the gate). */
  readonly robustness?: readonly CorruptionName[];
  /** What the fleet needs of a frame, in ms on the candidate's hardware; without it the champion's times count. */
  readonly latencySlaMs?: number;
  /** How many times slower than this machine the candidate's hardware is; 1 by default. */
  readonly slowdown?: number;
};

export type DriftedSlice = {
  /** KEY=VALUE. */
  readonly name: string;
  /** Folder, and the digest of its manifest. */
  readonly frames: string;
  readonly digest: Digest;
};

const BATCH = 32;
/** Frames timed alone, one model after the other, so that whatever else the machine does hits both. */
const TIMED = 300;
const WARM_UP = 30;

type Both = { readonly candidate: LoadedModel; readonly champion: LoadedModel };

export async function measure(options: GateOptions, progress: (line: string) => void): Promise<GateInput> {
  const [own, other] = await Promise.all([loadPackage(options.candidate), loadPackage(options.champion)]);
  checkLabels(own, other);
  const all = await validationFrames(options.validation, own.labels);
  const seed = own.manifest.lineage[SPLIT_SEED];
  // Frames that a candidate was calibrated on do not measure it.
  const frames = seed === undefined ? all : halvesOf(all, seed).gating;
  const host = new OnnxModelHost(loadPackage);
  const load = (pkg: ModelPackage) => host.load(pkg.dir, { threads: options.threads });
  const candidate = await load(own);
  try {
    const champion = await load(other);
    try {
      return await compared({ candidate, champion }, own, frames, options, progress);
    } finally {
      await champion.close();
    }
  } finally {
    await candidate.close();
  }
}

async function compared(
  both: Both,
  own: ModelPackage,
  frames: readonly ValidationFrame[],
  options: GateOptions,
  progress: (line: string) => void,
): Promise<GateInput> {
  const { candidate, champion } = both;
  progress(`golden frames of ${own.manifest.name} ${own.manifest.version}`);
  const golden = await checkGoldenFrames(candidate, own, readPackageFile);
  const failed = golden.frames.flatMap(({ frame, reason }) => (reason === null ? [] : [`${frame}: ${reason}`]));
  progress(`${frames.length} validation frames`);
  const results = { candidate: await judged(candidate, frames), champion: await judged(champion, frames) };
  const { drifted } = options;
  const slices = drifted && (await slicesOf(both, own, { frames, ...results }, drifted, progress));
  const times = await timed(both, frames, options.slowdown ?? 1);
  const measured = {
    candidate: { ...results.candidate, ...times.candidate },
    champion: { ...results.champion, ...times.champion },
  };
  const step = Math.max(1, Math.ceil(frames.length / options.corrupted));
  const some = frames.filter((_, i) => i % step === 0);
  const damaged: GateInput["corruptions"][number][] = [];
  const { kinds, untested } = options.corrupted === 0 ? NO_DAMAGE : await kindsOf(some, options.robustness);
  for (const { name, apply } of kinds) {
    progress(`${some.length} frames, ${name}`);
    const damage = async (frame: ValidationFrame, i: number) => apply(await readFile(frame.path), i + 1);
    const [a, b] = [await judged(candidate, some, damage), await judged(champion, some, damage)];
    damaged.push({ name, candidate: a.right, champion: b.right });
  }
  return {
    classes: own.labels,
    labels: frames.map(({ label }) => label),
    ...measured,
    ...(slices !== undefined && { slices }),
    corruptions: damaged,
    untested,
    latencyBudgetMs: own.manifest.latencyBudgetMs,
    latencySlaMs: options.latencySlaMs ?? null,
    golden: { frames: golden.frames.length, failed },
  };
}

type Shown = { readonly frames: readonly ValidationFrame[]; readonly candidate: Judged; readonly champion: Judged };

/** The old slices are those of the validation frames that both were shown; the drifted one is shown to both here.
 *
 * Photos of `base` of which none names a device are units of their own: nothing says that they have an origin in common, as in a
 * benchmark's. A slice of a place has one: there, frames without a device count as of one that is not known (slices.ts S5 of the gate). */
async function slicesOf(
  { candidate, champion }: Both,
  own: ModelPackage,
  shown: Shown,
  { name, frames: dir }: DriftedSlice,
  progress: (line: string) => void,
): Promise<Slices> {
  const places = Map.groupBy(shown.frames.keys(), (i) => shown.frames[i]?.slice as string);
  const old = [...places]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([slice, at]): Slice => {
      const right = (model: Judged) => at.map((i) => model.right[i] === true);
      const [own, other] = [right(shown.candidate), right(shown.champion)];
      const frames = at.map((i) => shown.frames[i] as ValidationFrame);
      const isOfNoOrigin = slice === BASE_SLICE && frames.every(({ device }) => device === undefined);
      const pair = { name: slice, ...paired(own, other) };
      return isOfNoOrigin ? pair : { ...pair, devices: devicesOf(frames, own, other) };
    });
  const frames = await validationFrames(dir, own.labels);
  progress(`${frames.length} frames of the slice ${name}`);
  const [a, b] = [await judged(candidate, frames), await judged(champion, frames)];
  const labels = frames.map(({ label }) => label);
  const devices = devicesOf(frames, a.right, b.right);
  const names = frames.map(({ file }) => file);
  const estimate = labelEstimate(a.probabilities, b.probabilities, labels, names);
  const sure = { ...sureFrames(a.probabilities, b.probabilities, labels), estimate };
  return { old, drifted: [{ name, ...paired(a.right, b.right), devices, sure }] };
}

function devicesOf(
  frames: readonly ValidationFrame[],
  candidate: readonly boolean[],
  champion: readonly boolean[],
): readonly DeviceCounts[] {
  return [...Map.groupBy(frames.keys(), (i) => frames[i]?.device ?? null)].map(([device, at]) => {
    const right = (model: readonly boolean[]) => at.map((i) => model[i] === true);
    const { frames: count, won, lost } = paired(right(candidate), right(champion));
    return { device, frames: count, won, lost };
  });
}

type Kinds = { readonly kinds: readonly Corruption[]; readonly untested: readonly Untested[] };
const NO_DAMAGE: Kinds = { kinds: [], untested: [] };

/** Frames whose light is that of the task. */
const LIT = 200;

async function kindsOf(frames: readonly ValidationFrame[], wanted?: readonly CorruptionName[]): Promise<Kinds> {
  if (wanted !== undefined) {
    const untested = CORRUPTIONS.filter((name) => !wanted.includes(name)).map((name) => ({
      name,
      why: "not asked for",
    }));
    return { kinds: corruptions.filter(({ name }) => wanted.includes(name)), untested };
  }
  const step = Math.max(1, Math.ceil(frames.length / LIT));
  const jpegs = await Promise.all(frames.filter((_, i) => i % step === 0).map(({ path }) => readFile(path)));
  const own = await Promise.all(jpegs.map(lightOf));
  const kinds: Corruption[] = [];
  const untested: Untested[] = [];
  for (const kind of corruptions) {
    const why = kind.isOfLight
      ? beyondOwnLight(own, await Promise.all(jpegs.map(async (jpeg, i) => lightOf(await kind.apply(jpeg, i + 1)))))
      : null;
    if (why === null) kinds.push(kind);
    else untested.push({ name: kind.name, why });
  }
  return { kinds, untested };
}

async function judged(
  model: LoadedModel,
  frames: readonly ValidationFrame[],
  read: (frame: ValidationFrame, i: number) => Promise<Uint8Array> = ({ path }) => readFile(path),
): Promise<Judged & { readonly probabilities: Probabilities }> {
  const right: boolean[] = [];
  const confidence: number[] = [];
  const probabilities: (readonly number[])[] = [];
  for (let from = 0; from < frames.length; from += BATCH) {
    const batch = frames.slice(from, from + BATCH);
    const jpegs = await Promise.all(batch.map((frame, i) => read(frame, from + i)));
    for (const [i, result] of (await model.inferBatch(jpegs)).entries()) {
      const frame = batch[i] as ValidationFrame;
      if (!result.ok) throw new Failure(result.code, "ask-a-person", `${frame.path}: ${result.message}`);
      const answer = calibrate(result.inference.logits, model.temperature);
      right.push(answer.labelIndex === frame.label);
      confidence.push(answer.confidence);
      probabilities.push([...softmax(result.inference.logits, model.temperature)]);
    }
  }
  return { right, confidence, probabilities };
}

async function timed({ candidate, champion }: Both, frames: readonly ValidationFrame[], slowdown: number) {
  const latencies = { candidate: [] as number[], champion: [] as number[] };
  for (const [i, { path }] of frames.slice(0, TIMED + WARM_UP).entries()) {
    const jpeg = await readFile(path);
    const msOf = async (model: LoadedModel) => {
      const result = await model.infer(jpeg);
      return result.ok ? slowdown * (result.inference.timingsMs.preprocess + result.inference.timingsMs.run) : null;
    };
    const [own, other] = [await msOf(candidate), await msOf(champion)];
    if (own === null || other === null || i < WARM_UP) continue; // The gate compares them frame by frame.
    latencies.candidate.push(own);
    latencies.champion.push(other);
  }
  const of = async (name: keyof Both, model: LoadedModel): Promise<Measured> => ({
    latenciesMs: latencies[name],
    megabytes: await megabytesOf(model.pid),
  });
  return { candidate: await of("candidate", candidate), champion: await of("champion", champion) };
}

/** Proportional set size; null where Linux does not report it. */
async function megabytesOf(pid: number): Promise<number | null> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  const kilobytes = /^Pss: +(\d+) kB$/m.exec(rollup)?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) / 1_024;
}

function checkLabels(own: ModelPackage, other: ModelPackage): void {
  if (own.labels.length === other.labels.length && own.labels.every((label, i) => label === other.labels[i])) return;
  const message = `${own.dir} names ${own.labels.length} classes, ${other.dir} ${other.labels.length}, not all the same in the same order: they cannot take each other's place`;
  throw new Failure("gate-labels-differ", "ask-a-person", message);
}
