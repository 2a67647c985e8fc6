/** Part of `bench gate`: candidates of people on real tasks, whose classes are many, few or rare, and whose models are right on some of
 * them more often than on others.
 *
 * Champion and candidate answer photos that cameras see as the edge model does, each with noise of its own on the logits: two models
 * that are equally good and differ on some frames, as two trainings do. The damaged candidate never answers the rarest class. Only
 * the lines of accuracy and of classes are judged: the others need more than answers. */
import { type Random, seededRandom } from "@tributary/kernel";
import { type GateInput, type Judged, judgeGate } from "@tributary/models/gate";
import { clopperPearson } from "@tributary/statistics";
import { percent } from "@tributary/testing";
import { normal } from "@tributary/testing/fleet";
import type { BenchReport, Gate, Table } from "../bench.ts";
import type { JudgedPhoto } from "../routing/judged.ts";
import { answerOf, type TaskAnswers } from "../tasks/answers.ts";

const FRAMES = [300, 1_000] as const;
/** Standard deviation of the noise, in medians of the first answer's lead over the second. */
const NOISE = 0.15;
/** The levels of the line of all frames and of those of classes, added. */
const EQUAL_FAILS_MAX = 0.1;
const DAMAGED_FAILS_MIN = 0.9;
/** Of the gate that no cell is above its level. */
const FALSE_ALARM = 0.02;

type Shares = { readonly failed: number; readonly unsure: number };
type Cell = {
  readonly task: string;
  readonly frames: number;
  /** Of frames, those on which exactly one of two equal models is right. */
  readonly differ: number;
  readonly equal: Shares;
  readonly damaged: Shares;
};

export type RealTasksPart = Pick<BenchReport, "tables" | "gates"> & { readonly figures: readonly Cell[] };

export function realTasksPart(tasks: readonly TaskAnswers[], isLong: boolean): RealTasksPart {
  const draws = isLong ? 1_000 : 100;
  const cells = tasks.flatMap((one, t) => FRAMES.map((frames) => cellOf(one, frames, draws, 1_000 * (t + 1) + frames)));
  const shares = ({ failed, unsure }: Shares) => `${percent(failed)} (${percent(unsure)})`;
  const table: Table = {
    title: `How often a candidate on a real task fails, in brackets waits for a person (${draws} draws each)`,
    columns: ["task", "frames", "differ", "equally good", "never answers the rarest class"],
    rows: cells.map((cell) => [cell.task, cell.frames, percent(cell.differ), shares(cell.equal), shares(cell.damaged)]),
  };
  return { tables: [table], gates: gatesOf(cells, draws), figures: cells };
}

function cellOf({ task, seen }: TaskAnswers, frames: number, draws: number, seed: number): Cell {
  const random = seededRandom(seed);
  const counts = task.labels.map((_, label) => seen.filter((photo) => photo.label === label).length);
  const rarest = counts.indexOf(Math.min(...counts));
  const leads = seen.map(({ edge }) => leadOf(edge)).toSorted((a, b) => a - b);
  const noise = NOISE * (leads[Math.floor(leads.length / 2)] ?? 0);
  const sums = { equal: { failed: 0, unsure: 0 }, damaged: { failed: 0, unsure: 0 } };
  let differ = 0;
  for (let i = 0; i < draws; i++) {
    const photos = Array.from({ length: frames }, () => seen[Math.floor(random() * seen.length)] as JudgedPhoto);
    const [champion, candidate] = [judged(photos, noise, -1, random), judged(photos, noise, -1, random)];
    differ += candidate.right.filter((right, at) => right !== champion.right[at]).length / frames;
    const labels = photos.map(({ label }) => label);
    add(sums.equal, task.labels, labels, champion, candidate);
    add(sums.damaged, task.labels, labels, champion, judged(photos, noise, rarest, random));
  }
  const shares = ({ failed, unsure }: Shares) => ({ failed: failed / draws, unsure: unsure / draws });
  return {
    task: task.name,
    frames,
    differ: differ / draws,
    equal: shares(sums.equal),
    damaged: shares(sums.damaged),
  };
}

/** `without`: a class that is never answered. */
function judged(photos: readonly JudgedPhoto[], noise: number, without: number, random: Random): Judged {
  const right = photos.map(({ edge, label }) => {
    const noisy = edge.map((logit) => logit + noise * normal(random));
    if (without >= 0) noisy[without] = Number.NEGATIVE_INFINITY;
    return answerOf(noisy) === label;
  });
  return { right, confidence: right.map(() => 0.5) };
}

function add(
  sums: { failed: number; unsure: number },
  classes: readonly string[],
  labels: readonly number[],
  champion: Judged,
  candidate: Judged,
): void {
  const measured = { latenciesMs: [1], megabytes: null };
  const input: GateInput = {
    classes,
    labels,
    candidate: { ...candidate, ...measured },
    champion: { ...champion, ...measured },
    corruptions: [],
    latencyBudgetMs: 1_000,
    latencySlaMs: null,
    golden: { frames: 0, failed: [] },
  };
  const { lines } = judgeGate(input);
  const verdicts = lines.filter(({ kind }) => kind === "accuracy" || kind === "class").map(({ verdict }) => verdict);
  if (verdicts.includes("failed")) sums.failed += 1;
  else if (verdicts.includes("unsure")) sums.unsure += 1;
}

function leadOf(logits: Float32Array): number {
  const [first = 0, second = 0] = logits.toSorted((a, b) => b - a);
  return first - second;
}

function gatesOf(cells: readonly Cell[], draws: number): readonly Gate[] {
  const confidence = 1 - (2 * FALSE_ALARM) / cells.length;
  const above = cells.filter(
    ({ equal }) => clopperPearson(Math.round(equal.failed * draws), draws, confidence).lower > EQUAL_FAILS_MAX,
  );
  const many = cells.filter(({ frames }) => frames === FRAMES.at(-1));
  const least = Math.min(...many.map(({ damaged }) => damaged.failed));
  return [
    {
      name: `real tasks: consistent with at most ${percent(EQUAL_FAILS_MAX)} of equally good candidates failing`,
      passed: above.length === 0,
      measured: `at most ${percent(Math.max(...cells.map(({ equal }) => equal.failed)))}`,
    },
    {
      name: `real tasks, ${FRAMES.at(-1)} frames: one that never answers the rarest class fails in at least ${percent(DAMAGED_FAILS_MIN)}`,
      passed: least >= DAMAGED_FAILS_MIN,
      measured: `least ${percent(least)}`,
    },
  ];
}
