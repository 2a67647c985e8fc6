/** `bench experiments`: how often an experiment's verdict is wrong, whether its bands cover the truth, and how soon it decides.
 *
 * All judges look once an hour and stop at their first verdict. A null is a world in which both policies are worth the same; devices still
 * differ, drift, and are hit by shocks. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import {
  type ArmVerdict,
  ExperimentJudge,
  experimentDefaults,
  plannedVariances,
  utilityOf,
  type Weights,
} from "@tributary/rollouts/experiment";
import { completePolicy, parsePolicy } from "@tributary/routing";
import { clopperPearson } from "@tributary/statistics";
import { percent, quantilesOf } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";
import { calm, ExperimentFleet, type World } from "./experiments/fleet.ts";
import { type HoursFound, hoursFound } from "./experiments/hours.ts";
import { AsRouted, type Other, PeekedZTest, PerFrameTest } from "./experiments/others.ts";
import { DEVICE_FRAMES, FRAMES, type Planned, plannedRuns } from "./experiments/planned.ts";
import { experimentCells } from "./labels/cells.ts";
import { judgedPhotos, testFrames } from "./routing/judged.ts";

const { alpha, lateMargin } = experimentDefaults;
const WEIGHTS: Weights = { correct: 1, escalated: 0.05, late: 1 };
const ROPE = 0.01;
const HOUR = 3_600_000;
const EDGE = fileURLToPath(new URL("../../../models/edge-resnet8/", import.meta.url));
const CLOUD = fileURLToPath(new URL("../../../models/cloud-vgg/", import.meta.url));
const PLANNED_RUNS = 200;
const HOURS_RUNS = 60;
/** A forecast is off by this factor at most, either way, from when half of the experiments were decided. */
const FORECAST_FACTOR = 1.5;
/** By then half of the experiments with a 2-point gain are decided. */
const HALF_HOURS_MAX = 24;

const JUDGES = ["tributary", "peeked z-test", "per-frame test", "arms as routed"] as const;
type JudgeName = (typeof JUDGES)[number];

type Named = { readonly name: string; readonly world: World; readonly right: readonly ArmVerdict[] };
const nulls: readonly Named[] = [
  { name: "equal policies", world: calm },
  { name: "devices drift", world: { ...calm, wanderSd: 0.02 } },
  { name: "effects on devices, none on average", world: { ...calm, effectSd: 0.02 } },
  { name: "a shock to all", world: { ...calm, shock: 0.05 } },
].map((one) => ({ ...one, right: ["equivalent"] }));
const gain2 = { correct: 0.032, escalated: 0.2, late: 0.002 };
const effects: readonly Named[] = [
  { name: "2 points of utility gained", world: { ...calm, effect: gain2 }, right: ["adopt"] },
  {
    name: "5 points more accurate, too slow",
    world: { ...calm, effect: { correct: 0.05, escalated: 0, late: 0.06 } },
    right: ["reject"],
  },
];

export const experiments: Bench = {
  name: "experiments",
  summary: "wrong verdicts of experiments, coverage of their bands, and time to decide, beside other tests",
  details: `Two policies on ${calm.arm} devices each, ${calm.frames} frames a device and hour of which ${calm.labels} have a label, ${calm.hours / 24} days, one look an hour.
Utility of a frame: ${WEIGHTS.correct} if right, less ${WEIGHTS.escalated} if escalated, less ${WEIGHTS.late} if late; the same within ${ROPE}; the late share may rise by ${100 * lateMargin} points.
  tributary       the device as unit, always-valid, alpha ${alpha} over adopt, reject and equivalent
  peeked z-test   utility of all frames, 5 %, at every look
  per-frame test  always-valid, as if frames were independent
  arms as routed  an arm drawn for each call: accuracy of the frames that the cloud answered in time, which are all that carry it
Before it: what "tributary experiment plan" names from ${FRAMES} logged frames, real photos through both models, in ${PLANNED_RUNS} draws.
Gates: wrong verdicts at most alpha in each world; the band of the gain holds the truth at every look in 95 % of the runs; half of the
experiments with a 2-point gain are decided in ${HALF_HOURS_MAX} hours; in 95 % of the draws the plan names the best arm, or its intervals hold the truth; they hold it in 95 %
also where frames are of devices that each see few scenes; and the hours that it forecasts are those in which half of the experiments are decided, within a factor of ${FORECAST_FACTOR}. With --long 2,000 runs a world, else 200 and the exact bound of each rate is judged.`,
  run,
};

type Run = {
  readonly verdicts: Readonly<Record<JudgeName, ArmVerdict>>;
  readonly hours: number | null;
  readonly isCovered: boolean;
};

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const runs = isLong ? 2_000 : 200;
  const results = new Map<string, readonly Run[]>();
  for (const [w, { name, world }] of [...nulls, ...effects].entries()) {
    const found: Run[] = [];
    for (let i = 0; i < runs; i++) {
      found.push(once(world, 1 + w * 1_000_000 + i));
      if (i % 20 === 0) await new Promise(setImmediate); // Lets Ctrl-C be handled.
    }
    results.set(name, found);
    progress(`${name}: ${runs} runs`);
  }
  const { planned, ofDevices, hours } = await plannedFromPhotos(progress);
  const labels = await experimentCells(isLong, progress);
  const of = (name: string) => results.get(name) as readonly Run[];
  const all = [...nulls, ...effects];
  const wrongOf = ({ name, right }: Named, judge: JudgeName) =>
    of(name).filter(({ verdicts }) => verdicts[judge] !== "undecided" && !right.includes(verdicts[judge])).length;
  const gates = all.flatMap((one): Gate[] => {
    const wrong = wrongOf(one, "tributary");
    const missed = of(one.name).filter(({ isCovered }) => !isCovered).length;
    return [
      atMost(`${one.name}: wrong verdicts at most ${percent(alpha)}`, wrong, runs, isLong),
      atMost(`${one.name}: bands that miss the truth at some look at most ${percent(alpha)}`, missed, runs, isLong),
    ];
  });
  const [gained] = effects as [Named, Named];
  const half = hoursBy(of(gained.name), 0.5);
  gates.push({
    name: `${gained.name}: half decided within ${HALF_HOURS_MAX} hours`,
    passed: half !== null && half <= HALF_HOURS_MAX,
    measured: half === null ? "never" : `${half} hours`,
  });
  for (const [name, { within, runs: draws }] of planned) {
    const gate = `${name}: the plan names the best arm, or its intervals hold the truth, in 95 %`;
    gates.push({ name: gate, passed: within / draws >= 0.95, measured: `${within} of ${draws}` });
  }
  gates.push(...labels.gates);
  gates.push(...planGates(ofDevices, hours));
  const shareOf = (name: string, verdict: ArmVerdict) =>
    percent(of(name).filter(({ verdicts }) => verdicts.tributary === verdict).length / runs);
  return {
    tables: [
      {
        title: `Wrong verdicts, in ${calm.hours / 24} days (${runs} runs per row)`,
        columns: ["world", ...JUDGES],
        rows: all.map((one) => [one.name, ...JUDGES.map((judge) => percent(wrongOf(one, judge) / runs))]),
      },
      {
        title: "Verdicts, bands that hold the truth at every look, hours until half / nine tenths are decided",
        columns: ["world", "adopt", "reject", "equivalent", "undecided", "bands", "hours"],
        rows: all.map(({ name }) => [
          name,
          ...(["adopt", "reject", "equivalent", "undecided"] as const).map((verdict) => shareOf(name, verdict)),
          percent(of(name).filter(({ isCovered }) => isCovered).length / runs),
          [0.5, 0.9].map((share) => hoursBy(of(name), share) ?? "never").join(" / "),
        ]),
      },
      plannedTable(planned),
      ofDevicesTable(ofDevices),
      hoursTable(hours),
      ...labels.tables,
    ],
    gates,
    figures: {
      ...Object.fromEntries(results),
      planned: Object.fromEntries(planned),
      ofDevices: Object.fromEntries(ofDevices),
      hours,
      labels: labels.figures,
    },
  };
}

function planGates(ofDevices: FromPhotos["ofDevices"], hours: FromPhotos["hours"]): readonly Gate[] {
  const covers = [...ofDevices].map(([name, { covered, runs: draws }]) =>
    atMost(`${name}, devices: intervals that miss a lead at most ${percent(alpha)}`, draws - covered, draws, false),
  );
  const forecasts = hours.map(({ name, forecast, half }): Gate => {
    const off = forecast === null ? Number.POSITIVE_INFINITY : Math.max(forecast / half, half / forecast);
    const gate = `${name}: the forecast is off by a factor of ${FORECAST_FACTOR} at most`;
    return { name: gate, passed: off <= FORECAST_FACTOR, measured: off.toFixed(2) };
  });
  return [...covers, ...forecasts];
}

const plannedTable = (planned: FromPhotos["planned"]): Table => ({
  title: `What the plan names from ${FRAMES} logged frames (${PLANNED_RUNS} draws)`,
  columns: ["calls are", "best", "best named", "shown, and wrong", "intervals hold all leads"],
  rows: [...planned].map(plannedRow),
});

const plannedRow = ([name, { best, runs, named, wrong, covered }]: readonly [string, Planned]) => [
  ...[name, best, percent(named / runs), percent(wrong / runs), percent(covered / runs)],
];

const ofDevicesTable = (planned: FromPhotos["ofDevices"]): Table => ({
  title: `The same from ${DEVICE_FRAMES} frames of devices that see few scenes each, with unequal frames, labels and propensities (${PLANNED_RUNS} draws)`,
  columns: [...plannedTable(planned).columns, "as if frames were independent"],
  rows: [...planned].map((one) => [...plannedRow(one), percent(one[1].coveredAsFrames / one[1].runs)]),
});

const hoursTable = (hours: readonly HoursFound[]): Table => ({
  title: `Hours until an experiment is decided, labels of unequal weight and number (${HOURS_RUNS} experiments each)`,
  columns: ["arm", "gain of 1,000 frames", "forecast", "as if labels were equal", "half decided", "wrong verdicts"],
  rows: hours.map(({ name, gain, forecast, asEqual, half, wrong, runs }) => [
    name,
    (1_000 * gain).toFixed(1),
    forecast?.toFixed(0) ?? "more than a year",
    asEqual?.toFixed(0) ?? "more than a year",
    half,
    `${wrong} of ${runs}`,
  ]),
});

type FromPhotos = {
  readonly planned: ReadonlyMap<string, Planned>;
  readonly ofDevices: ReadonlyMap<string, Planned>;
  readonly hours: readonly HoursFound[];
};

async function plannedFromPhotos(progress: (line: string) => void): Promise<FromPhotos> {
  const { digest: modelDigest, policy: content } = await loadPackage(EDGE);
  const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
  const policy = completePolicy(parsePolicy(content), { modelDigest, createdAt: 0, sha256Hex });
  const photos = testFrames(await judgedPhotos(EDGE, CLOUD, progress), policy.temperature);
  progress(`plans from ${PLANNED_RUNS} draws of logged frames`);
  const runs = PLANNED_RUNS;
  const planned = plannedRuns(photos, policy, { runs, seed: 90_000_001, hasDevices: false });
  progress(`plans from ${PLANNED_RUNS} draws of devices that see few scenes`);
  const ofDevices = plannedRuns(photos, policy, { runs, seed: 95_000_001, hasDevices: true });
  progress(`${HOURS_RUNS} experiments with labels of unequal weight and number`);
  return { planned, ofDevices, hours: hoursFound(photos, policy, HOURS_RUNS, 97_000_001) };
}

/** Few runs cannot show a rate of 5 %: then the gate is that they do not refute it. */
function atMost(name: string, count: number, runs: number, isLong: boolean): Gate {
  const rate = isLong ? count / runs : clopperPearson(count, runs, 0.98).lower;
  return { name, passed: rate <= alpha, measured: `${count} of ${runs}` };
}

function once(world: World, seed: number): Run {
  const fleet = new ExperimentFleet(world, seededRandom(seed));
  const planned = plannedVariances(
    {
      devices: [world.arm, world.arm],
      rates: world.control,
      frames: { correct: 24 * world.labels, escalated: 24 * world.frames, late: 24 * world.frames },
      deviceSd: { correct: 0.02, escalated: 0.01, late: 0.001 },
    },
    WEIGHTS,
  );
  const settings = { ...experimentDefaults, burnInMs: HOUR, weights: WEIGHTS, rope: ROPE, planned, arms: 1 };
  const judge = new ExperimentJudge(settings);
  const others: Readonly<Record<Exclude<JudgeName, "tributary">, Other>> = {
    "peeked z-test": new PeekedZTest(WEIGHTS),
    "per-frame test": new PerFrameTest(WEIGHTS),
    "arms as routed": new AsRouted(world, seededRandom(seed + 500_000)),
  };
  const verdicts: Record<JudgeName, ArmVerdict> = {
    tributary: "undecided",
    "peeked z-test": "undecided",
    "per-frame test": "undecided",
    "arms as routed": "undecided",
  };
  const truth = utilityOf(world.effect, WEIGHTS);
  let hours: number | null = null;
  let isCovered = true;
  for (let hour = 1; hour <= world.hours; hour++) {
    const pooled = fleet.step();
    const look = judge.look(hour * HOUR, fleet.control, fleet.arm);
    if (look !== null) {
      const { lower, upper } = look.gain.band;
      isCovered &&= lower <= truth && truth <= upper;
      if (hours === null && look.verdict !== "undecided") {
        verdicts.tributary = look.verdict;
        hours = hour;
      }
    }
    for (const [name, other] of Object.entries(others) as [keyof typeof others, Other][]) {
      if (verdicts[name] === "undecided") verdicts[name] = other.look(pooled) ?? "undecided";
    }
  }
  return { verdicts, hours, isCovered };
}

function hoursBy(runs: readonly Run[], share: number): number | null {
  const never = Number.POSITIVE_INFINITY;
  const [found] = quantilesOf(
    runs.map(({ hours }) => hours ?? never),
    share,
  );
  return Number.isFinite(found) ? (found as number) : null;
}
