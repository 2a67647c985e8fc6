/** What other weights would have decided: descriptive, since they are chosen after the data. */
import { pOfOneLook } from "../judge/evidence.ts";
import {
  type ArmLanes,
  compareUtility,
  type LaneName,
  laneNames,
  type Rates,
  utilityOf,
  type Weights,
} from "./lanes.ts";

export type GridCell = {
  readonly weights: Weights;
  /** Arm less control, in currency per frame. */
  readonly gain: number;
  /** By the estimate alone where one look would not have shown it (5 %, two-sided). */
  readonly for: "arm" | "control";
  readonly isClear: boolean;
};

/** Multiples of the worth of a right answer, by row, and of the cost of a late one, by column. */
export const gridMultiples = [0, 0.25, 0.5, 1, 2, 4] as const;

/** By row and column of `gridMultiples`. Null: nothing can be compared. */
export function gridOf(control: ArmLanes, arm: ArmLanes, weights: Weights): readonly (readonly GridCell[])[] | null {
  const rows = gridMultiples.map((v) =>
    gridMultiples.map((k) => {
      const these = { ...weights, correct: v * weights.correct, late: k * weights.late };
      const compared = compareUtility(control, arm, these);
      if (compared === null) return null;
      const { harm } = compared;
      const isClear = pOfOneLook({ ...compared, harm: Math.abs(harm) }) <= 0.025;
      return { weights: these, gain: -harm, for: harm < 0 ? "arm" : "control", isClear } as const;
    }),
  );
  return rows.flat().includes(null) ? null : (rows as readonly (readonly GridCell[])[]);
}

/** The value of each weight at which the arms are worth the same, the others unchanged; null: no such value. `differences`: arm less control. */
export function flipsAt(differences: Rates, weights: Weights): Readonly<Record<LaneName, number | null>> {
  const at = (lane: LaneName): number | null => {
    const [own, others] = [
      { correct: 0, escalated: 0, late: 0, [lane]: 1 },
      { ...weights, [lane]: 0 },
    ];
    const value = -utilityOf(differences, others) / utilityOf(differences, own);
    return Number.isFinite(value) && value >= 0 ? value : null;
  };
  const [correct, escalated, late] = laneNames.map(at) as [number | null, number | null, number | null];
  return { correct, escalated, late };
}
