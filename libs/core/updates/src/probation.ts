/** Whether a model in probation is too slow. Exact, without a clock of its own: fed one frame at a time. */

export type Probation = { readonly answered: number; readonly slow: number };

export const probationStart: Probation = { answered: 0, slow: 0 };

export const observed = ({ answered, slow }: Probation, isSlow: boolean): Probation => ({
  answered: answered + 1,
  slow: slow + (isSlow ? 1 : 0),
});

/** Over, as soon as it is certain: more than half of the frames of the whole probation took longer than the budget, that is,
 * their median is above it. */
export function judgeProbation({ answered, slow }: Probation, framesWanted: number): "goes-on" | "passed" | "too-slow" {
  if (slow > framesWanted / 2) return "too-slow";
  return answered >= framesWanted ? "passed" : "goes-on";
}
