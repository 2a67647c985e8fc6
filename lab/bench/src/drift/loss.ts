/** Losses that are claimed where nothing changed, and frames until a true loss is proven, beside the former rule. */
import { clopperPearsonLower } from "@tributary/statistics";
import { percent, quantilesOf } from "@tributary/testing";
import type { Gate, Table } from "../bench.ts";
import { drawnInWorkers, seedsAfter } from "../in-workers.ts";
import type { LossCase } from "./loss-draws.ts";
import { ALPHA, type LossClaims, type LossTask, TOLERANCE } from "./loss-judged.ts";

type Row = LossTask & { readonly claims: readonly LossClaims[] };
export type Losses = {
  readonly false: readonly Row[];
  readonly strange: readonly Row[];
  readonly true: readonly Row[];
};

const CLASSES = [2, 10, 20] as const;
const FRAMES = [30, 100, 394, 2_500] as const;
const MIXES = ["validated", "own"] as const;
const PROPENSITIES = ["equal", "unequal"] as const;
const NONE: LossCase = {
  classes: 2,
  frames: 394,
  mix: "validated",
  propensities: "equal",
  points: 0,
  lost: "all",
  labels: "at once",
  draws: 600,
  drawsKept: 10_000,
  lookEvery: 1,
};
/** What is tolerated, of every class: the null's edge. */
const EDGE = 100 * TOLERANCE;
const TABLE = 1_024;

const watched = (change: Partial<LossCase>): LossTask => ({ kind: "watched", of: { ...NONE, ...change } });

const nulls: readonly LossTask[] = CLASSES.flatMap((classes) =>
  FRAMES.flatMap((frames) =>
    MIXES.flatMap((mix) =>
      PROPENSITIES.flatMap((propensities) =>
        [0, EDGE].map((points) => watched({ classes, frames, mix, propensities, points })),
      ),
    ),
  ),
);

const NAMES = [
  "labels in bursts, one class never labelled, devices that start again",
  "tables of 1,024 that are replaced 10 times over",
  "labels of wrong answers thrice as often",
] as const;
const strange: readonly LossTask[] = [
  watched({ classes: 10, frames: 2_500, labels: "in bursts", points: EDGE }),
  watched({ classes: 10, frames: 2_500, points: EDGE, draws: 10 * TABLE, drawsKept: TABLE, lookEvery: 16 }),
  watched({ classes: 10, frames: 2_500, labels: "of the wrong ones" }),
  { kind: "past", of: { ...NONE, classes: 10, frames: 2_500, points: 20, lookEvery: 10 }, pointsBefore: 20 },
  { kind: "past", of: { ...NONE, classes: 10, frames: 2_500, points: 20, lookEvery: 10 }, pointsBefore: 0 },
];

const harms: readonly LossTask[] = (
  [
    [2, 394],
    [10, 2_500],
    [20, 2_500],
    [10, 10_000],
  ] as const
).flatMap(([classes, frames]) =>
  (["all", "one"] as const).flatMap((lost) =>
    [5, 10, 20].map((points) => watched({ classes, frames, lost, points, draws: 3_000, lookEvery: 20 })),
  ),
);

export async function losses(runs: number, progress: (line: string) => void): Promise<Losses> {
  const program = new URL("./loss-worker.js", import.meta.url);
  const drawn = async (tasks: readonly LossTask[], count: number): Promise<readonly Row[]> => {
    const drawings = tasks.map((of, i) => ({ of, seeds: seedsAfter(10_000 * i, count) }));
    const claims = await drawnInWorkers<LossTask, LossClaims>(program, drawings, progress);
    return tasks.map((task, i) => ({ ...task, claims: claims[i] ?? [] }));
  };
  progress("losses: nothing changed");
  const of = await drawn(nulls, runs);
  progress("losses: strange labels and pasts");
  const odd = await drawn(strange, Math.ceil(runs / 2));
  progress("losses: true ones");
  return { false: of, strange: odd, true: await drawn(harms, Math.ceil(runs / 6)) };
}

const countOf = ({ claims }: Row, rule: keyof LossClaims): number => claims.filter((one) => one[rule] !== null).length;
const shareOf = (row: Row, rule: keyof LossClaims): string => percent(countOf(row, rule) / row.claims.length);

function delay(row: Row, rule: keyof LossClaims): string {
  const [half] = quantilesOf(
    row.claims.map((one) => one[rule] ?? Number.POSITIVE_INFINITY),
    0.5,
  );
  return Number.isFinite(half) ? String(half) : `never (${shareOf(row, rule)})`;
}

const wordsOf = ({ of }: Row): readonly [string, string] => [
  of.classes === 2 ? "2 (9:1)" : String(of.classes),
  String(of.frames),
];

export function lossTables(found: Losses): readonly Table[] {
  const rows = CLASSES.flatMap((classes) => FRAMES.map((frames) => ({ classes, frames })));
  const columns = MIXES.flatMap((mix) => PROPENSITIES.map((propensities) => ({ mix, propensities })));
  const table = (points: number): Table => ({
    title: `Runs in which a loss is claimed at one of ${NONE.draws} looks, one after each labelled frame: the former rule, by class; ${points === 0 ? "nothing changed" : `every class is ${points} points worse, which is tolerated`}; ${found.false[0]?.claims.length} runs`,
    columns: ["classes", "validation frames", ...columns.map(({ mix, propensities }) => `${mix} mix, ${propensities}`)],
    rows: rows.map(({ classes, frames }) => {
      const cells = columns.map(({ mix, propensities }) => {
        const row = found.false.find(
          ({ of }) =>
            of.classes === classes &&
            of.frames === frames &&
            of.mix === mix &&
            of.propensities === propensities &&
            of.points === points,
        ) as Row;
        return `${shareOf(row, "former")}, ${shareOf(row, "byClass")}`;
      });
      return [classes === 2 ? "2 (9:1)" : classes, frames, ...cells];
    }),
  });
  const [bursts, full, hard, always, since] = found.strange as [Row, Row, Row, Row, Row];
  return [
    table(0),
    table(EDGE),
    {
      title: `10 classes, 2,500 validation frames; runs in which a loss is claimed; ${bursts.claims.length} runs`,
      columns: ["what", "former", "by class", "by class, and than before"],
      rows: [
        ...[bursts, full, hard].map((row, i) => [`${NAMES[i]}`, shareOf(row, "former"), shareOf(row, "byClass"), ""]),
        ...[
          ["20 points worse since the first day, 30 labelled frames of each device before the change", always] as const,
          ["20 points worse since the change, as many before it", since] as const,
        ].map(([name, row]) => [
          name,
          ...(["former", "byClass", "ownPast"] as const).map((rule) => shareOf(row, rule)),
        ]),
      ],
    },
    {
      title: `Labelled frames until a true loss is claimed in half of ${found.true[0]?.claims.length} runs (never: within 3,000, and the share of runs)`,
      columns: ["classes", "validation frames", "lost", "points", "former", "by class"],
      rows: found.true.map((row) => {
        return [
          ...wordsOf(row),
          row.of.lost === "all" ? "every class" : "one class",
          row.of.points,
          delay(row, "former"),
          delay(row, "byClass"),
        ];
      }),
    },
  ];
}

export function lossGates(found: Losses): readonly Gate[] {
  const [bursts, full, , always, since] = found.strange as [Row, Row, Row, Row, Row];
  const judged = [...found.false, bursts];
  const tests = judged.length;
  const refuting = judged.filter((row) => {
    return clopperPearsonLower(countOf(row, "byClass"), row.claims.length, 0.01 / tests) > ALPHA;
  });
  const claims = judged.reduce((sum, row) => sum + countOf(row, "byClass"), 0);
  const runs = judged.reduce((sum, { claims: of }) => sum + of.length, 0);
  const worst = (rule: keyof LossClaims) =>
    Math.max(...found.false.filter(({ of }) => of.points === 0).map((row) => countOf(row, rule) / row.claims.length));
  const seen = found.true.find(
    ({ of }) => of.classes === 10 && of.frames === 2_500 && of.points === 20 && of.lost === "all",
  ) as Row;
  const soon = seen.claims.filter(({ byClass }) => byClass !== null && byClass <= 300).length;
  return [
    {
      name: `by class: no case refutes that at most ${percent(ALPHA)} of runs claim a loss that is none`,
      passed: refuting.length === 0 && claims / runs <= ALPHA,
      measured: `${claims} of ${runs} runs`,
    },
    {
      name: "the former rule claims one in more than 10 % of runs of some case where nothing changed",
      passed: worst("former") > 0.1,
      measured: `${percent(worst("former"))}; by class ${percent(worst("byClass"))}`,
    },
    {
      name: `of tables that are replaced 10 times, at most ${percent(10 * ALPHA)}`,
      passed: countOf(full, "byClass") <= 10 * ALPHA * full.claims.length,
      measured: shareOf(full, "byClass"),
    },
    {
      name: "devices that were always worse have lost nothing by a change; those that were not have",
      passed: countOf(always, "ownPast") <= 2 && countOf(since, "ownPast") >= 0.8 * since.claims.length,
      measured: `${shareOf(always, "ownPast")}; ${shareOf(since, "ownPast")}`,
    },
    {
      name: "20 points of 10 classes are proven by 300 labelled frames in nine tenths of runs",
      passed: soon >= 0.9 * seen.claims.length,
      measured: `${soon} of ${seen.claims.length}`,
    },
  ];
}
