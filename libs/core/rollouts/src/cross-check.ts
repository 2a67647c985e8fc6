/** The judge's cross-check of a comparison, started from the log alone, so that every instance that folds the same log
 * computes the same numbers (G10). It ends no analysis; for one that ends undecided it shows whether harm is likely
 * (decide.ts D6). */

import { hashOf } from "@tributary/kernel";
import { CrossCheck, crossCheckProblem, plannedLooks, type Strata } from "./judge/rerandomisation.ts";

const MINUTE = 60_000;

/** What is fixed when a comparison starts. */
export type CrossCheckPlan = {
  readonly uid: string;
  /** Index of the step of the comparison. */
  readonly step: number;
  /** Null: not known. */
  readonly strata: Strata | null;
  readonly burnInMs: number;
  /** How long the analysis lasts at most; 0: there is none to come. */
  readonly analysisMs: number;
};

/** Of one metric; in words, why there is none. */
export function startCrossCheck(
  { uid, step, strata, burnInMs, analysisMs }: CrossCheckPlan,
  metric: { readonly name: string; readonly alpha: number },
): CrossCheck | string {
  if (strata === null) return "the log has no strata of its devices";
  const plannedMs = plannedLooks(burnInMs === 0 ? MINUTE : burnInMs, analysisMs);
  const seed = hashOf(`${uid}\n${step}\n${metric.name}`);
  const problem = crossCheckProblem(strata, metric.alpha, plannedMs.length);
  return problem ?? new CrossCheck({ alpha: metric.alpha, plannedMs, strata, seed });
}
