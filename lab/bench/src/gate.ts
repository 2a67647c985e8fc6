/** `bench gate`: how often a candidate that is truly so much better or worse gets past the validation gate, by the number of
 * frames; the gate for candidates of people beside the gate by slices, which judges what a program trained.
 *
 * Frames are independent here, as photos of a benchmark; gate/devices.ts has those of devices that differ. Answers are drawn: a share of frames, the discordance, is right by one model only, and the candidate's true gain says how
 * often that is the candidate. Each draw is judged by the lines that the registry's gate has. */

import { type Random, seededRandom } from "@tributary/kernel";
import { allFramesLine, marginDefaults, marginOf, type Slice, type Slices, sliceLines } from "@tributary/models/gate";
import { clopperPearson, nonInferiorityItems, normalQuantile } from "@tributary/statistics";
import { openTasks } from "@tributary/tasks";
import { percent } from "@tributary/testing";
import { binomial } from "@tributary/testing/fleet";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";
import { devicesPart } from "./gate/devices.ts";
import { laterTrainings } from "./gate/later-trainings.ts";
import { realTasksPart } from "./gate/real-tasks.ts";
import { type TaskAnswers, taskAnswers } from "./tasks/answers.ts";

const FRAMES = [500, 1_000, 1_600, 3_000, 5_000, 10_000] as const;
/** True loss of accuracy. */
const LOSSES = [0, 0.01, 0.02] as const;
/** As planned; less, as of a retrained model whose weights are blended with its parent's; and more. */
const DISCORDANCES = [marginDefaults.discordance, 0.03, 0.16] as const;
/** Up to the planned one: beyond it the margin is no larger. */
const FEWEST_AT = [0.01, 0.03, 0.05, marginDefaults.discordance] as const;
const CLASS_COUNTS = [2, 10, 20] as const;
/** Of the frames of a slice that are kept to judge with. */
const DRIFTED_FRAMES = 225;
const ACCURACY = 0.87;

const EQUAL_PASSES_MIN = 0.75;
const WORSE_PASSES_MAX = 0.05;

export const gate: Bench = {
  name: "gate",
  summary: "how often a candidate 0, 1 or 2 points worse passes the gate, by frames: today's and by slices",
  details: `Answers are drawn; ${DISCORDANCES.map(percent).join(", ")} of frames are right by one model only.
  not failed   the gate of a person's candidate: it is not proven harmful, so it may be rolled out by hand
  clear        the same, and no line is unsure: a rollout that starts by itself does
  by slices    the gate of a program's candidate: proven not worse on every old slice by the margin that the frames
               allow (Tango 1998), and proven better on the drifted slice (McNemar, exact)
Kinds of candidate: with the frames of old slices and ${DRIFTED_FRAMES} of the drifted one, how often each passes, waits for a person, fails.
Gates, at the planned discordance: where the margin is at most ${points(marginDefaults.sliceMax)}, an equal candidate passes by slices in at
least ${percent(EQUAL_PASSES_MIN)}; one worse by its line's margin in at most the level; one 2 points worse at 5,000 frames in at most ${percent(WORSE_PASSES_MAX)}; none
passes by slices more often than it is not failed today; trades and wrong labels are stopped.
Devices that differ: a candidate that is worth nothing on average passes in at most the level, with 3 to 100 devices, also where one has half
of all frames; where devices are alike, from 8 on, nearly as much is shown as by frames alone. Later trainings of a site: no frame, nor a picture that looks like it, is both learned and judged by; chosen without the
model's history, frames are.
2,000 draws a cell, with --long 20,000.
Real tasks (those of lab/tasks that are not held out; --tasks): candidates of people that answer as the edge model does with noise of
their own. An equally good one fails in at most the levels of its lines; one that never answers the rarest class fails.`,
  run,
};

type Cell = {
  readonly notFailed: number;
  readonly clear: number;
  readonly bySlices: number;
  /** Passed by slices although it is worse by the margin of its line. */
  readonly falsely: number;
};
type Row = {
  readonly frames: number;
  readonly margin: number;
  readonly cells: readonly Cell[];
  readonly atMargin: number;
};

type Power = { readonly discordance: number; readonly rows: readonly Row[] };

async function run({ isLong, flags, progress }: BenchOptions): Promise<BenchReport> {
  const draws = isLong ? 20_000 : 2_000;
  const powers: Power[] = [];
  for (const [d, discordance] of DISCORDANCES.entries()) {
    const rows: Row[] = [];
    for (const [f, frames] of FRAMES.entries()) {
      rows.push(rowOf(frames, discordance, draws, 1 + 1_000 * d + 10 * f));
      await new Promise(setImmediate); // Lets Ctrl-C be handled.
    }
    powers.push({ discordance, rows });
    progress(`discordance ${percent(discordance)}: ${FRAMES.length * (LOSSES.length + 1)} cells of ${draws} draws`);
  }
  const kinds = KINDS.map((kind, k) => ({ kind, shares: judgedKind(kind, draws, 900_001 + k) }));
  progress(`${KINDS.length} kinds of candidate`);
  const devices = await devicesPart(draws, progress);
  const later = laterTrainings(isLong);
  progress(`${later.sites} sites with three trainings each`);
  const answers: TaskAnswers[] = [];
  for (const task of await openTasks(flags.tasks ?? "seen")) answers.push(await taskAnswers(task, progress));
  const real = realTasksPart(answers, isLong);
  return {
    tables: [
      ...powers.map(({ discordance, rows }) => powerTable(discordance, rows, draws)),
      fewestTable(),
      classesTable(),
      kindsTable(kinds, draws),
      ...devices.tables,
      later.table,
      ...real.tables,
    ],
    gates: [...powerGates(powers, draws), ...kindGates(kinds), ...devices.gates, ...later.gates, ...real.gates],
    figures: {
      powers,
      kinds: kinds.map(({ kind: { name }, shares }) => ({ name, ...shares })),
      devices: devices.figures,
      later: later.figures,
      real: real.figures,
    },
  };
}

/** Frames of a slice, and what both answered on them. A chunk at a time, so that no probability is too small for a number. */
function drawn(name: string, frames: number, gain: number, discordance: number, random: Random): Slice {
  let [won, lost] = [0, 0];
  for (let from = 0; from < frames; from += 1_000) {
    const chunk = Math.min(1_000, frames - from);
    const wins = binomial(chunk, (discordance + gain) / 2, random);
    won += wins;
    lost += binomial(chunk - wins, (discordance - gain) / (2 - discordance - gain), random);
  }
  const both = (ACCURACY - discordance / 2) * frames;
  return { name, frames, won, lost, candidate: (both + won) / frames, champion: (both + lost) / frames };
}

function rowOf(frames: number, discordance: number, draws: number, seed: number): Row {
  const margin = marginOf(frames, discordance, marginDefaults);
  const cells = [...LOSSES, margin].map((loss, l): Cell => {
    const random = seededRandom(1_000 * seed + l);
    let [notFailed, clear, bySlices, falsely] = [0, 0, 0, 0];
    for (let i = 0; i < draws; i++) {
      const slice = drawn("base", frames, -loss, discordance, random);
      const { verdict } = allFramesLine(slice, marginDefaults);
      if (verdict !== "failed") notFailed += 1;
      if (verdict === "passed") clear += 1;
      const [line] = sliceLines({ old: [slice], drifted: [] }, marginDefaults);
      if (line?.verdict === "passed") bySlices += 1;
      if (line?.verdict === "passed" && line.bound <= loss) falsely += 1;
    }
    return { notFailed: notFailed / draws, clear: clear / draws, bySlices: bySlices / draws, falsely: falsely / draws };
  });
  return { frames, margin, cells: cells.slice(0, LOSSES.length), atMargin: cells.at(-1)?.falsely ?? 0 };
}

type Kind = {
  readonly name: string;
  /** It must pass in at most this share. */
  readonly passesMax?: number;
  draw(random: Random): Slices;
};

const driftedBy = (gain: number) => (random: Random) => drawn("site=north", DRIFTED_FRAMES, gain, 0.2, random);
const baseBy = (frames: number, gain: number) => (random: Random) => drawn("base", frames, gain, 0.03, random);
const kindOf = (old: (random: Random) => Slice, drifted: (random: Random) => Slice) => (random: Random) => ({
  old: [old(random)],
  drifted: [drifted(random)],
});

const KINDS: readonly Kind[] = [
  {
    name: "+8 points on the drifted slice, as before on 5,000 old frames",
    draw: kindOf(baseBy(5_000, 0), driftedBy(0.08)),
  },
  { name: "+8, -0.3 on 10,000 old frames", draw: kindOf(baseBy(10_000, -0.003), driftedBy(0.08)) },
  { name: "trade: +8, -2 on 5,000 old frames", passesMax: 0.01, draw: kindOf(baseBy(5_000, -0.02), driftedBy(0.08)) },
  {
    name: "trade: +8, -2 on one of four old slices of 5,000",
    passesMax: 0.01,
    draw: (random) => ({
      old: [0, 0, 0, -0.02].map((gain, i) => drawn(`site=${i + 1}`, 5_000, gain, 0.03, random)),
      drifted: [driftedBy(0.08)(random)],
    }),
  },
  { name: "wrong labels: drifted slice as before", passesMax: 0.06, draw: kindOf(baseBy(5_000, 0), driftedBy(0)) },
  {
    name: "wrong labels: -4 on the drifted slice",
    passesMax: 0.01,
    draw: kindOf(baseBy(5_000, -0.003), driftedBy(-0.04)),
  },
  {
    name: "wrong labels: -4 on it, 500 old frames",
    passesMax: 0.01,
    draw: kindOf(baseBy(500, -0.003), driftedBy(-0.04)),
  },
];

type Shares = { readonly passed: number; readonly unsure: number; readonly failed: number };

function judgedKind({ draw }: Kind, draws: number, seed: number): Shares {
  const random = seededRandom(seed);
  const counts = { passed: 0, unsure: 0, failed: 0 };
  for (let i = 0; i < draws; i++) {
    const verdicts = sliceLines(draw(random), marginDefaults).map(({ verdict }) => verdict);
    counts[verdicts.includes("failed") ? "failed" : verdicts.includes("unsure") ? "unsure" : "passed"] += 1;
  }
  return { passed: counts.passed / draws, unsure: counts.unsure / draws, failed: counts.failed / draws };
}

function powerTable(discordance: number, rows: readonly Row[], draws: number): Table {
  const losses = LOSSES.map((loss) => Number((100 * loss).toFixed(0))).join(" / ");
  const shares = (cells: readonly Cell[], of: (cell: Cell) => number) =>
    `${cells.map((cell) => (100 * of(cell)).toFixed(1)).join(" / ")} %`;
  return {
    title: `How often a candidate ${losses} points worse passes; ${percent(discordance)} of frames differ (${draws} draws a cell)`,
    columns: ["frames", "not failed", "clear", "by slices", "margin"],
    rows: rows.map(({ frames, margin, cells }) => [
      frames,
      shares(cells, ({ notFailed }) => notFailed),
      shares(cells, ({ clear }) => clear),
      shares(cells, ({ bySlices }) => bySlices),
      margin > marginDefaults.sliceMax ? `${points(margin)}: a person decides` : points(margin),
    ]),
  };
}

/** Of the half of the frames that the gate takes, and of all that are to be pushed. */
function fewestTable(): Table {
  const rows = FEWEST_AT.map((discordance) => {
    const frames = nonInferiorityItems(marginDefaults.sliceMax, { ...marginDefaults, discordance });
    return [percent(discordance), frames, 2 * frames];
  });
  return {
    title: "Fewest frames of a slice with which an equal candidate passes",
    columns: ["differ", "gated", "pushed"],
    rows,
  };
}

/** A class line is unsure where the loss exceeds its margin by chance: of many classes one often does. */
function classesTable(): Table {
  const { perClass, power } = marginDefaults;
  const rows = CLASS_COUNTS.map((classes) => {
    const z = normalQuantile(power ** (1 / classes));
    return [classes, ...FEWEST_AT.map((differ) => Math.ceil(differ * (z / perClass) ** 2))];
  });
  return {
    title: `Fewest frames of each class with which no class line of an equal candidate of a person is unsure, in ${percent(power)} of cases`,
    columns: ["classes", ...FEWEST_AT.map((differ) => `${percent(differ)} differ`)],
    rows,
  };
}

const kindsTable = (kinds: readonly { readonly kind: Kind; readonly shares: Shares }[], draws: number): Table => ({
  title: `Kinds of candidate by slices (${draws} draws each)`,
  columns: ["candidate", "passes", "waits for a person", "fails"],
  rows: kinds.map(({ kind, shares }) => [
    kind.name,
    percent(shares.passed),
    percent(shares.unsure),
    percent(shares.failed),
  ]),
});

function powerGates(powers: readonly Power[], draws: number): Gate[] {
  const [planned] = powers;
  const judged = planned?.rows.filter(({ margin }) => margin <= marginDefaults.sliceMax) ?? [];
  const equal = judged.map(({ frames, cells }): Gate => {
    const { bySlices } = cells[0] as Cell;
    const name = `${frames} frames: an equal one passes in at least ${percent(EQUAL_PASSES_MIN)}`;
    return { name, passed: bySlices >= EQUAL_PASSES_MIN, measured: percent(bySlices) };
  });
  const falsely = powers.map(({ discordance, rows }): Gate => {
    // Its level is all of alpha, or nearly: few draws cannot show it, and the gate is that they do not refute it.
    const refuted = rows.filter(
      ({ atMargin }) => clopperPearson(Math.round(atMargin * draws), draws, 0.98).lower > marginDefaults.alpha,
    );
    return {
      name: `${percent(discordance)} differ: consistent with ${percent(marginDefaults.alpha)} of those passing that are worse by the margin`,
      passed: refuted.length === 0,
      measured: `at most ${percent(Math.max(...rows.map(({ atMargin }) => atMargin)))}`,
    };
  });
  const worst = judged.find(({ frames }) => frames === 5_000)?.cells[2]?.bySlices ?? 1;
  const cells = powers.flatMap(({ rows }) => rows.flatMap((row) => row.cells));
  const more = cells.filter(({ bySlices, notFailed }) => bySlices > notFailed).length;
  return [
    ...equal,
    ...falsely,
    {
      name: `5000 frames: one ${points(0.02)} worse passes in at most ${percent(WORSE_PASSES_MAX)}`,
      passed: worst <= WORSE_PASSES_MAX,
      measured: percent(worst),
    },
    { name: "none passes more often than it is not failed today", passed: more === 0, measured: `${more} cells` },
  ];
}

const kindGates = (kinds: readonly { readonly kind: Kind; readonly shares: Shares }[]): Gate[] =>
  kinds.flatMap(({ kind: { name, passesMax }, shares: { passed } }) =>
    passesMax === undefined
      ? []
      : {
          name: `${name}: passes in at most ${percent(passesMax)}`,
          passed: passed <= passesMax,
          measured: percent(passed),
        },
  );

function points(share: number): string {
  return `${Number((100 * share).toFixed(2))} points`;
}
