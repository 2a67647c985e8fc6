/** `bench judge`: how often a canary analysis calls an equal model harmful, and how soon it detects a harmful one.
 *
 * All judges see the same draws, look once a minute for six hours, and stop at their first rollback. A null is a world in
 * which the two models are equally good; devices still differ, drift, and are hit by shocks. */

import { metricDefaults } from "@tributary/rollouts/judge";
import { clopperPearson } from "@tributary/statistics";
import { percent } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";
import { classesJudged, classWorldWords, minuteBy } from "./judge/classes.ts";
import { type Crossed, crossChecked, FEW } from "./judge/cross-check.ts";
import { calm, type World } from "./judge/fleet.ts";
import { pictureOf } from "./judge/picture.ts";
import { GROUP_MINUTES, JUDGES, type JudgeName, type Minutes, type Watched, watchedWorlds } from "./judge/watched.ts";
import { canaryCells } from "./labels/cells.ts";

const FALSE_ROLLBACK_MAX = 0.05;

type Named = { readonly name: string; readonly world: World };
const nulls = [
  { name: "equal models", world: calm },
  { name: "devices drift", world: { ...calm, wanderSd: 0.02 } },
  { name: "a retrained model's effects on devices", world: { ...calm, effectSd: 0.02 } },
  { name: "a shock to all", world: { ...calm, shock: 0.05 } },
  { name: "equal models, a quarter of the labels", world: { ...calm, framesPerMinute: 3 } },
] as const satisfies readonly Named[];
const harms = [
  { name: "1 point worse", harm: 0.01, world: { ...calm, harm: 0.01 } },
  { name: "5 points worse", harm: 0.05, world: { ...calm, harm: 0.05 } },
] as const satisfies readonly (Named & { readonly harm: number })[];

/** Worlds in which no device would do otherwise with the other model: there the cross-check is exact. */
const SHARP: readonly string[] = nulls.filter(({ world }) => world.effectSd === 0).map(({ name }) => name);

/** Minutes by which a rollback must have started: [share of runs, minutes]. */
const bounds = {
  strict: {
    0.01: [
      [0.5, 20],
      [0.9, 35],
    ],
    0.05: [[0.9, 6]],
  },
  "group-sequential": {
    0.01: [
      [0.5, 12],
      [0.9, 35],
    ],
    0.05: [[0.9, 6]],
  },
  production: {
    0.01: [
      [0.5, 45],
      [0.9, 80],
    ],
    0.05: [[0.9, 8]],
  },
} as const;

export const judge: Bench = {
  name: "judge",
  summary: "false rollbacks of equal models, and time to roll back a worse one, beside other methods",
  details: `A fleet of ${calm.devices}, ${calm.canaries} of them canary, ${calm.framesPerMinute} frames with known outcome a device and minute, accuracy ${calm.accuracy}, one look a minute for six hours.
  strict        always-valid test, the device as unit, alpha 5 %, no harm tolerated, no restarts
  production    the defaults: alpha ${metricDefaults.alpha}, ${100 * metricDefaults.tolerated} points tolerated, burn-in 3 min; a group-sequential test until the end of the six hours beside the always-valid one, which restarts every 30 min
  half weight   production where classes and sites are judged as well, and show nothing: the whole has half of the weight
  group-seq.    it alone, no harm tolerated: looks fixed beforehand, all of 5 % spent in ${GROUP_MINUTES} minutes: as much for each doubling of the time, or as O'Brien and Fleming
  others        a z-test at every look; Kayenta's Mann-Whitney on an hour; Argo's failureLimit 3
  cross-check   re-randomisation beside production, on ${FEW.devices} devices of which ${FEW.canaries} are canary: with few the bound leans most on rates near normal
  by class      the whole and each class, merged, beside the whole alone: ${classWorldWords}
  few labels    fleets whose labels are drawn, delayed and missing as devices', and judged by the defaults, hour by hour
Gates: each null at most ${100 * FALSE_ROLLBACK_MAX} % false rollbacks; 1 point worse and 5 points worse seen in time; the runs do not
refute that the cross-check, and the judge by class, call at most ${100 * metricDefaults.alpha} % of equal models harmful; 20 points of all frames,
lost on one class, are seen in 5 minutes, and 5 points of every class hardly later than by the whole alone; the runs do not refute that,
whatever the labels, at most 5 % of harmless canaries are rolled back, and at most 5 % of harmful ones shown safe.
With --long 2,000 runs a world, else 200 and the exact lower bound of the rate is judged.`,
  run,
};

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const runs = isLong ? 2_000 : 200;
  const results = await watchedWorlds([...nulls, ...harms], runs, progress);
  const of = (name: string) => results.get(name) as Watched;
  const falseRows = nulls.map(({ name }) => [name, ...JUDGES.map((j) => percent(shareOf(of(name)[j])))]);
  const soonRows = harms.map(({ name }) => [
    name,
    ...JUDGES.map((j) => [0.5, 0.9].map((q) => minuteBy(of(name)[j], q) ?? "never").join(" / ")),
  ]);
  const gates: Gate[] = nulls.flatMap(({ name }) =>
    (["strict", "production", "half weight", "group-sequential"] as const).map((j): Gate => {
      const hits = of(name)[j].filter((minute) => minute !== null).length;
      // Few runs cannot show a rate of 5 %: then the gate is that they do not refute it.
      const rate = isLong ? hits / runs : clopperPearson(hits, runs, 0.98).lower;
      const measured = `${hits} of ${runs}`;
      return {
        name: `${name}: ${j} rolls back at most ${percent(FALSE_ROLLBACK_MAX)}`,
        passed: rate <= FALSE_ROLLBACK_MAX,
        measured,
      };
    }),
  );
  gates.push(...soonGates((name, j) => of(name)[j]));
  const crossed = new Map<string, readonly Crossed[]>();
  for (const [w, { name, world }] of [...nulls, ...harms].entries()) {
    crossed.set(name, await crossChecked(world, runs, 50_000_001 + w * 1_000_000));
    progress(`${name}, cross-checked: ${runs} runs`);
  }
  for (const name of SHARP) {
    const hits = crossed.get(name)?.filter(({ harmfulAt }) => harmfulAt !== null).length ?? 0;
    gates.push({
      // Its level is all of alpha, or nearly, so half of all benches see more.
      name: `${name}: consistent with the cross-check calling at most ${percent(metricDefaults.alpha)} harmful`,
      passed: clopperPearson(hits, runs, 0.98).lower <= metricDefaults.alpha,
      measured: `${hits} of ${runs}`,
    });
  }
  const classes = await classesJudged(runs, progress);
  gates.push(...classes.gates);
  const labels = await canaryCells(isLong, progress);
  gates.push(...labels.gates);
  return {
    tables: [
      {
        title: `Equal models rolled back, in six hours (${runs} runs per row)`,
        columns: ["world", ...JUDGES],
        rows: falseRows,
      },
      { title: "Minutes until half / nine tenths are rolled back", columns: ["world", ...JUDGES], rows: soonRows },
      {
        title: `Production beside its cross-check, ${FEW.canaries} of ${FEW.devices} devices canary`,
        columns: ["world", "rolled back", "cross-check: harm", "agrees by the rollback", "agrees later"],
        rows: [...crossed].map(([name, found]) => crossedRow(name, found)),
      },
      ...classes.tables,
      ...labels.tables,
    ],
    gates,
    figures: {
      ...Object.fromEntries(results),
      crossCheck: Object.fromEntries(crossed),
      byClass: classes.figures,
      labels: labels.figures,
    },
    svg: pictureOf(nulls[1].name, of(nulls[1].name), harms[0].name, of(harms[0].name)),
  };
}

function soonGates(minutesOf: (name: string, judge: JudgeName) => Minutes): Gate[] {
  const gates: Gate[] = [];
  for (const { name, harm } of harms) {
    for (const j of ["strict", "production", "half weight", "group-sequential"] as const) {
      for (const [share, minutes] of bounds[j === "half weight" ? "production" : j][harm]) {
        const found = minuteBy(minutesOf(name, j), share);
        gates.push({
          name: `${name}: ${j} rolls ${100 * share} % back within ${minutes} min`,
          passed: found !== null && found <= minutes,
          measured: found === null ? "never" : `${found} min`,
        });
      }
    }
  }
  return gates;
}

function crossedRow(name: string, found: readonly Crossed[]): readonly (string | number)[] {
  const shareOfRuns = (some: readonly unknown[]) => percent(some.length / found.length);
  const back = found.filter(({ backAt }) => backAt !== null);
  const agreed = back.filter(({ harmfulAt, backAt }) => harmfulAt !== null && harmfulAt <= (backAt as number));
  const later = back.filter(({ harmfulAt, backAt }) => harmfulAt !== null && harmfulAt > (backAt as number));
  const of = (some: readonly unknown[]) => (back.length === 0 ? "-" : `${some.length} of ${back.length}`);
  return [
    name,
    shareOfRuns(back),
    shareOfRuns(found.filter(({ harmfulAt }) => harmfulAt !== null)),
    of(agreed),
    of(later),
  ];
}

const shareOf = (minutes: Minutes): number => minutes.filter((minute) => minute !== null).length / minutes.length;
