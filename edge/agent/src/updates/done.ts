/** Maps an action's failure to an event of the update's state machine. */
import { Failure, reasonOf } from "@tributary/kernel";
import type { Done, Retry } from "@tributary/updates";

const retryOf = { retry: "many", "ask-a-person": "few", "give-up": "never" } as const satisfies Record<string, Retry>;

/** `code`: of an error that names none. */
export function doneOf(error: unknown, code: string): Done {
  return error instanceof Failure
    ? { ok: false, code: error.code, reason: error.message, retry: retryOf[error.advice] }
    : { ok: false, code, reason: reasonOf(error), retry: "few" };
}
