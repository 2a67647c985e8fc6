/**
 * Sample-ratio mismatch: are the devices that report those that were assigned? An arm whose devices fall silent, or whose policy does not reach
 * them, is compared by what is left of it, which is not a random part.
 *
 * Devices of a stratum were assigned at random, as many to each arm as was fixed; so whichever reports next is of an arm with the probability of
 * that arm's share among those that have not reported. The e-value bets that an arm's devices are rarer or commoner than that, by a mixture of
 * odds: a test martingale, exact, and valid at whatever moment one looks (after Lindon & Malek 2022, here without replacement).
 */
import { invariant } from "@tributary/kernel";
import { logSum } from "../judge/evidence.ts";

export type Stratum = {
  /** Devices that were assigned to each arm. */
  readonly assigned: readonly number[];
  /** The arm of each device that has reported, in the order of their first reports; where that order may depend on the arm, as while devices
   * switch, in one that does not. */
  readonly reported: readonly number[];
};

const ODDS = [1 / 4, 1 / 2, 2, 4] as const;

/** ln e for "some arm's devices report more or less often than the others'". */
export function logRatioMismatch(strata: readonly Stratum[]): number {
  const arms = strata[0]?.assigned.length ?? 0;
  const bets = Array.from({ length: arms }, (_, arm) => ODDS.map((odds) => ({ arm, odds }))).flat();
  if (arms < 2) return 0;
  return logSum(bets.map((bet) => strata.reduce((sum, one) => sum + logWealth(one, bet), -Math.log(bets.length))));
}

type Bet = { readonly arm: number; readonly odds: number };

function logWealth({ assigned, reported }: Stratum, { arm: bet, odds }: Bet): number {
  const left = [...assigned];
  let all = left.reduce((sum, devices) => sum + devices, 0);
  let log = 0;
  for (const arm of reported) {
    const devices = left[arm] ?? 0;
    invariant(devices > 0, `more devices of arm ${arm} report than were assigned`);
    const share = (left[bet] as number) / all;
    // The odds of the bet's arm are `odds` times what they were; the others share the rest as before.
    log += Math.log((arm === bet ? odds : 1) / (1 - share + odds * share));
    left[arm] = devices - 1;
    all -= 1;
  }
  return log;
}
