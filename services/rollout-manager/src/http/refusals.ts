import { Failure } from "@tributary/kernel";
import { Problem } from "@tributary/service-kit";
import { SpecRefused } from "../creation/spec-problems.ts";
import type { Manager } from "../manager.ts";

/** Throws a Problem while Kafka is still being read. */
export function refuseEarly({ health }: Manager): void {
  if (health === true) return;
  throw new Problem(503, "rollout-manager-starting", "retry", `The rollout-manager is ${health}. Try again.`, {
    headers: { "Retry-After": "1" },
  });
}

/** Throws a Problem that names each problem of a specification and its place. */
export async function withProblems<T>(created: Promise<T>): Promise<T> {
  try {
    return await created;
  } catch (error) {
    if (!(error instanceof SpecRefused)) throw error;
    const errors = error.problems.map(({ path, message }) => ({ where: path.join("."), message }));
    const extensions = { problems: error.problems };
    throw new Problem(422, error.code, "ask-a-person", error.message, { errors, extensions });
  }
}

/** Throws a Problem with status 409 for a Failure with one of these codes. */
export async function withConflicts<T>(changed: Promise<T>, codes: readonly string[]): Promise<T> {
  try {
    return await changed;
  } catch (error) {
    if (!(error instanceof Failure) || !codes.includes(error.code)) throw error;
    throw new Problem(409, error.code, error.advice, error.message, { cause: error });
  }
}
