/** What the figures of many trainings prove. Each has a place with tens of classes, so that some class of some training looks harmed at 5 % by
 * chance: what is called proven holds for all of them together (Holm 1979). That alone would be blind to many small losses, so it is asked as well
 * whether more classes look harmed than chance explains. Pure.
 *
 * The trainings of a task are judged by the same photos, and go wrong on the same ones: what chance draws is a photo, not an answer. So a photo counts
 * once, by its net: of how many more trainings the new model is right on it where the deployed one was wrong, than the other way round. */
import { binomialCdf, holmAdjusted, mcNemarP, tangoLower, weightedSignTest } from "@tributary/statistics";

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

/** `groups`: the nets of each one's photos. */
export function seemingHarm(groups: readonly (readonly number[])[]): Seeming {
  const seeming = groups.filter((nets) => lossP(-sum(nets), nets) <= ALPHA).length;
  const levels = groups.map(attainableLevel).filter((level) => level > 0);
  const expected = sum(levels);
  const p = seeming === 0 ? 1 : 1 - binomialCdf(seeming - 1, levels.length, expected / levels.length);
  return { seeming, expected, p };
}

/** The share of `answers` that are won is at least this, one-sided: photos are drawn, with all their answers (a cluster-robust standard error). */
export const lowerOfNets = (nets: readonly number[], answers: number): number =>
  (sum(nets) - Z * Math.sqrt(sum(nets.map((net) => net * net)))) / Math.max(1, answers);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** How likely photos with such nets lose so much, when each is as likely to win. */
const lossP = (lost: number, nets: readonly number[]): number =>
  weightedSignTest(
    lost,
    nets.flatMap((net) => (net === 0 ? [] : [{ weight: Math.abs(net), count: 1 }])),
  );

/** How often the test says 5 % by chance: less, since nets are whole. */
function attainableLevel(nets: readonly number[]): number {
  const all = sum(nets.map(Math.abs));
  let [low, high] = [0, all];
  if (all === 0 || lossP(all, nets) > ALPHA) return 0;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (lossP(middle, nets) <= ALPHA) high = middle;
    else low = middle;
  }
  return lossP(high, nets);
}
