/** What an undecided comparison is missing, if what it shows stays as it is. More time shrinks what is left to chance within
 * devices; what differs between devices shrinks with more of them alone. Harm that falls on some devices only may so never
 * show by waiting. */
import type { Compared } from "./comparison.ts";
import type { Comparison } from "./evidence.ts";

export type Forecast = {
  /** Null: no time within `TIMES_MAX` of what has passed would do. */
  readonly moreMs: number | null;
  /** How many times the devices of both arms, if nothing else changed; null: within `TIMES_MAX` none. */
  readonly timesDevices: number | null;
};

const TIMES_MAX = 16;
const STEP = 1.1;

/** `logOf`: ln e of a comparison, for the question that is asked. */
export function forecast(
  comparison: Compared,
  sinceMs: number,
  logOf: (comparison: Comparison) => number,
  needed: number,
): Forecast {
  const { harm, variance, freedom, chance } = comparison;
  const first = (at: (times: number) => Comparison): number | null => {
    for (let times = STEP; times <= TIMES_MAX; times *= STEP) if (logOf(at(times)) >= needed) return times;
    return null;
  };
  const longer = first((times) => ({ harm, variance: variance - chance + chance / times, freedom }));
  const timesDevices = first((times) => ({ harm, variance: variance / times, freedom: freedom * times }));
  return { moreMs: longer === null ? null : (longer - 1) * sinceMs, timesDevices };
}
