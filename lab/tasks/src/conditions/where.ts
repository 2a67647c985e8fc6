// The place and moment of clean life.

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export type Where = {
  readonly site: number;
  readonly camera: number;
  /** Milliseconds since the midnight that begins the first day, a Monday. */
  readonly time: number;
  /** Seed of the whole fleet's run. */
  readonly seed: number;
};

export function dayOf(time: number): number {
  return Math.floor(time / DAY_MS);
}

/** From 0 to 24, with its fraction. */
export function hourOf(time: number): number {
  return (time - dayOf(time) * DAY_MS) / HOUR_MS;
}

export function isWeekend(time: number): boolean {
  return dayOf(time) % 7 >= 5;
}
