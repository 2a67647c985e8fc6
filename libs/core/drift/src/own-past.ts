/**
 * Whether devices lose more frames than they did themselves before: each draw since the onset is paired with one of before, of the same
 * device and the same class.
 *
 * Of a pair, v w (loss now - loss before - tolerance) is at most 0 in expectation if no class's error rate rose by more, whatever the mix of
 * classes, the devices' own levels, and the weights v and w with which each was drawn. So the wealth of bets on pairs is an e-value. One
 * draw of before may stand for several of now: the mean over two numbers needs no choice. */
import { BET_SHARES, logMeanExp } from "@tributary/statistics";
import type { ClassedDraw } from "./loss.ts";

/** Draws of now for each of before. */
const BLOCKS = [1, 4] as const;
/** Draws of before, of all devices, that can show what is usual. */
const BEFORE_MIN = 30;

/** Oldest first. */
export type Halves = { readonly before: readonly ClassedDraw[]; readonly now: readonly ClassedDraw[] };

/** Whether it can be known at all: most of what is labelled now is of devices that have a past. */
export function hasPast(devices: readonly Halves[]): boolean {
  let [before, now, withPast] = [0, 0, 0];
  for (const device of devices) {
    before += device.before.length;
    now += device.now.length;
    if (device.before.length > 0) withPast += device.now.length;
  }
  return before >= BEFORE_MIN && 2 * withPast >= now;
}

export function hasRisen(devices: readonly Halves[], tolerance: number, alpha: number): boolean {
  const pairs = devices.flatMap(({ before, now }) => pairsOf(before, now));
  const logs = BLOCKS.flatMap((size) =>
    BET_SHARES.map((share) => {
      const bet = share / (1 + tolerance);
      return pairs.reduce((sum, pair) => sum + logWealth(pair, size, bet, tolerance), 0);
    }),
  );
  return logMeanExp(logs) >= -Math.log(alpha);
}

/** Of one device and class: the draws nearest to the onset come first on both sides, so that pairs stay as draws are added. */
function pairsOf(before: readonly ClassedDraw[], now: readonly ClassedDraw[]): readonly Halves[] {
  const classes = new Map<number, { before: ClassedDraw[]; now: ClassedDraw[] }>();
  const of = ({ truth }: ClassedDraw) => {
    const halves = classes.get(truth) ?? { before: [], now: [] };
    classes.set(truth, halves);
    return halves;
  };
  for (const draw of before.toReversed()) of(draw).before.push(draw);
  for (const draw of now) of(draw).now.push(draw);
  return [...classes.values()];
}

function logWealth({ before, now }: Halves, size: number, bet: number, tolerance: number): number {
  let sum = 0;
  for (const [i, past] of before.entries()) {
    const block = now.slice(i * size, (i + 1) * size);
    if (block.length < size) break;
    const gain = block.reduce(
      (all, { weight, loss }) => all + weight * (Number(loss) - Number(past.loss) - tolerance),
      0,
    );
    sum += Math.log1p((bet * past.weight * gain) / size);
  }
  return sum;
}
