/** `bench routing`: what the routing promises, on every test photo, with the committed packages and policy.
 *
 * The policy is read from the edge package, where it was frozen from validation; nothing is learned here. Every method is
 * judged on the same frames and the same resamples of them. "No worse" is judged by the paired interval: a gate fails when
 * the whole of it is below zero. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { RoutingPolicy } from "@tributary/contracts";
import { loadPackage } from "@tributary/model-store";
import { completePolicy, parsePolicy } from "@tributary/routing";
import { clopperPearsonLower } from "@tributary/statistics";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";
import { type FrontierPoint, frontierOf, GAIN_MIN, type Method, methodsOf } from "./routing/frontier.ts";
import { judgedPhotos, type TestFrame, testFrames } from "./routing/judged.ts";
import { frontierPicture } from "./routing/picture.ts";
import {
  deviceOvershoot,
  fleetOvershoot,
  guaranteeOf,
  learnThenTestViolations,
  replay,
  sampleHonesty,
} from "./routing/promises.ts";
import { type SimulatedRuns, simulatedRuns } from "./routing/simulated.ts";
import { simulatedPicture, stacked } from "./routing/simulated-picture.ts";
import { tasksReport } from "./routing/task-report.ts";
import { routingTasks } from "./routing/tasks.ts";

const EDGE = fileURLToPath(new URL("../../../models/edge-resnet8/", import.meta.url));
const CLOUD = fileURLToPath(new URL("../../../models/cloud-vgg/", import.meta.url));
const SEED = 20_261_125;
const OVERSHOOT_MAX = 0.02;
const COVERAGE_MIN = 0.935;
/** Traffic of a run: as much as gives the intervals their width with the policy's own sample. */
const SIMULATION = { runs: 200, frames: 20_000, coverageMin: 0.92, halfWidthMax: 0.03, share: 0.2 };
/** Of lab/tasks, also without --tasks. */
const OTHER_TASKS = "water,letters,instruments";
const LEARN = { n: 2_000, epsilon: 0.02, delta: 0.05 };

export const routing: Bench = {
  name: "routing",
  summary: "share of the cloud's gain kept at a budget, guarantee, budget, and honesty of the sample",
  details: `All 5,000 test photos as camera JPEGs through both committed models, by the path frames take. Our score beside
fixed confidence, margin and entropy, at 20, 30 and 40 % of frames sent, with paired bootstrap intervals.
Gates: at least 65, 80 and 90 % of the cloud's gain; at no share worse than the best of the others (the paired 95 %
interval of the difference is not wholly below zero); losses within the published bound; Learn then Test breaks its
promise in at most delta of seeded runs; budgets overshoot by at most 2 % in an hour in which every frame wants the
cloud; the sample's 95 % intervals cover the edge's accuracy in at least 93.5 % of 1,000 seeded runs; over 200 seeded
draws of logged traffic the 95 % intervals of "tributary router simulate" cover the true frontier in at least 92 % at every
share, and their mean half-width at 20 % sent is at most 3 percentage points, with the sampling budget printed; policies
relearned from the same draws break their promise in at most delta of them.
Policies packed from seeded splits of other tasks (${OTHER_TASKS}; --tasks: instead of all else, those named) with few and
unbalanced classes, 100 to 2,500 frames, a cloud that is hardly better, beside each fixed score and the score that is always
learned, on the frames that were not packed. Gates, task by task: in no split significantly worse than confidence at the same share, and at 25 % sent
at least 80 % of the best fixed score's gain over all splits.`,
  run,
};

async function run({ isLong, flags, progress }: BenchOptions): Promise<BenchReport> {
  const edge = await loadPackage(EDGE);
  const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
  const tie = { modelDigest: edge.digest, createdAt: 0, sha256Hex };
  const policy = completePolicy(parsePolicy(edge.policy), tie);
  const judged = () => judgedPhotos(EDGE, CLOUD, progress);
  const tasksNamed = async (names: string) => {
    const sample = async () => ({ photos: await judged(), labels: policy.labels });
    return tasksReport(await routingTasks(names, sample, progress), isLong, progress);
  };
  if (flags.tasks !== undefined) return tasksNamed(flags.tasks);
  const photos = await judged();
  const frames = testFrames(photos, policy.temperature);
  const methods = methodsOf(frames, policy);
  const figures = measure(frames, policy, methods, isLong, progress);
  const { frontier, simulated } = figures;
  const others = await tasksNamed(OTHER_TASKS);
  const facts = { version: policy.policyVersion, modelDigest: edge.digest, guarantee: policy.guarantee };
  return {
    tables: [
      frontierTable(figures, methods),
      replayTable(figures),
      sampleTable(figures),
      simulationTable(figures),
      ...others.tables,
    ],
    gates: [
      ...frontier.flatMap(frontierGates),
      ...promiseGates(figures),
      ...simulationGates(simulated),
      ...others.gates,
    ],
    figures: { policy: facts, ...figures, others: others.figures },
    notes: [
      ...(others.notes ?? []),
      `Policy ${policy.policyVersion.slice(0, 12)}, score from ${policy.features.join(", ")} and class.`,
      budgetNote(simulated),
    ],
    svg: stacked([frontierPicture(frames, methods, frontier, sentOf(figures)), simulatedPicture(simulated)]),
  };
}

type Figures = ReturnType<typeof measure>;

/** Every promise on the same frames. */
function measure(
  frames: readonly TestFrame[],
  policy: RoutingPolicy,
  methods: readonly Method[],
  isLong: boolean,
  progress: (line: string) => void,
) {
  const runs = isLong ? 10_000 : 1_000;
  progress("frontier and intervals");
  const frontier = frontierOf(frames, methods, runs, SEED);
  const replayed = replay(frames, policy, SEED);
  progress("guarantee, budgets, sample");
  const guarantee = guaranteeOf(frames, policy);
  const ltt = { ...LEARN, runs, violations: learnThenTestViolations(frames, policy, { ...LEARN, runs }) };
  const overshoot = { device: deviceOvershoot(frames, policy, SEED), fleet: fleetOvershoot(frames, policy) };
  const honesty = sampleHonesty(frames, policy, runs);
  progress("the simulated frontier, over draws of logged traffic");
  const draws = isLong ? 2_000 : SIMULATION.runs;
  const simulated = simulatedRuns(frames, policy, { ...SIMULATION, runs: draws, seed: SEED });
  const accuracy = { edge: shareOf(frames, (f) => f.edgeRight), cloud: shareOf(frames, (f) => f.cloudRight) };
  return { accuracy, frontier, replayed, guarantee, ltt, overshoot, honesty, simulated };
}

/** What the frozen policy sent when replayed, and what of the cloud's gain that kept. */
function sentOf({ accuracy, replayed, guarantee }: Figures): { readonly share: number; readonly gain: number } {
  const { AMBIGUOUS, PRIORITY, SAMPLE } = replayed;
  return {
    share: (AMBIGUOUS + PRIORITY + SAMPLE) / guarantee.n,
    gain: (replayed.accuracy - accuracy.edge) / (accuracy.cloud - accuracy.edge),
  };
}

function frontierTable({ accuracy, frontier }: Figures, methods: readonly Method[]): Table {
  return {
    title: `Share of the cloud's gain kept (edge ${percent(accuracy.edge)}, cloud ${percent(accuracy.cloud)})`,
    columns: ["chosen by", ...frontier.map(({ share }) => `${share * 100} % sent`)],
    rows: [
      ...methods.map(({ name }, i) => [
        name,
        ...frontier.map(({ gains }) => withInterval(gains[i]?.gain ?? Number.NaN, gains[i]?.interval)),
      ]),
      ["ours less the best other", ...frontier.map(({ lead }) => withInterval(lead.value, lead.interval))],
    ],
  };
}

function replayTable(figures: Figures): Table {
  const { AMBIGUOUS, PRIORITY, SAMPLE, dropped, accuracy } = figures.replayed;
  const { share, gain } = sentOf(figures);
  return {
    title: "The frozen policy on one device, ten frames a second",
    columns: ["sent", "ambiguous", "priority", "sample", "dropped", "hybrid accuracy", "gain kept"],
    rows: [[percent(share), AMBIGUOUS, PRIORITY, SAMPLE, dropped, percent(accuracy), percent(gain)]],
  };
}

function sampleTable({ honesty }: Figures): Table {
  const { truth, bias, halfWidthMean, drawnMean, escalatedAlone } = honesty;
  return {
    title: "The edge's accuracy from the random sample",
    columns: ["truth", "bias", "mean half-width", "frames drawn", "from escalated frames alone"],
    rows: [[percent(truth), percent(bias), percent(halfWidthMean), drawnMean.toFixed(1), percent(escalatedAlone)]],
  };
}

function simulationTable({ simulated }: Figures): Table {
  return {
    title: `The frontier as router simulate sees it, ${simulated.runs} draws of ${simulated.frames} logged frames`,
    columns: ["sent", "true accuracy", "bias", "coverage of 95 %", "mean half-width"],
    rows: simulated.points.map(({ share, truth, bias, coverage, halfWidthMean }) =>
      [share, truth, bias, coverage, halfWidthMean].map(percent),
    ),
  };
}

function frontierGates({ share, gains, best, lead }: FrontierPoint): readonly Gate[] {
  const ours = gains[0]?.gain ?? 0;
  return [
    {
      name: `at ${share * 100} % sent at least ${percent(GAIN_MIN[share])} of the gain`,
      passed: ours >= GAIN_MIN[share],
      measured: percent(ours),
    },
    {
      name: `at ${share * 100} % sent no worse than ${best}`,
      passed: lead.interval.upper >= 0,
      measured: withInterval(lead.value, lead.interval),
    },
  ];
}

function promiseGates({ guarantee, ltt, overshoot, honesty }: Figures): readonly Gate[] {
  return [
    {
      name: `losses at most the published ${percent(guarantee.epsilon)}`,
      passed: guarantee.lossRate <= guarantee.epsilon,
      measured: `${percent(guarantee.lossRate)} (${guarantee.losses} of ${guarantee.n})`,
    },
    {
      name: `Learn then Test breaks its promise in at most ${percent(LEARN.delta)} of runs`,
      passed: clopperPearsonLower(ltt.violations, ltt.runs, 0.05) <= LEARN.delta,
      measured: percent(ltt.violations / ltt.runs),
    },
    budgetGate("a device's budget", overshoot.device),
    budgetGate("the fleet's budget", overshoot.fleet),
    {
      name: `the sample's intervals cover at least ${percent(COVERAGE_MIN)}`,
      passed: honesty.coverage >= COVERAGE_MIN,
      measured: percent(honesty.coverage),
    },
  ];
}

function simulationGates({ points, relearned }: SimulatedRuns): readonly Gate[] {
  const { coverageMin, halfWidthMax, share } = SIMULATION;
  const worst = points.reduce((least, point) => (point.coverage < least.coverage ? point : least));
  const width = points.find((point) => point.share === share)?.halfWidthMean ?? Number.NaN;
  return [
    {
      name: `the simulated frontier's intervals cover at least ${percent(coverageMin)} at every share`,
      passed: worst.coverage >= coverageMin,
      measured: `${percent(worst.coverage)} (at ${percent(worst.share)} sent)`,
    },
    {
      name: `their mean half-width at ${percent(share)} sent is at most ${percent(halfWidthMax)}`,
      passed: width <= halfWidthMax,
      measured: percent(width),
    },
    {
      name: `policies relearned from labels break their promise in at most ${percent(LEARN.delta)} of draws`,
      passed: relearned.promises > 0 && clopperPearsonLower(relearned.broken, relearned.promises, 0.05) <= LEARN.delta,
      measured: `${relearned.broken} of ${relearned.promises}, mean bound ${percent(relearned.epsilonMean)}`,
    },
  ];
}

function budgetNote({ points, frames, labelledMean, sampleShare }: SimulatedRuns): string {
  const { share, halfWidthMax } = SIMULATION;
  const width = points.find((point) => point.share === share)?.halfWidthMean ?? Number.NaN;
  const needed = Math.ceil(labelledMean * (width / halfWidthMax) ** 2);
  return `Sampling budget: the policy draws ${percent(sampleShare)} of frames, ${labelledMean.toFixed(0)} labelled frames of ${frames}. A half-width of ${percent(halfWidthMax)} at ${percent(share)} sent needs about ${needed}, the sample of ${Math.ceil(needed / sampleShare)} frames.`;
}

const budgetGate = (what: string, overshoot: number): Gate => ({
  name: `${what} overshot by at most ${percent(OVERSHOOT_MAX)} in an hour`,
  passed: overshoot <= OVERSHOOT_MAX,
  measured: percent(overshoot),
});

const shareOf = (frames: readonly TestFrame[], of: (frame: TestFrame) => boolean): number =>
  frames.filter(of).length / frames.length;

const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;

const withInterval = (
  value: number,
  interval: { readonly lower: number; readonly upper: number } | undefined,
): string =>
  `${(100 * value).toFixed(1)} % [${(100 * (interval?.lower ?? Number.NaN)).toFixed(1)}, ${(100 * (interval?.upper ?? Number.NaN)).toFixed(1)}]`;
