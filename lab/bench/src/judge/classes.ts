/** The judge with and without segments, in fleets whose devices have favourite classes: harm on one class, harm on all, none.
 *
 * Both see the same draws: "whole" judges the metric alone, as rollouts did before; "by class" is what they do now. At the
 * deadline of an analysis that decided nothing, both go on: what is asked is when evidence alone rolls back. */

import { seededRandom } from "@tributary/kernel";
import { MetricWatch, metricDefaults, plannedVariance, pOfOneLook, segmentWeights } from "@tributary/rollouts/judge";
import { clopperPearson } from "@tributary/statistics";
import { percent, quantilesOf } from "@tributary/testing";
import type { Gate, Table } from "../bench.ts";
import { ClassFleet, type ClassWorld, shareOfFirst } from "./class-fleet.ts";

const MINUTE = 60_000;
const ARMS = [8, 16] as const;
const CLASSES = [2, 3, 5, 10] as const;

/** A canary and a control of a few devices each, four of five frames of each device of its favourite class. */
const world: ClassWorld = {
  arm: 8,
  classes: 2,
  favourite: 0.8,
  common: 0.5,
  minutes: 60,
  framesPerMinute: 12,
  accuracy: 0.9,
  classSd: 0.03,
  deviceSd: 0.03,
  effectSd: 0,
  sites: 2,
  siteSd: 0,
  harm: 0,
  harmOnOne: 0,
};
/** One class is common: where there are many, three of ten devices look mostly at it. */
const worldOf = (arm: number, classes: number): ClassWorld => {
  return { ...world, arm, classes, common: Math.max(1 / classes, 0.3) };
};

/** Labelled frames of a device and minute: with few, few of them are of the class that is harmed. */
const RATES = [12, 36] as const;
/** The rate at which time is gated. */
const GATED_RATE = 36;

const nulls: readonly (readonly [name: string, change: Partial<ClassWorld>])[] = [
  ["equal models", {}],
  ["a retrained model's effects on devices and classes", { effectSd: 0.03 }],
  ["what each site sees wanders", { siteSd: 0.03 }],
  ["nearly one class a device", { favourite: 0.95 }],
];

const [ON_ONE, ON_ALL] = ["20 points of all frames, on one class", "5 points of every class"] as const;

type Found = {
  readonly whole: number | null;
  readonly byClass: number | null;
  /** At the last minute, undecided: the estimate is beyond the margin, and beyond chance. */
  readonly isBeyondMargin: boolean;
  readonly isSuspect: boolean;
};

export const classWorldWords = `${ARMS.map((arm) => `${arm} + ${arm}`).join(" and ")} devices, ${CLASSES.join(", ")} classes, ${world.favourite * 100} % of a device's frames of its favourite one, ${RATES.join(" and ")} labelled frames a device and minute`;

/** Minutes by which nine of ten runs are back, 20 points of all frames being lost on one class. */
const BACK_MINUTES_MAX = 5;
/** Merging costs ln 2 of evidence: the time that this takes where harm falls on all classes alike. */
const SLOWER_MAX = 1.25;

type Row = readonly (string | number)[];
/** Runs of one world, under seeds of their own; kept as figures under its name. */
type Judged = (name: string, one: ClassWorld) => Promise<readonly Found[]>;

export async function classesJudged(
  runs: number,
  progress: (line: string) => void,
): Promise<{ readonly tables: readonly Table[]; readonly gates: readonly Gate[]; readonly figures: object }> {
  const figures: Record<string, readonly Found[]> = {};
  let seed = 200_000_001;
  const judged: Judged = async (name, one) => {
    seed += 1_000_000;
    const found = await runsOf(one, runs, seed);
    figures[name] = found;
    return found;
  };
  const [falseRows, soonRows, gates]: [Row[], Row[], Gate[]] = [[], [], []];
  for (const arm of ARMS) {
    for (const classes of CLASSES) {
      const equal = await falseRollbacks(worldOf(arm, classes), judged);
      falseRows.push(...equal.rows);
      const harmed = await timesToRollback(worldOf(arm, classes), judged);
      soonRows.push(...harmed.rows);
      gates.push(...equal.gates, ...harmed.gates);
      progress(`${placeOf(worldOf(arm, classes))}: ${runs} runs a row`);
    }
  }
  return {
    tables: [
      {
        title: `Rolled back although equal, in ${world.minutes} minutes, where devices have favourite classes (${runs} runs a row)`,
        columns: ["arm", "classes", "world", "whole", "by class", "then by estimate", "if by margin alone"],
        rows: falseRows,
      },
      {
        title: "Minutes until half / nine tenths are rolled back, where devices have favourite classes",
        columns: ["arm", "classes", "labels a minute", "harm", "whole", "by class"],
        rows: soonRows,
      },
    ],
    gates,
    figures,
  };
}

const placeOf = ({ arm, classes }: ClassWorld) => `${arm} + ${arm} devices, ${classes} classes`;

type Measured = { readonly rows: readonly Row[]; readonly gates: readonly Gate[] };

async function falseRollbacks(fleet: ClassWorld, judged: Judged): Promise<Measured> {
  const [rows, gates]: [Row[], Gate[]] = [[], []];
  const { alpha } = metricDefaults;
  const place = placeOf(fleet);
  for (const [name, change] of nulls) {
    const found = await judged(`${place}: ${name}`, { ...fleet, ...change });
    const count = (is: (one: Found) => boolean) => found.filter(is).length;
    const hits = count(({ byClass }) => byClass !== null);
    const others = [({ isSuspect }: Found) => isSuspect, ({ isBeyondMargin }: Found) => isBeyondMargin].map(count);
    const counts = [count(({ whole }) => whole !== null), hits, ...others];
    rows.push([fleet.arm, fleet.classes, name, ...counts.map((n) => percent(n / found.length))]);
    gates.push({
      name: `${place}, ${name}: at most ${percent(alpha)} rolled back by class`,
      passed: clopperPearson(hits, found.length, 0.98).lower <= alpha,
      measured: `${hits} of ${found.length}`,
    });
  }
  return { rows, gates };
}

async function timesToRollback(fleet: ClassWorld, judged: Judged): Promise<Measured> {
  const [rows, gates]: [Row[], Gate[]] = [[], []];
  const harms = [
    [ON_ONE, { harmOnOne: 0.2 / shareOfFirst(fleet) }],
    ["20 points of one class", { harmOnOne: 0.2 }],
    [ON_ALL, { harm: 0.05 }],
  ] as const;
  for (const rate of RATES) {
    for (const [name, change] of harms) {
      const called = `${placeOf(fleet)}, ${rate} labels a minute: ${name}`;
      const found = await judged(called, { ...fleet, ...change, framesPerMinute: rate });
      const minute = (judge: "whole" | "byClass", share: number) =>
        minuteBy(
          found.map((one) => one[judge]),
          share,
        );
      const cell = (judge: "whole" | "byClass") => [0.5, 0.9].map((q) => minute(judge, q) ?? "never").join(" / ");
      rows.push([fleet.arm, fleet.classes, rate, name, cell("whole"), cell("byClass")]);
      if (rate === GATED_RATE) gates.push(...soonGates(called, name, minute("byClass", 0.9), minute("whole", 0.9)));
    }
  }
  return { rows, gates };
}

/** `last`: minutes by which nine of ten are back by class; `before`: by the whole alone. */
function soonGates(called: string, name: string, last: number | null, before: number | null): readonly Gate[] {
  const measured = `${last ?? "never"}, by the whole alone ${before ?? "never"}`;
  if (name === ON_ONE) {
    const passed = last !== null && last <= BACK_MINUTES_MAX;
    return [{ name: `${called}: nine of ten back within ${BACK_MINUTES_MAX} min`, passed, measured }];
  }
  if (name !== ON_ALL) return [];
  const passed = before === null || (last !== null && last <= Math.ceil(SLOWER_MAX * before));
  return [{ name: `${called}: nine of ten back in ${SLOWER_MAX} times what the whole takes`, passed, measured }];
}

async function runsOf(one: ClassWorld, runs: number, seed: number): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (let i = 0; i < runs; i++) {
    found.push(once(one, seed + i));
    if (i % 20 === 0) await new Promise(setImmediate); // Lets Ctrl-C be handled.
  }
  return found;
}

function once(one: ClassWorld, seed: number): Found {
  const { arm, accuracy, framesPerMinute, classes } = one;
  const fleet = new ClassFleet(one, seededRandom(seed));
  const planned = plannedVariance({
    canaries: arm,
    controls: arm,
    rate: accuracy,
    frames: 30 * framesPerMinute,
    deviceSd: Math.sqrt((accuracy * (1 - accuracy)) / (1_440 * framesPerMinute)),
  });
  const settings = { ...metricDefaults, endMs: one.minutes * MINUTE, plannedVariance: planned };
  const [whole, byClass] = [
    new MetricWatch(settings),
    new MetricWatch({ ...settings, segments: segmentWeights([classes]) }),
  ];
  const found: { whole: number | null; byClass: number | null } = { whole: null, byClass: null };
  let last: ReturnType<MetricWatch["look"]> = null;
  for (let minute = 1; minute <= one.minutes && (found.whole === null || found.byClass === null); minute++) {
    fleet.step();
    if (found.whole === null && whole.look(minute * MINUTE, fleet.whole)?.isHarmful) found.whole = minute;
    if (found.byClass !== null) continue;
    last = byClass.look(minute * MINUTE, fleet.whole, fleet.byClass);
    if (last?.isHarmful) found.byClass = minute;
  }
  const isBeyondMargin = found.byClass === null && last !== null && last.comparison.harm > metricDefaults.margin;
  return {
    ...found,
    isBeyondMargin,
    isSuspect: isBeyondMargin && last !== null && pOfOneLook(last.comparison) <= metricDefaults.alpha,
  };
}

/** The minute by which this share of the runs was rolled back; null: never. */
export function minuteBy(minutes: readonly (number | null)[], share: number): number | null {
  const never = Number.POSITIVE_INFINITY;
  const [found] = quantilesOf(
    minutes.map((minute) => minute ?? never),
    share,
  );
  return Number.isFinite(found) ? found : null;
}
