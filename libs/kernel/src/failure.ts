/** What the caller does next: try again later, give this item up, or stop until a person acts. */
export type FailureAdvice = "retry" | "give-up" | "ask-a-person";

/** An expected failure: a stable code, what to do next, and a message that names the thing that failed. A bug is not a
 * Failure: see `invariant`. */
export class Failure extends Error {
  readonly code: string;
  readonly advice: FailureAdvice;

  constructor(code: string, advice: FailureAdvice, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Failure";
    this.code = code;
    this.advice = advice;
  }
}

export class InvariantViolation extends Error {
  override name = "InvariantViolation";
}

/** States what must be true; failing it is a bug of ours, never of the input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** The message of anything thrown. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
