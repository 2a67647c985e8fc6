/** The moments for which Prometheus is to be queried. Pure.
 *
 * T1. Moments are multiples of `everyMs`, so every instance queries the same ones, each `delayMs` later, when its samples are
 *     stored.
 * T2. Counters are cumulative: a missed moment is covered by the next answer, so only the newest one is queried.
 * T3. The past of the devices is queried once, when the rollout is new: `PAST_STEPS` steps back from its creation. The query
 *     is given up as soon as the present is due. */
import type { Instant } from "@tributary/kernel";

export type Grid = { readonly everyMs: number; readonly delayMs: number; readonly pastMs: number };

export type Asked = {
  readonly createdAt: Instant;
  /** Of the active comparison; null: nothing is compared. */
  readonly startedAt: Instant | null;
  /** The newest moment that was answered, here or by another instance; null: none. */
  readonly answeredTo: Instant | null;
};

export const PAST_STEPS = 12;

export function momentsDue({ createdAt, startedAt, answeredTo }: Asked, grid: Grid, now: Instant): readonly Instant[] {
  const newest = onGrid(now - grid.delayMs, grid.everyMs);
  if (startedAt !== null && newest >= startedAt) {
    return answeredTo === null || newest > answeredTo ? [newest] : []; // T2
  }
  const last = onGrid(createdAt, grid.everyMs);
  if (answeredTo !== null || newest < last) return [];
  const step = Math.max(1, Math.ceil(grid.pastMs / PAST_STEPS / grid.everyMs)) * grid.everyMs;
  const steps = grid.pastMs === 0 ? 0 : PAST_STEPS;
  return Array.from({ length: steps + 1 }, (_, i) => last - (steps - i) * step).filter((at) => at >= 0); // T3
}

const onGrid = (at: Instant, everyMs: number): Instant => Math.floor(at / everyMs) * everyMs; // T1
