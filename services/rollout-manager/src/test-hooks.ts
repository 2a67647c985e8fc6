/** Places at which a test may have this process die, or act against V1 (an event acted on before it is read back).
 *
 * Nothing of this is configuration: without its two variables in the environment it does nothing, and with them every start
 * says so. `TRIBUTARY_TEST_DIE=PLACE:KIND,…` kills the process with SIGKILL at the first of these that it comes to with that
 * change, and says at which. */
import type { RolloutChange } from "@tributary/rollouts";

export type Place = "before-append" | "after-append" | "after-read-back" | "while-writing-desired";

export type TestHooks = {
  at(place: Place, kind: RolloutChange["kind"] | "any"): void;
  /** Events are acted on as soon as they are proposed: what must go wrong. */
  readonly actUnread: boolean;
  /** For the log; undefined: none is set. */
  readonly set: string | undefined;
};

export const noHooks: TestHooks = { at: () => {}, actUnread: false, set: undefined };

export function hooksOf(env: Readonly<Record<string, string | undefined>>, die: (at: string) => void): TestHooks {
  const where = env.TRIBUTARY_TEST_DIE;
  const deaths = new Set(where?.split(","));
  const actUnread = env.TRIBUTARY_TEST_ACT_UNREAD === "1";
  if (where === undefined && !actUnread) return noHooks;
  return {
    at: (place, kind) => {
      if (deaths.has(`${place}:${kind}`)) die(`${place}:${kind}`);
    },
    actUnread,
    set: [where && `TRIBUTARY_TEST_DIE=${where}`, actUnread && "TRIBUTARY_TEST_ACT_UNREAD=1"].filter(Boolean).join(" "),
  };
}
