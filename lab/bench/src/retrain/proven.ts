/** What the figures of many trainings prove. Each has a place with tens of classes, so that some class of some training looks harmed at 5 % by
 * chance: what is called proven holds for all of them together (Holm 1979). That alone would be blind to many small losses, so it is asked as well
 * whether more classes look harmed, by more than is allowed, than chance explains. Pure.
 *
 * The trainings of a task are judged by the same photos, and go wrong on the same ones: what chance draws is a photo, not an answer. So a photo counts
 * once, by its net: of how many more trainings the new model is right on it where the deployed one was wrong, than the other way round. */
import { binomialCdf, holmAdjusted, mcNemarP, tangoLower } from "@tributary/statistics";

/** Photos of a group; of those that only one of two models is right on, `won` are the new one's. */
export type Counted = { readonly frames: number; readonly won: number; readonly lost: number };

export const ALPHA = 0.05;
/** What a group may lose, as a share. */
export const LOSS_MAX = 0.005;

/** One-sided, at 5 %. */
const Z = 1.645;

export const changeOf = ({ won, lost, frames }: Counted): number => (won - lost) / Math.max(1, frames);
/** The change is at least this, one-sided. */
export const lowerOf = ({ won, lost, frames: items }: Counted): number => tangoLower({ won, lost, items }, ALPHA);
const upperOf = ({ won, lost, frames: items }: Counted): number => -tangoLower({ won: lost, lost: won, items }, ALPHA);

/** Places of groups that are proven to lose more than `LOSS_MAX`, at the level of all of them. */
export function provenLosses(groups: readonly Counted[]): readonly number[] {
  const together = holmAdjusted(groups.map(({ won, lost }) => mcNemarP(lost, won)));
  return [...groups.keys()].filter(
    (i) => (together[i] as number) <= ALPHA && upperOf(groups[i] as Counted) < -LOSS_MAX,
  );
}

/** Groups of photos that look harmed by themselves; chance makes `expected` of them, and as many as this with the probability `p`. */
export type Seeming = { readonly seeming: number; readonly expected: number; readonly p: number };

/** A group's photos by their nets, and how many trainings answered each of them. */
export type Netted = { readonly nets: readonly number[]; readonly trainings: number };

export function seemingHarm(groups: readonly Netted[]): Seeming {
  const tails = groups.map((group) => ({ lost: -sum(group.nets), tail: lostTail(group) }));
  const seeming = tails.filter(({ lost, tail }) => (tail.get(lost) as number) <= ALPHA).length;
  // Nets are whole: the largest p-value below 5 % is smaller.
  const levels = tails.map(({ tail }) => Math.max(0, ...[...tail.values()].filter((p) => p <= ALPHA)));
  const able = levels.filter((level) => level > 0);
  const expected = sum(able);
  const p = seeming === 0 ? 1 : 1 - binomialCdf(seeming - 1, able.length, expected / able.length);
  return { seeming, expected, p };
}

/** The share of `answers` that are won is at least this, one-sided: photos are drawn, with all their answers (a cluster-robust standard error). */
export const lowerOfNets = (nets: readonly number[], answers: number): number =>
  (sum(nets) - Z * Math.sqrt(sum(nets.map((net) => net * net)))) / Math.max(1, answers);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** How likely photos with such nets lose at least so much, when on average they lose what a group may: an exact sign test of weighted pairs, of which
 * one that differs is lost a little more often than won. Photos that do not differ say nothing. */
function lostTail({ nets, trainings }: Netted): ReadonlyMap<number, number> {
  const weights = nets.map(Math.abs).filter((weight) => weight > 0);
  const isLost = Math.min(1, 0.5 + (LOSS_MAX * nets.length * trainings) / (2 * sum(weights)));
  let chances = new Map([[0, 1]]);
  for (const weight of weights) {
    const next = new Map<number, number>();
    for (const [lost, chance] of chances) {
      next.set(lost + weight, (next.get(lost + weight) ?? 0) + isLost * chance);
      next.set(lost - weight, (next.get(lost - weight) ?? 0) + (1 - isLost) * chance);
    }
    chances = next;
  }
  let above = 0;
  const tail = new Map<number, number>();
  for (const [lost, chance] of [...chances].sort(([a], [b]) => b - a)) {
    above += chance;
    tail.set(lost, above);
  }
  return tail;
}
