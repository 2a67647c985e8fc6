import { describe, expect, test } from "@jest/globals";
import { type RolloutChange, type RolloutEvent, RolloutLog, rolloutSpec } from "./index.ts";

const spec = rolloutSpec.parse({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@2",
    strategy: { canary: { steps: [{ setWeight: 5 }, { analysis: { duration: "1h" } }, { setWeight: 100 }] } },
  },
});
const created = (...order: string[]): RolloutChange => ({
  kind: "created",
  spec,
  modelDigest: "new",
  stableDigest: "old",
  order,
});
const aborted: RolloutChange = { kind: "aborted", why: "by ann", evidence: {} };
const back: RolloutChange = { kind: "rolled-back", evidence: {} };
const retried: RolloutChange = { kind: "retried", evidence: {} };
const completed: RolloutChange = { kind: "completed", evidence: {} };

class Told {
  readonly log: RolloutLog;
  #position = 0n;
  constructor(finishedMax?: number) {
    this.log = new RolloutLog(finishedMax);
  }
  tell(uid: string, version: number, change: RolloutChange): string {
    this.#position += 1n;
    const event: RolloutEvent = { uid, version, at: Number(this.#position), by: "service", change };
    return this.log.apply(event, this.#position).kind;
  }
}

describe("an event of the log", () => {
  test("counts only if its version is the next one (events.ts V1)", () => {
    const { log, tell } = bound(new Told());
    expect([tell("a", 2, aborted), tell("a", 1, created("d1")), tell("a", 1, created("d1"))]).toEqual([
      ...["stale", "counts", "stale"],
    ]);
    expect([tell("a", 2, aborted), tell("a", 2, back), tell("a", 3, back)]).toEqual(["counts", "stale", "counts"]);
    expect(log.get("a")).toMatchObject({ version: 3, aborted: { isBack: true } });
  });

  test("does not count if it takes devices that another holds, and leaves the version free", () => {
    const { log, tell } = bound(new Told());
    expect([tell("a", 1, created("d1", "d2")), tell("b", 1, created("d2", "d3"))]).toEqual(["counts", "conflicts"]);
    expect(log.get("b")).toBeNull();
    expect([tell("a", 2, aborted), tell("a", 3, back), tell("b", 1, created("d2", "d3"))]).toEqual(
      Array(3).fill("counts"),
    );
    // Begun again while another holds its devices: not counted, so what counts next has the same version.
    expect([tell("a", 4, retried), tell("b", 2, aborted), tell("b", 3, back), tell("a", 4, retried)]).toEqual([
      ...["conflicts", "counts", "counts", "counts"],
    ]);
    expect(log.get("a")).toMatchObject({ version: 4, phase: "Progressing" });
  });

  test("does not revert what a later one built on", () => {
    const { tell } = bound(new Told());
    tell("a", 1, created("d1"));
    tell("a", 2, completed);
    tell("b", 1, created("d1"));
    tell("b", 2, completed);
    expect(tell("a", 3, aborted)).toBe("conflicts");
    expect(tell("b", 3, aborted)).toBe("counts");
  });

  test("of a rollout that is forgotten does not count; those at work are never forgotten", () => {
    const { log, tell } = bound(new Told(2));
    tell("w", 1, created("d0"));
    for (const uid of ["a", "b", "c"]) {
      tell(uid, 1, created("d1"));
      tell(uid, 2, aborted);
      tell(uid, 3, back);
    }
    expect(["w", "a", "b", "c"].map((uid) => log.get(uid) !== null)).toEqual([true, false, true, true]);
    expect(tell("a", 4, retried)).toBe("stale");
  });
});

const bound = (told: Told) => ({ log: told.log, tell: told.tell.bind(told) });
