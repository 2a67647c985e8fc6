/**
 * (m,k)-firm deadlines: of any k consecutive frames at least m are answered in time (Hamdaoui & Ramanathan, IEEE Transactions on
 * Computers 44, 1995). A plain percentile would allow all misses in one second of an hour.
 */

/** `met` of any `of` consecutive frames; 1 <= met <= of <= 32. */
export type FirmTask = { readonly met: number; readonly of: number };

/** The last `of` frames, the newest in bit 0; 1: missed. */
export type Misses = number;

export const noMisses: Misses = 0;

export const withFrame = (misses: Misses, isMissed: boolean, { of }: FirmTask): Misses =>
  ((misses << 1) | (isMissed ? 1 : 0)) & newest(of);

/** The promise is broken by the frames as they are. */
export const isBroken = (misses: Misses, { met, of }: FirmTask): boolean => countOf(misses) > of - met;

/** One more miss, as the next frame, breaks it. */
export const isOneMissAway = (misses: Misses, { met, of }: FirmTask): boolean =>
  countOf(misses & newest(of - 1)) >= of - met;

const newest = (frames: number): number => (frames === 32 ? -1 : (1 << frames) - 1);

/** Set bits of 32 (Warren, Hacker's Delight, 5-1). */
function countOf(bits: number): number {
  let n = bits - ((bits >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
