import type { Clock } from "@tributary/kernel";

const ASK_MS = 100;

/**
 * Returns once `ask`, a question that only the group's coordinator answers, is answered.
 *
 * A broker that has just started, or has just become the coordinator, reads the group's offsets first and refuses requests
 * meanwhile. kafkajs retries most of them, but gives a consumer up when its very first JoinGroup is refused. Rejects with the
 * refusal when it is of another kind, or has lasted for `msMax`.
 */
export async function untilCoordinated(
  ask: () => Promise<unknown>,
  clock: Clock,
  msMax: number,
  signal: AbortSignal,
): Promise<void> {
  const givesUpAt = clock.monotonicMs() + msMax;
  for (;;) {
    try {
      await ask();
      return;
    } catch (error) {
      if (!isPassing(error) || clock.monotonicMs() >= givesUpAt) throw error;
    }
    await clock.sleep(ASK_MS, signal);
  }
}

/** The types that kafkajs gives error codes 14, 15 and 16 of the protocol. */
const PASSING = new Set(["GROUP_LOAD_IN_PROGRESS", "GROUP_COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR_FOR_GROUP"]);

const isPassing = (error: unknown): boolean => PASSING.has(String((error as { type?: unknown } | null)?.type ?? ""));
