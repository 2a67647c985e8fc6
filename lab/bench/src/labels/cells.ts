/** Cells of drawn fleets (scenario.ts), each judged many times: how often a verdict is wrong, and how soon there is one. */
import { clopperPearson } from "@tributary/statistics";
import { percent } from "@tributary/testing";
import type { Gate, Table } from "../bench.ts";
import { type Drawing, drawnInWorkers, seedsAfter } from "../in-workers.ts";
import { type Scenario, scenarios, unseen } from "./fleet.ts";
import {
  type CanaryRun,
  drawn,
  type Estimator,
  type ExperimentRun,
  isWrong,
  judgeCanary,
  judgeExperiment,
} from "./judged.ts";

const ESTIMATORS = ["ratio of sums", "mean of ratios"] as const satisfies readonly Estimator[];
const WRONG_MAX = 0.05;
const MARGIN = 0.01;

/** Few labels, few devices, or few of an arm: where a test that leans on rates near normal would fail first. */
const EDGES: readonly string[] = [
  "null, canary of 5 %",
  "null, 20 devices an arm",
  "null, a label in four days",
  "null, 50-fold propensities, few labels",
  "unseen: boastful challenger",
];
/** Takes seconds a draw. */
const LARGE = "null, 3,000 devices, 144 labels";

const runsOf = ({ name }: Scenario, isLong: boolean): number => {
  if (name === LARGE) return isLong ? 40 : 0;
  return isLong ? (EDGES.includes(name) ? 2_000 : 200) : EDGES.includes(name) ? 60 : 20;
};

export type Cells = { readonly tables: readonly Table[]; readonly gates: readonly Gate[]; readonly figures: object };
type Judged<Run> = { readonly scenario: Scenario; readonly runs: Readonly<Record<Estimator, readonly Run[]>> };

export type Cell = { readonly kind: keyof typeof judges; readonly name: string };
const judges = { canary: judgeCanary, experiment: judgeExperiment } as const;
type CellRun<Run> = Readonly<Record<Estimator, Run>>;

const byEstimator = <T>(of: (estimator: Estimator) => T) =>
  Object.fromEntries(ESTIMATORS.map((estimator) => [estimator, of(estimator)])) as Record<Estimator, T>;

/** Each draw of a cell, judged by each estimator. */
export function judgeCell({ of: { kind, name }, seeds }: Drawing<Cell>): readonly CellRun<CanaryRun | ExperimentRun>[] {
  const scenario = [...scenarios, ...unseen].find((one) => one.name === name);
  if (scenario === undefined) throw new Error(`there is no cell ${name}`);
  return seeds.map((seed) => {
    const draw = drawn(scenario, seed, kind === "experiment");
    return byEstimator((estimator) => judges[kind](scenario, draw, draw.arms.length - 1, estimator));
  });
}

async function judged<Run extends CanaryRun | ExperimentRun>(
  kind: Cell["kind"],
  isLong: boolean,
  progress: (line: string) => void,
): Promise<readonly Judged<Run>[]> {
  const cells = [...scenarios, ...unseen].filter((scenario) => runsOf(scenario, isLong) > 0);
  const drawings = cells.map((scenario) => {
    return { of: { kind, name: scenario.name }, seeds: seedsAfter(0, runsOf(scenario, isLong)) };
  });
  const program = new URL("./cells-worker.js", import.meta.url);
  const done = await drawnInWorkers<Cell, CellRun<Run>>(program, drawings, (line) =>
    progress(`fleets with labels as devices draw them: ${line}`),
  );
  return cells.map((scenario, i) => {
    return { scenario, runs: byEstimator((estimator) => (done[i] ?? []).map((runs) => runs[estimator])) };
  });
}

const named = ({ name, unmendable }: Scenario): string => (unmendable ? `${name} (nothing can mend it)` : name);

/** The runs do not refute that at most so many are wrong. */
function atMost(name: string, wrong: number, runs: number): Gate {
  const passed = clopperPearson(wrong, runs, 0.98).lower <= WRONG_MAX;
  return { name: `${name} at most ${percent(WRONG_MAX)}`, passed, measured: `${wrong} of ${runs}` };
}

export async function canaryCells(isLong: boolean, progress: (line: string) => void): Promise<Cells> {
  const cells = await judged<CanaryRun>("canary", isLong, progress);
  const back = (runs: readonly CanaryRun[]) => runs.filter(({ harmfulAt }) => harmfulAt !== null);
  const safe = (runs: readonly CanaryRun[]) => runs.filter(({ safeAt }) => safeAt !== null);
  const gates = cells.flatMap(({ scenario, runs: { "ratio of sums": runs } }): Gate[] => {
    if (scenario.unmendable) return [];
    const harmless = runs.filter(({ truth }) => truth <= 1e-4);
    const harmful = runs.filter(({ truth }) => truth >= MARGIN);
    const isLate = scenario.arms.some(({ effects = [] }) => effects.some(({ fromDay = 0 }) => fromDay > 0));
    return [
      ...(harmless.length === 0
        ? []
        : [atMost(`${scenario.name}: rolled back`, back(harmless).length, harmless.length)]),
      // Of harm that is still to come the canary is free.
      ...(harmful.length === 0 || isLate
        ? []
        : [atMost(`${scenario.name}: shown safe`, safe(harmful).length, harmful.length)]),
    ];
  });
  const share = (some: readonly unknown[], runs: readonly unknown[]) => percent(some.length / runs.length);
  const rows = cells.map(({ scenario, runs }) => [
    named(scenario),
    runs["ratio of sums"].length,
    pointsOf(runs["ratio of sums"][0]?.truth),
    ...ESTIMATORS.flatMap((estimator) => [
      share(back(runs[estimator]), runs[estimator]),
      share(safe(runs[estimator]), runs[estimator]),
    ]),
    medianOf(runs["ratio of sums"].map(({ harmfulAt, safeAt }) => harmfulAt ?? safeAt)),
  ]);
  const title =
    "A canary whose labels are drawn as devices draw them: rolled back, and shown safe; today's estimator beside the mean of devices' ratios";
  const columns = [
    "cell",
    "runs",
    "true loss",
    "rolled back",
    "safe",
    "rolled back, ratios",
    "safe, ratios",
    "hours, half",
  ];
  return { tables: [{ title, columns, rows }], gates, figures: figuresOf(cells) };
}

export async function experimentCells(isLong: boolean, progress: (line: string) => void): Promise<Cells> {
  const cells = await judged<ExperimentRun>("experiment", isLong, progress);
  const gates = cells
    .filter(({ scenario }) => !scenario.unmendable)
    .map(({ scenario, runs: { "ratio of sums": runs } }) =>
      atMost(`${scenario.name}: wrong verdicts`, runs.filter(isWrong).length, runs.length),
    );
  const shareOf = (runs: readonly ExperimentRun[], verdict: string) =>
    percent(runs.filter((run) => run.verdict === verdict).length / runs.length);
  const rows = cells.map(({ scenario, runs }) => [
    named(scenario),
    runs["ratio of sums"].length,
    pointsOf(runs["ratio of sums"][0]?.gain),
    ...["adopt", "reject", "equivalent"].map((verdict) => shareOf(runs["ratio of sums"], verdict)),
    ...ESTIMATORS.map((estimator) => percent(runs[estimator].filter(isWrong).length / runs[estimator].length)),
    medianOf(runs["ratio of sums"].map(({ hours }) => hours)),
  ]);
  const title =
    "Experiments whose labels are drawn as devices draw them; wrong verdicts beside those by the mean of devices' ratios";
  const columns = [
    "cell",
    "runs",
    "true gain",
    "adopt",
    "reject",
    "equivalent",
    "wrong",
    "wrong, ratios",
    "hours, half",
  ];
  return { tables: [{ title, columns, rows }], gates, figures: figuresOf(cells) };
}

const figuresOf = (cells: readonly Judged<unknown>[]): object =>
  Object.fromEntries(cells.map(({ scenario, runs }) => [scenario.name, runs["ratio of sums"]]));

const pointsOf = (share: number | undefined): string => (share === undefined ? "-" : (100 * share).toFixed(2));

/** Of all runs; those without a verdict are later than any. */
function medianOf(hours: readonly (number | null)[]): string | number {
  const sorted = hours.map((hour) => hour ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const half = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(half) ? half : "never";
}
