/** The validation gate: may a candidate take the champion's place? Judged from the answers of both on the same frames. Pure.
 *
 * Comparisons are paired: only frames on which one is right and the other wrong distinguish them, and how these fall is an exact
 * binomial test (McNemar 1947). A line fails when the loss exceeds its margin and chance does not explain it; a loss beyond
 * the margin that chance explains is unsure: more frames would decide. Lines of one kind share their level (Holm 1979), so many
 * classes or corruptions do not make a false alarm likely. Every line is judged, so the report has
 * all that is wrong at once; one that failed fails the gate. A line with too few frames for its test reports how many it needs,
 * and one with none is unsure. Neither fails the gate: how many frames a class has is not the candidate's fault.
 *
 * V5. Latency is compared with the fleet's SLA, or without one with the champion's, timed on the same frames in the same
 *     round. A candidate's own budget can only fail it: what a model declares is no measure of what the fleet needs. A bound
 *     that the champion breaks in the same round is the machine's fault: then a candidate fails by being slower than it.
 * V6. Damage under which the champion itself loses half of what it knows above the most frequent class does not
 *     distinguish models: a loss there is unsure.
 * V7. Of a candidate that is judged by slices, a loss of a class or under damage that chance explains (p above `chance`) is noted and does not
 *     make it unsure: its slices are proven not worse, and of some fifteen such lines one exceeds its margin by chance in many equal
 *     candidates. A class without a frame remains unsure. */
import { binomialCdf, clopperPearson, expectedCalibrationError, holmAdjusted, mcNemarP } from "@tributary/statistics";
import { type LabelMargins, labelsLine } from "./labels.ts";
import { type Pair, paired, percent } from "./paired.ts";
import { type SliceEvidence, type SliceMargins, type Slices, sliceLines } from "./slices.ts";

export type Judged = {
  /** Per frame. */
  readonly right: readonly boolean[];
  /** Calibrated, 0 to 1. */
  readonly confidence: readonly number[];
};

export type Measured = {
  /** Time for one frame, preprocessing and run, in milliseconds. */
  readonly latenciesMs: readonly number[];
  readonly megabytes: number | null;
};

export type GateInput = {
  readonly classes: readonly string[];
  /** True class of each frame. */
  readonly labels: readonly number[];
  readonly candidate: Judged & Measured;
  readonly champion: Judged & Measured;
  /** On frames damaged as devices damage them; each over its own frames. */
  readonly corruptions: readonly {
    readonly name: string;
    readonly candidate: readonly boolean[];
    readonly champion: readonly boolean[];
  }[];
  /** Kinds of damage that were not shown, and why. */
  readonly untested?: readonly Untested[];
  /** The candidate's own claim (V5). */
  readonly latencyBudgetMs: number;
  /** What the fleet needs of every model; null: nothing is configured. */
  readonly latencySlaMs: number | null;
  /** Of a candidate that a program trained: its lines take the place of that of all frames (slices.ts). */
  readonly slices?: Slices;
  /** Golden frames of the candidate that this runtime did not reproduce, with the reason. */
  readonly golden: { readonly frames: number; readonly failed: readonly string[] };
};

export type Margins = SliceMargins &
  LabelMargins & {
    /** Losses of accuracy that are acceptable, as shares. */
    readonly perClass: number;
    readonly perCorruption: number;
    /** Level at which the losses of one kind are explained (V7). */
    readonly chance: number;
    /** ECE may be at most this, or at most the champion's and a third of this. */
    readonly calibrationError: number;
    /** Without an SLA: the candidate's p99 may be so many times the champion's. */
    readonly latency: number;
    readonly megabytes: number;
  };

export const marginDefaults: Margins = {
  accuracy: 0.005,
  perClass: 0.03,
  perCorruption: 0.02,
  chance: 0.2,
  calibrationError: 0.03,
  latency: 1.5,
  megabytes: 200,
  alpha: 0.05,
  sliceMin: 0.01,
  sliceMax: 0.02,
  discordance: 0.1,
  power: 0.8,
  contradicted: 0.2,
};

export type LineKind =
  | "accuracy"
  | "slice"
  | "labels"
  | "class"
  | "calibration"
  | "robustness"
  | "latency"
  | "memory"
  | "golden";
export type GateLine = {
  readonly kind: LineKind;
  readonly name: string;
  readonly verdict: "passed" | "unsure" | "failed";
  readonly candidate: number | null;
  readonly champion: number | null;
  readonly bound: number;
  /** For people: what was found against what was wanted. */
  readonly found: string;
  /** Of kind slice. */
  readonly slice?: SliceEvidence;
};

export type Untested = { readonly name: string; readonly why: string };

export type GateReport = {
  readonly passed: boolean;
  readonly lines: readonly GateLine[];
  /** Kinds of damage that were not shown, and why. */
  readonly untested: readonly Untested[];
};

export function judgeGate(input: GateInput, margins: Margins = marginDefaults): GateReport {
  const { classes, labels, candidate, champion } = input;
  const whole = paired(candidate.right, champion.right);
  const classLines = classes.map((name, label) => {
    const at = labels.flatMap((one, i) => (one === label ? [i] : []));
    const right = (model: Judged) => at.map((i) => model.right[i] === true);
    return { name, pair: paired(right(candidate), right(champion)) };
  });
  const lines: GateLine[] = [
    ...(input.slices === undefined ? [allFramesLine(whole, margins)] : linesOfSlices(input.slices, margins, classes)),
    ...lossLines("class", classLines, { margin: margins.perClass, ...levelsOf(input, margins) }),
    calibrationLine(candidate, champion, margins),
    ...robustnessLines(input, whole.champion, margins),
    ...speedLines(input, margins),
    goldenLine(input),
  ];
  const passed = lines.every(({ verdict }) => verdict !== "failed");
  return { passed, lines, untested: input.untested ?? [] };
}

function linesOfSlices(slices: Slices, margins: Margins, classes: readonly string[]): readonly GateLine[] {
  const labels = slices.drifted.flatMap(({ name, sure }) =>
    sure === undefined ? [] : [labelsLine(name, sure, margins, classes)],
  );
  return [...sliceLines(slices, margins), ...labels];
}

type Levels = { readonly alpha: number; readonly noted: number };

/** V7 */
const levelsOf = ({ slices }: GateInput, { alpha, chance }: Margins): Levels => ({
  alpha,
  noted: slices === undefined ? Number.POSITIVE_INFINITY : chance,
});

const noted = (line: GateLine): GateLine => ({
  ...line,
  verdict: "passed",
  found: `${line.found}; not proven: for people to note`,
});

/** Of a candidate that a person made: fails if it is proven worse. */
export function allFramesLine(pair: Pair, { accuracy, alpha }: Margins): GateLine {
  const limits = { margin: accuracy, alpha, noted: Number.POSITIVE_INFINITY };
  return lossLines("accuracy", [{ name: "all frames", pair }], limits)[0] as GateLine;
}

function robustnessLines(input: GateInput, accuracy: number, margins: Margins): readonly GateLine[] {
  const named = input.corruptions.map(({ name, ...both }) => ({ name, pair: paired(both.candidate, both.champion) }));
  const counts = input.classes.map((_, label) => input.labels.filter((one) => one === label).length);
  const majority = Math.min(accuracy, Math.max(...counts) / Math.max(1, input.labels.length));
  const broken = (majority + accuracy) / 2;
  const limits = { margin: margins.perCorruption, ...levelsOf(input, margins) };
  return lossLines("robustness", named, limits).map((line): GateLine => {
    if (line.verdict === "passed" || line.champion === null || line.champion > broken) return line;
    const found = `${line.found}; the champion, right on ${percent(accuracy)} of undamaged frames, breaks as well`;
    const unsure = { ...line, verdict: "unsure", found } as const;
    return input.slices === undefined ? unsure : noted(unsure);
  });
}

/** Fewest frames that, all lost, are as unlikely as `level`: what the first line of its kind to fail must be. */
function framesNeeded(level: number): number {
  let frames = 1;
  while (mcNemarP(frames, 0) > level) frames += 1;
  return frames;
}

function lossLines(
  kind: LineKind,
  named: readonly { readonly name: string; readonly pair: Pair }[],
  { margin, alpha, noted: notedAbove }: Levels & { readonly margin: number },
): readonly GateLine[] {
  const tested = named.filter(({ pair }) => pair.frames > 0).length;
  const ps = named.map(({ pair }) => mcNemarP(pair.lost, pair.won));
  const together = holmAdjusted(ps, tested);
  const needed = framesNeeded(alpha / tested);
  return named.map(({ name, pair }, i): GateLine => {
    if (pair.frames === 0) {
      return { kind, name, verdict: "unsure", candidate: null, champion: null, bound: margin, found: "no frames" };
    }
    const p = together[i] as number;
    const loss = pair.champion - pair.candidate;
    const verdict = loss <= margin ? "passed" : p <= alpha ? "failed" : "unsure";
    const change = `${percent(pair.candidate)} against ${percent(pair.champion)} on ${pair.frames} frames`;
    const isTooSmall = verdict !== "failed" && pair.frames < needed;
    const tooFew = isTooSmall ? `; too few frames to fail: ${pair.frames}, needs ${needed}` : "";
    const found = `${change}; won ${pair.won}, lost ${pair.lost}, p ${(ps[i] as number).toPrecision(2)}${tooFew}`;
    const line = {
      kind,
      name,
      verdict,
      candidate: pair.candidate,
      champion: pair.champion,
      bound: margin,
      found,
    } as const;
    return verdict === "unsure" && p > notedAbove ? noted(line) : line;
  });
}

function calibrationLine(candidate: Judged, champion: Judged, { calibrationError }: Margins): GateLine {
  const [own, other] = [candidate, champion].map(({ confidence, right }) =>
    expectedCalibrationError(confidence, right),
  );
  const bound = Math.max(calibrationError, (other ?? 0) + calibrationError / 3);
  const verdict = (own ?? 1) <= bound ? "passed" : "failed";
  const found = `ECE ${percent(own ?? 1)} against ${percent(other ?? 1)}, at most ${percent(bound)}`;
  return {
    kind: "calibration",
    name: "expected calibration error",
    verdict,
    candidate: own ?? null,
    champion: other ?? null,
    bound,
    found,
  };
}

function speedLines(input: GateInput, margins: Margins): readonly GateLine[] {
  const { candidate, champion } = input;
  const lines: GateLine[] = [latencyLine(input, margins)];
  if (candidate.megabytes === null) return lines;
  const found = `${candidate.megabytes.toFixed(0)} MB against ${champion.megabytes?.toFixed(0) ?? "?"} MB, at most ${margins.megabytes} MB`;
  lines.push({
    kind: "memory",
    name: "the model's process, MB",
    verdict: candidate.megabytes <= margins.megabytes ? "passed" : "failed",
    candidate: candidate.megabytes,
    champion: champion.megabytes,
    bound: margins.megabytes,
    found,
  });
  return lines;
}

/** V5. A p99 beyond the bound fails if chance does not explain how many frames are. */
function latencyLine(input: GateInput, margins: Margins): GateLine {
  const { candidate, champion, latencyBudgetMs, latencySlaMs: sla } = input;
  const [p99, other] = [candidate, champion].map(({ latenciesMs }) => quantile(latenciesMs, 0.99));
  const about = {
    kind: "latency",
    name: "p99 of a frame, ms",
    candidate: p99 ?? null,
    champion: other ?? null,
  } as const;
  const times = `${p99?.toFixed(1) ?? "?"} ms against ${other?.toFixed(1) ?? "?"} ms`;
  const relative = other === undefined ? null : margins.latency * other;
  if (p99 === undefined || p99 > latencyBudgetMs) {
    const found = `${times}, its own budget is ${latencyBudgetMs} ms`;
    return { ...about, ...brokenByBoth(latencyBudgetMs, found), bound: latencyBudgetMs };
  }
  const bound = sla ?? relative;
  if (bound === null)
    return { ...about, verdict: "unsure", bound: latencyBudgetMs, found: `${times}, nothing to compare` };
  const against = sla === null ? `at most ${margins.latency} times the champion's` : `the fleet's SLA is ${sla} ms`;
  const found = `${times}, ${against}`;
  if (p99 <= bound) return { ...about, verdict: "passed", bound, found };
  if (sla !== null && other !== undefined && other > sla) return { ...about, ...brokenByBoth(sla, found), bound };
  const p = sla === null ? lateMoreOften(candidate, champion, bound) : lateTooOften(candidate, bound);
  const verdict = p <= margins.alpha ? "failed" : "unsure";
  return { ...about, verdict, bound, found: `${found}; p ${p.toPrecision(2)}` };

  /** V5: failed, unless the champion breaks the bound as well and the candidate is no slower than it. */
  function brokenByBoth(boundMs: number, found: string): Pick<GateLine, "verdict" | "found"> {
    if (other === undefined || relative === null || other <= boundMs) return { verdict: "failed", found };
    const p = lateMoreOften(candidate, champion, relative);
    if ((p99 ?? Number.POSITIVE_INFINITY) > relative && p <= margins.alpha) {
      return { verdict: "failed", found: `${found}, ${margins.latency} times the champion's are exceeded` };
    }
    return {
      verdict: "unsure",
      found: `${found}; the champion is beyond it as well: this machine is too slow or busy`,
    };
  }
}

/** How likely so many frames are late where one in a hundred is. */
function lateTooOften({ latenciesMs }: Measured, boundMs: number): number {
  const late = latenciesMs.filter((ms) => ms > boundMs).length;
  return 1 - binomialCdf(late - 1, latenciesMs.length, 0.01);
}

/** How likely the candidate is late so much more often where both are alike, on the frames on which they differ. */
function lateMoreOften(candidate: Measured, champion: Measured, boundMs: number): number {
  const [own, other] = [candidate, champion].map(({ latenciesMs }) => latenciesMs.map((ms) => ms <= boundMs));
  const { lost, won } = paired(own ?? [], other ?? []);
  return mcNemarP(lost, won);
}

function goldenLine({ golden }: GateInput): GateLine {
  const { frames, failed } = golden;
  const some = failed.slice(0, 3).join("; ") + (failed.length > 3 ? ` and ${failed.length - 3} more` : "");
  return {
    kind: "golden",
    name: "golden frames reproduced",
    verdict: failed.length === 0 ? "passed" : "failed",
    candidate: frames - failed.length,
    champion: null,
    bound: frames,
    found: failed.length === 0 ? `all ${frames}` : `${failed.length} of ${frames} differ: ${some}`,
  };
}

export type ReliabilityBin = {
  readonly confidence: number;
  readonly accuracy: number;
  readonly frames: number;
  readonly lower: number;
  readonly upper: number;
};

/** Accuracy by confidence, with exact 95 % intervals: the plot behind the calibration line. Empty bins are left out. */
export function reliability({ confidence, right }: Judged, bins = 10): readonly ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ frames: 0, confidence: 0, right: 0 }));
  for (const [i, value] of confidence.entries()) {
    const bin = sums[Math.min(bins - 1, Math.floor(value * bins))];
    if (bin === undefined) continue;
    bin.frames += 1;
    bin.confidence += value;
    if (right[i]) bin.right += 1;
  }
  return sums
    .filter(({ frames }) => frames > 0)
    .map((bin) => ({
      frames: bin.frames,
      confidence: bin.confidence / bin.frames,
      accuracy: bin.right / bin.frames,
      ...clopperPearson(bin.right, bin.frames),
    }));
}

function quantile(values: readonly number[], q: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}
