/** The time in ms, of a clock that all processes of this machine share, and that nobody sets (CLOCK_MONOTONIC). */
export const sharedMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;
