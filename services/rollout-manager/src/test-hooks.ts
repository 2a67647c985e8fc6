/** Places at which a test may have this process die, or act against V1 (an event acted on before it is read back).
 *
 * Nothing of this is configuration: without its two variables in the environment it does nothing, and with them every start
 * says so. `TRIBUTARY_TEST_DIE=PLACE:KIND` kills the process with SIGKILL, once it comes to that place with that change. */
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

export function hooksOf(env: Readonly<Record<string, string | undefined>>, die: () => void): TestHooks {
  const where = env.TRIBUTARY_TEST_DIE;
  const actUnread = env.TRIBUTARY_TEST_ACT_UNREAD === "1";
  if (where === undefined && !actUnread) return noHooks;
  return {
    at: (place, kind) => {
      if (where === `${place}:${kind}` || where === `${place}:any`) die();
    },
    actUnread,
    set: [where && `TRIBUTARY_TEST_DIE=${where}`, actUnread && "TRIBUTARY_TEST_ACT_UNREAD=1"].filter(Boolean).join(" "),
  };
}
