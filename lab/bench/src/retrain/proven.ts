/** What the figures of many trainings prove. Each has a place with tens of classes, so that some class of some training looks harmed at 5 % by
 * chance: what is called proven holds for all of them together (Holm 1979). That alone would be blind to many small losses, so it is asked as well
 * whether more groups look harmed than chance explains. Pure. */
import { binomialCdf, holmAdjusted, mcNemarP, tangoLower } from "@tributary/statistics";

/** Photos of a group; of those that only one of two models is right on, `won` are the new one's. */
export type Counted = { readonly frames: number; readonly won: number; readonly lost: number };

export const ALPHA = 0.05;
/** What a group may lose, as a share. */
export const LOSS_MAX = 0.005;

export const changeOf = ({ won, lost, frames }: Counted): number => (won - lost) / Math.max(1, frames);
/** The change is at least this, one-sided. */
export const lowerOf = ({ won, lost, frames: items }: Counted): number => tangoLower({ won, lost, items }, ALPHA);
const upperOf = ({ won, lost, frames: items }: Counted): number => -tangoLower({ won: lost, lost: won, items }, ALPHA);

export type Harm = {
  /** Places of groups that are proven to lose more than `LOSS_MAX`, at the level of all of them. */
  readonly proven: readonly number[];
  /** Groups that look so by themselves; chance makes `expected` of them, and as many as this with the probability `p`. */
  readonly seeming: number;
  readonly expected: number;
  readonly p: number;
};

export function harmOf(groups: readonly Counted[]): Harm {
  const ps = groups.map(({ won, lost }) => mcNemarP(lost, won));
  const together = holmAdjusted(ps);
  const seeming = ps.filter((p) => p <= ALPHA).length;
  const levels = groups.map(({ won, lost }) => attainableLevel(won + lost)).filter((level) => level > 0);
  const expected = levels.reduce((sum, level) => sum + level, 0);
  const p = seeming === 0 ? 1 : 1 - binomialCdf(seeming - 1, levels.length, expected / levels.length);
  return {
    proven: [...groups.keys()].filter(
      (i) => (together[i] as number) <= ALPHA && upperOf(groups[i] as Counted) < -LOSS_MAX,
    ),
    ...{ seeming, expected, p },
  };
}

/** How often a test of so many differing answers says 5 % by chance: less, since counts are whole. */
function attainableLevel(differing: number): number {
  let level = 0;
  for (let won = 0; won <= differing; won++) {
    const p = binomialCdf(won, differing, 0.5);
    if (p > ALPHA) break;
    level = p;
  }
  return level;
}
