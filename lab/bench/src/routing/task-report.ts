/** The results of the splits of every task, beside those of the always learned score, with gates. */
import { FIXED_SCORES, SCORES } from "@tributary/routing";
import { percent } from "@tributary/testing";
import type { BenchReport, Gate } from "../bench.ts";
import { AT_SHARE, type SplitResult, splitResult } from "./task-splits.ts";
import type { Task } from "./tasks.ts";

const KEPT_MIN = 0.8;

export function tasksReport(tasks: readonly Task[], isLong: boolean, progress: (line: string) => void): BenchReport {
  const splits = isLong ? 100 : 20;
  const results = tasks.map((task) => {
    progress(`${task.name}, ${task.validation} frames: ${splits} splits`);
    const seeds = Array.from({ length: splits }, (_, i) => i + 1);
    const packed = seeds.map((seed) => splitResult(task, seed, {}));
    const learned = seeds.map((seed) => splitResult(task, seed, { scores: ["learned"] }));
    return { task, packed, learned };
  });
  const label = ({ name, validation }: Task) => `${name}, ${validation} frames`;
  return {
    tables: [
      {
        title: `Policies packed from ${splits} splits of each task, on the frames that were not packed`,
        columns: [
          "task",
          "edge",
          "cloud",
          "policy",
          "sent",
          "score taken",
          "less confidence (worst split)",
          "worse, splits",
          `kept at ${percent(AT_SHARE)}`,
          "always learned: worse, sends nothing, kept",
        ],
        rows: results.map(({ task, packed, learned }) => [
          label(task),
          percent(mean(packed, ({ edge }) => edge)),
          percent(mean(packed, ({ cloud }) => cloud)),
          percent(mean(packed, ({ hybrid }) => hybrid)),
          percent(mean(packed, ({ share }) => share)),
          SCORES.flatMap((score) => {
            const times = packed.filter((split) => split.score === score).length;
            return times === 0 ? [] : `${score} ${times}`;
          }).join(", "),
          points(Math.min(...packed.map(({ lead }) => lead.difference))),
          worse(packed),
          percent(kept(packed)),
          `${worse(learned)}, ${learned.filter(({ share }) => share === 0).length}, ${percent(kept(learned))}`,
        ]),
      },
    ],
    gates: results.flatMap(({ task, packed }) => gatesOf(label(task), packed)),
    figures: results.map(({ task, packed, learned }) => ({ task: label(task), packed, learned })),
    notes: [
      "Worse: the paired 95 % interval of policy less confidence, at the policy's share, is below zero (Agresti & Min).",
      "Kept: gain of the policy's score over all splits, of the best fixed score's (confidence, margin, entropy).",
    ],
  };
}

const gatesOf = (task: string, packed: readonly SplitResult[]): Gate[] => [
  {
    name: `${task}: significantly worse than confidence at the same share in no split`,
    passed: worse(packed) === 0,
    measured: `${worse(packed)} of ${packed.length}`,
  },
  {
    name: `${task}: at ${percent(AT_SHARE)} sent at least ${percent(KEPT_MIN)} of the best fixed score's gain`,
    passed: kept(packed) >= KEPT_MIN,
    measured: percent(kept(packed)),
  },
  {
    name: `${task}: sends something in every split`,
    passed: packed.every(({ share }) => share > 0),
    measured: `least ${percent(Math.min(...packed.map(({ share }) => share)))}`,
  },
];

const worse = (splits: readonly SplitResult[]): number => splits.filter(({ lead }) => lead.upper < 0).length;

/** Sums over splits: one split's gain may be nil. */
function kept(splits: readonly SplitResult[]): number {
  const best = Math.max(...FIXED_SCORES.map((_, i) => mean(splits, ({ fixedGains }) => fixedGains[i] ?? 0)));
  return mean(splits, ({ gain }) => gain) / best;
}

const mean = (splits: readonly SplitResult[], of: (split: SplitResult) => number): number =>
  splits.reduce((sum, split) => sum + of(split), 0) / splits.length;

const points = (part: number): string => `${(100 * part).toFixed(2)} points`;
