/** `bench judge`: how often a canary analysis calls an equal model harmful, and how soon it detects a harmful one.
 *
 * All judges see the same draws, look once a minute for six hours, and stop at their first rollback. A null is a world in
 * which the two models are equally good; devices still differ, drift, and are hit by shocks. */

import { seededRandom } from "@tributary/kernel";
import { MetricWatch, metricDefaults, plannedVariance } from "@tributary/rollouts/judge";
import { clopperPearson } from "@tributary/statistics";
import { percent } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";
import { classesJudged, classWorldWords, minuteBy } from "./judge/classes.ts";
import { type Crossed, crossChecked, FEW } from "./judge/cross-check.ts";
import { calm, Fleet, type World } from "./judge/fleet.ts";
import { GroupSequential, logarithmic, looksUntil, obrienFleming } from "./judge/group-sequential.ts";
import { ArgoLike, type Judge, KayentaLike, PeekedZTest } from "./judge/others.ts";
import { pictureOf } from "./judge/picture.ts";
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

const JUDGES = [
  "strict",
  "production",
  "half weight",
  "group-sequential",
  "O'Brien-Fleming",
  "peeked z-test",
  "Kayenta-like",
  "Argo-like",
] as const;
/** Minutes after which the group-sequential tests end. */
const GROUP_MINUTES = 60;
const GROUP_ALPHA = 0.05;
type JudgeName = (typeof JUDGES)[number];
/** Minute of the rollback; null: none in six hours. */
export type Minutes = readonly (number | null)[];

export const judge: Bench = {
  name: "judge",
  summary: "false rollbacks of equal models, and time to roll back a worse one, beside other methods",
  details: `A fleet of ${calm.devices}, ${calm.canaries} of them canary, ${calm.framesPerMinute} frames with known outcome a device and minute, accuracy ${calm.accuracy}, one look a minute for six hours.
  strict        always-valid test, the device as unit, alpha 5 %, no harm tolerated, no restarts
  production    the defaults: alpha ${metricDefaults.alpha}, ${100 * metricDefaults.tolerated} points tolerated, burn-in 3 min, restarted every 30 min
  half weight   production where classes and sites are judged as well, and show nothing: the whole has half of the weight
  group-seq.    looks fixed beforehand, all of 5 % spent in ${GROUP_MINUTES} minutes: as much for each doubling of the time, or as O'Brien and Fleming
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
  const results = new Map<string, Record<JudgeName, Minutes>>();
  for (const [w, { name, world }] of [...nulls, ...harms].entries()) {
    results.set(name, await watched(world, runs, 1 + w * 1_000_000));
    progress(`${name}: ${runs} runs`);
  }
  const of = (name: string) => results.get(name) as Record<JudgeName, Minutes>;
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

const NO_ARM = { good: [], frames: [], before: [] };
/** Of a segment that shows nothing. */
const NOTHING = { control: NO_ARM, canary: NO_ARM };

async function watched(world: World, runs: number, seed: number): Promise<Record<JudgeName, Minutes>> {
  const found = Object.fromEntries(JUDGES.map((name) => [name, [] as (number | null)[]])) as Record<
    JudgeName,
    (number | null)[]
  >;
  for (let i = 0; i < runs; i++) {
    const minutes = watchedOnce(world, seed + i);
    for (const name of JUDGES) found[name].push(minutes[name]);
    if (i % 20 === 0) await new Promise(setImmediate); // Lets Ctrl-C be handled.
  }
  return found;
}

function watchedOnce(world: World, seed: number): Record<JudgeName, number | null> {
  const fleet = new Fleet(world, seededRandom(seed));
  const plannedAt = (minutes: number) =>
    plannedVariance({
      canaries: world.canaries,
      controls: world.devices - world.canaries,
      rate: world.accuracy,
      frames: minutes * world.framesPerMinute,
      // What a day of frames leaves unexplained.
      deviceSd: Math.sqrt((world.accuracy * (1 - world.accuracy)) / (1_440 * world.framesPerMinute)),
    });
  const planned = plannedAt(30);
  const plannedMs = looksUntil(3, GROUP_MINUTES);
  const groups = {
    "group-sequential": new GroupSequential({ plannedMs, spending: logarithmic(GROUP_ALPHA, 3 / GROUP_MINUTES) }),
    "O'Brien-Fleming": new GroupSequential({ plannedMs, spending: obrienFleming(GROUP_ALPHA) }),
  };
  const strict = new MetricWatch({
    ...metricDefaults,
    alpha: 0.05,
    tolerated: 0,
    margin: null,
    burnInMs: 0,
    restartMs: Number.POSITIVE_INFINITY,
    plannedVariance: plannedAt(12),
  });
  const production = new MetricWatch({ ...metricDefaults, plannedVariance: planned });
  const half = new MetricWatch({ ...metricDefaults, plannedVariance: planned, segments: [0.5] });
  const others: Readonly<Record<"peeked z-test" | "Kayenta-like" | "Argo-like", Judge>> = {
    "peeked z-test": new PeekedZTest(),
    "Kayenta-like": new KayentaLike(),
    "Argo-like": new ArgoLike(),
  };
  const found: Record<JudgeName, number | null> = {
    strict: null,
    production: null,
    "half weight": null,
    "group-sequential": null,
    "O'Brien-Fleming": null,
    "peeked z-test": null,
    "Kayenta-like": null,
    "Argo-like": null,
  };
  for (let minute = 1; minute <= world.minutes; minute++) {
    const pooled = fleet.step();
    for (const [name, watch] of [
      ["strict", strict],
      ["production", production],
      ["half weight", half],
    ] as const) {
      if (name !== "strict" && found[name] !== null) continue;
      const look = watch.look(minute * 60_000, fleet, [NOTHING]);
      if (look?.isHarmful) found[name] ??= minute;
      if (name !== "strict") continue;
      for (const [of, group] of Object.entries(groups) as [keyof typeof groups, GroupSequential][]) {
        group.look(minute * 60_000, look?.comparison ?? null);
        if (group.isHarmful) found[of] ??= minute;
      }
    }
    for (const [name, other] of Object.entries(others) as [keyof typeof others, Judge][]) {
      if (found[name] === null && other.look(pooled)) found[name] = minute;
    }
    if (JUDGES.every((name) => found[name] !== null)) break;
  }
  return found;
}

const shareOf = (minutes: Minutes): number => minutes.filter((minute) => minute !== null).length / minutes.length;
