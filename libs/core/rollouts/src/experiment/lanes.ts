/**
 * What an experiment measures on each device of an arm, and what that is worth.
 *
 * Three rates: of labelled frames of the random sample, the share that the system answered right; of all frames, the share that was escalated,
 * and the share whose answer came after the deadline. A device's utility is their weighted sum, `correct·A − escalated·E − late·L`: money per
 * frame. The weights are fixed before the experiment, since choosing them afterwards is choosing the winner.
 */
import { Failure } from "@tributary/kernel";
import {
  type Arm,
  addDevice,
  addedBy,
  type Compared,
  compareAdjusted,
  compareSums,
  floorOf,
  noSums,
  type Sums,
  sumsOf,
  type Weighing,
  weighingOf,
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

/** By how much the control's utility is above the arm's, adjusted by what the devices did before as a rate is (judge/comparison.ts).
 *
 * An arm's utility is the weighted sum of its rates, each a ratio of sums over its devices. Lanes of a device move together where its frames are
 * hard, so what a device adds beyond its part of each sum is added over its lanes, and the variance is that of these sums (Cochran 1977, 6.8). A
 * device without frames in some lane adds nothing there. Null while an arm has fewer than two devices in some lane. */
export function compareUtility(control: ArmLanes, arm: ArmLanes, weights: Weights): Compared | null {
  const [a, b] = [sumsIn(control, control, arm), sumsIn(arm, control, arm)];
  if (laneNames.some((lane) => Math.min(a[lane].sums.n, b[lane].sums.n) < 2)) return null;
  const lanes = laneNames.map((lane) => {
    const { sums, weighing } = a[lane];
    return {
      squared: weights[lane] ** 2,
      // Of independent frames; lanes of a device that move together show in the variance between devices.
      floor: floorOf(sums, b[lane].sums, weighing),
      compared: compareSums(sums, b[lane].sums, weighing),
    };
  });
  const floor = { known: 0, sampled: 0 };
  for (const lane of lanes)
    for (const part of ["known", "sampled"] as const) floor[part] += lane.squared * lane.floor[part];
  const utility = compareAdjusted(utilitySums(control, a, weights), utilitySums(arm, b, weights), floor);
  if (utility === null || lanes.some(({ compared }) => compared === null)) return null;
  // Few devices may have most of the labels (Satterthwaite 1946).
  const parts = lanes.map(({ squared, compared }) => ({ ...(compared as Compared), squared }));
  const whole = parts.reduce((sum, { squared, variance }) => sum + squared * variance, 0);
  const freedom = whole ** 2 / parts.reduce((sum, part) => sum + (part.squared * part.variance) ** 2 / part.freedom, 0);
  return { ...utility, freedom: Math.min(utility.freedom, freedom) };
}

type LaneSums = Readonly<Record<LaneName, { readonly weighing: Weighing; readonly sums: Sums }>>;
const ORIGIN = { x: 0, y: 0 };

function sumsIn(own: ArmLanes, control: ArmLanes, arm: ArmLanes): LaneSums {
  const of = (lane: LaneName) => {
    const weighing = weighingOf(control[lane], arm[lane]);
    return { weighing, sums: sumsOf(own[lane], ORIGIN, weighing) };
  };
  return { correct: of("correct"), escalated: of("escalated"), late: of("late") };
}

const signs: Rates = { correct: 1, escalated: -1, late: -1 };

/** Sums whose mean is the arm's utility, and whose spread is that of what its devices add to it. */
function utilitySums(own: ArmLanes, lanes: LaneSums, weights: Weights): Sums {
  const utility = noSums();
  const isThere = (_: number, i: number) => laneNames.some((lane) => (own[lane].frames[i] as number) > 0);
  const devices = Array.from(own.late.frames).filter(isThere).length;
  for (let i = 0; i < own.late.frames.length; i++) {
    if (!isThere(0, i)) continue;
    let [x, y] = [0, 0];
    for (const lane of laneNames) {
      const { sums, weighing } = lanes[lane];
      const worth = signs[lane] * weights[lane];
      const added = addedBy(own[lane], i, ORIGIN, weighing);
      const share = added === null ? 0 : (added.w * devices) / sums.w;
      const [meanX, meanY] = [sums.x / sums.w, sums.y / sums.w];
      x += worth * (meanX + share * ((added?.x ?? 0) - meanX));
      y += worth * (meanY + share * ((added?.y ?? 0) - meanY));
    }
    addDevice(utility, { w: 1, x, y, bad: 0, chance: 0, badChance: 0 });
  }
  return utility;
}
