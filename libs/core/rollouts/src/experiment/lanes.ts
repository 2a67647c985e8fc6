/**
 * What an experiment measures on each device of an arm, and what that is worth.
 *
 * Three rates: of labelled frames of the random sample, the share that the system answered right; of all frames, the share that was escalated,
 * and the share whose answer came after the deadline. A device's utility is their weighted sum, `correct·A − escalated·E − late·L`: money per
 * frame. The weights are fixed before the experiment, since choosing them afterwards is choosing the winner.
 */
import { Failure } from "@tributary/kernel";
import {
  type Adjustable,
  type Arm,
  addDevice,
  type Compared,
  compareAdjusted,
  floorOf,
  noSums,
  type Sums,
} from "../judge/comparison.ts";

export const laneNames = ["correct", "escalated", "late"] as const;
export type LaneName = (typeof laneNames)[number];

/** Of each lane the devices of one arm, in one order: frames with its outcome (`good`), all frames, and the rate before. */
export type ArmLanes = Readonly<Record<LaneName, Arm>>;
export type Rates = Readonly<Record<LaneName, number>>;

/** Worth of one frame that is answered right, and cost of one that is escalated, and of one that is late, in one currency. */
export type Weights = Readonly<Record<LaneName, number>>;

/** The largest weight, about which the utility of a frame changes. Throws Failure `weights-invalid`. */
export function unitOf(weights: Weights): number {
  const values = laneNames.map((lane) => weights[lane]);
  const unit = Math.max(...values);
  if (values.every((value) => Number.isFinite(value) && value >= 0) && unit > 0) return unit;
  const written = laneNames.map((lane) => `${lane} ${weights[lane]}`).join(", ");
  throw new Failure("weights-invalid", "ask-a-person", `weights must be 0 or more, and one above 0: ${written}`);
}

/** Currency per frame. */
export const utilityOf = (rates: Rates, weights: Weights): number =>
  weights.correct * rates.correct - weights.escalated * rates.escalated - weights.late * rates.late;

/** By how much the control's utility is above the arm's, adjusted by what the devices did before as a rate is (judge/comparison.ts). A device
 * without frames in some lane is missing. Null while an arm has fewer than two others. */
export function compareUtility(control: ArmLanes, arm: ArmLanes, weights: Weights): Compared | null {
  const [a, b] = [sumsOf(control, weights), sumsOf(arm, weights)];
  return compareAdjusted(a.utility, b.utility, a.chance + b.chance);
}

function sumsOf(arm: ArmLanes, weights: Weights): { readonly utility: Adjustable; readonly chance: number } {
  const utility = noSums();
  const lanes: Readonly<Record<LaneName, Sums>> = { correct: noSums(), escalated: noSums(), late: noSums() };
  const rates = { correct: 0, escalated: 0, late: 0 };
  const before = { ...rates };
  for (let i = 0; i < arm.correct.frames.length; i++) {
    if (laneNames.some((lane) => !((arm[lane].frames[i] as number) > 0))) continue;
    for (const lane of laneNames) {
      const frames = arm[lane].frames[i] as number;
      const good = Math.min(frames, Math.max(0, arm[lane].good[i] as number));
      rates[lane] = good / frames;
      before[lane] = arm[lane].before[i] as number;
      addDevice(lanes[lane], 0, 0, good, frames);
    }
    addDevice(utility, utilityOf(before, weights), utilityOf(rates, weights), 1, 1);
  }
  // Of independent frames; lanes of a device that move together show in the variance between devices.
  const chance = laneNames.reduce((sum, lane) => sum + weights[lane] ** 2 * floorOf(lanes[lane]), 0);
  return { utility, chance };
}
