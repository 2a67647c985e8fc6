/** The judge with and without segments, in fleets whose devices have favourite classes: harm on one class, harm on all, none.
 *
 * C1. Both see the same draws: "whole" judges the metric alone, as rollouts did before; "by class" is what they do now.
 * C2. At the deadline of an analysis that decided nothing, both go on: what is asked is when evidence alone rolls back. */

import { seededRandom } from "@tributary/kernel";
import { MetricWatch, metricDefaults, plannedVariance, pOfOneLook, segmentWeights } from "@tributary/rollouts/judge";
import { clopperPearson } from "@tributary/statistics";
import type { Gate, Table } from "../bench.ts";
import { ClassFleet, type ClassWorld, shareOfFirst } from "./class-fleet.ts";

const MINUTE = 60_000;
const ARMS = [8, 16] as const;
const CLASSES = [2, 3, 5, 10] as const;

/** A canary and a control of a few devices each, four of five frames of each device of its favourite class. */
const world: ClassWorld = {
  ...{ arm: 8, classes: 2, favourite: 0.8, common: 0.5, minutes: 60, framesPerMinute: 12 },
  ...{ accuracy: 0.9, classSd: 0.03, deviceSd: 0.03, effectSd: 0, sites: 2, siteSd: 0, harm: 0, harmOnOne: 0 },
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

export async function classesJudged(
  runs: number,
  progress: (line: string) => void,
): Promise<{ readonly tables: readonly Table[]; readonly gates: readonly Gate[]; readonly figures: object }> {
  const gates: Gate[] = [];
  const figures: Record<string, readonly Found[]> = {};
  const falseRows: (string | number)[][] = [];
  const soonRows: (string | number)[][] = [];
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const alpha = metricDefaults.alpha;
  const judged = async (name: string, one: ClassWorld, seed: number) => {
    const found = await runsOf(one, runs, seed);
    figures[name] = found;
    return found;
  };
  let seed = 200_000_001;
  const nextSeed = () => {
    seed += 1_000_000;
    return seed;
  };
  for (const arm of ARMS) {
    for (const classes of CLASSES) {
      const fleet = worldOf(arm, classes);
      const place = `${arm} + ${arm} devices, ${classes} classes`;
      for (const [name, change] of nulls) {
        const found = await judged(`${place}: ${name}`, { ...fleet, ...change }, nextSeed());
        const share = (is: (one: Found) => boolean) => found.filter(is).length / runs;
        const hits = found.filter(({ byClass }) => byClass !== null).length;
        const ends = [share(({ isSuspect }) => isSuspect), share(({ isBeyondMargin }) => isBeyondMargin)] as const;
        falseRows.push([
          ...[arm, classes, name, percent(share(({ whole }) => whole !== null)), percent(hits / runs)],
          ...ends.map(percent),
        ]);
        gates.push({
          name: `${place}, ${name}: at most ${percent(alpha)} rolled back by class`,
          passed: clopperPearson(hits, runs, 0.98).lower <= alpha,
          measured: `${hits} of ${runs}`,
        });
      }
      const lost = 0.2 / shareOfFirst(fleet);
      const harms = [
        [ON_ONE, { harmOnOne: lost }],
        ["20 points of one class", { harmOnOne: 0.2 }],
        [ON_ALL, { harm: 0.05 }],
      ] as const;
      for (const rate of RATES) {
        for (const [name, change] of harms) {
          const called = `${place}, ${rate} labels a minute: ${name}`;
          const found = await judged(called, { ...fleet, ...change, framesPerMinute: rate }, nextSeed());
          const [whole, byClass] = (["whole", "byClass"] as const).map((judge) =>
            [0.5, 0.9].map((q) =>
              minuteBy(
                found.map((one) => one[judge]),
                q,
              ),
            ),
          ) as [(number | null)[], (number | null)[]];
          const told = [whole, byClass].map((two) => two.map((one) => one ?? "never").join(" / "));
          soonRows.push([arm, classes, rate, name, ...told]);
          if (rate === GATED_RATE) gates.push(...soonGates(called, name, byClass[1] ?? null, whole[1] ?? null));
        }
      }
      progress(`${place}: ${runs} runs a row`);
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
    if (i % 20 === 0) await new Promise(setImmediate); // Ctrl-C is heard.
  }
  return found;
}

/** C1, C2. */
function once(one: ClassWorld, seed: number): Found {
  const { arm, accuracy, framesPerMinute, classes } = one;
  const fleet = new ClassFleet(one, seededRandom(seed));
  const planned = plannedVariance({
    ...{ canaries: arm, controls: arm, rate: accuracy, frames: 30 * framesPerMinute },
    deviceSd: Math.sqrt((accuracy * (1 - accuracy)) / (1_440 * framesPerMinute)),
  });
  const settings = { ...metricDefaults, plannedVariance: planned };
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
    ...{ ...found, isBeyondMargin },
    isSuspect: isBeyondMargin && last !== null && pOfOneLook(last.comparison) <= metricDefaults.alpha,
  };
}

/** The minute by which this share of the runs was rolled back; null: never. */
export function minuteBy(minutes: readonly (number | null)[], share: number): number | null {
  const sorted = minutes.map((minute) => minute ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const found = sorted[Math.ceil(share * sorted.length) - 1] ?? Number.POSITIVE_INFINITY;
  return Number.isFinite(found) ? found : null;
}
