/**
 * How old a stored frame is, by A1 or A2. Otherwise its age is unknown: the frame counts as expired, and its age is stated as
 * at least the machine's uptime.
 *
 * A1. Within one machine boot by the monotonic clock, which survives restarts of the agent (CLOCK_MONOTONIC).
 * A2. Across a reboot by the wall clock, if it was synchronised at capture and is now. */
export type DeviceTime = {
  /** Identity of the machine's boot. */
  readonly machineBoot: string;
  /** Since the machine's boot. */
  readonly monotonicMs: number;
  /** Null while the clock is unsynchronised. */
  readonly wallMs: number | null;
};

export type Captured = DeviceTime;

export type Age = { readonly ageMs: number; readonly known: boolean };

export function ageOf(captured: Captured, now: DeviceTime): Age {
  if (captured.machineBoot === now.machineBoot) {
    return { ageMs: Math.max(0, now.monotonicMs - captured.monotonicMs), known: true };
  }
  if (captured.wallMs !== null && now.wallMs !== null) {
    return { ageMs: Math.max(0, now.wallMs - captured.wallMs), known: true };
  }
  return { ageMs: now.monotonicMs, known: false };
}

/** The age in a record: an unknown age is never below the deadline. */
export const reportedAgeMs = (age: Age, deadlineMs: number): number =>
  age.known ? age.ageMs : Math.max(age.ageMs, deadlineMs + 1);

/** When the deadline passes, on the monotonic clock of `now`. */
export const expiresAtMs = (age: Age, deadlineMs: number, now: DeviceTime): number =>
  age.known ? now.monotonicMs - age.ageMs + deadlineMs : Number.NEGATIVE_INFINITY;
