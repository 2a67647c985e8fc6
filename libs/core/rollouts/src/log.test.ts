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

class AppendedLog {
  readonly log: RolloutLog;
  #position = 0n;
  constructor(finishedMax?: number) {
    this.log = new RolloutLog(finishedMax);
  }
  append(uid: string, version: number, change: RolloutChange): string {
    this.#position += 1n;
    const event: RolloutEvent = { uid, version, at: Number(this.#position), by: "service", change };
    return this.log.apply(event, this.#position).kind;
  }
}

describe("an event of the log", () => {
  test("counts only if its version is the next one (events.ts V1)", () => {
    const { log, append } = bound(new AppendedLog());
    expect([append("a", 2, aborted), append("a", 1, created("d1")), append("a", 1, created("d1"))]).toEqual([
      "stale",
      "counts",
      "stale",
    ]);
    expect([append("a", 2, aborted), append("a", 2, back), append("a", 3, back)]).toEqual([
      "counts",
      "stale",
      "counts",
    ]);
    expect(log.get("a")).toMatchObject({ version: 3, aborted: { isBack: true } });
  });

  test("does not count if it takes devices that another holds, and leaves the version free", () => {
    const { log, append } = bound(new AppendedLog());
    expect([append("a", 1, created("d1", "d2")), append("b", 1, created("d2", "d3"))]).toEqual(["counts", "conflicts"]);
    expect(log.get("b")).toBeNull();
    expect([append("a", 2, aborted), append("a", 3, back), append("b", 1, created("d2", "d3"))]).toEqual(
      Array(3).fill("counts"),
    );
    // Retried while another holds its devices: not counted, so what counts next has the same version.
    expect([append("a", 4, retried), append("b", 2, aborted), append("b", 3, back), append("a", 4, retried)]).toEqual([
      "conflicts",
      "counts",
      "counts",
      "counts",
    ]);
    expect(log.get("a")).toMatchObject({ version: 4, phase: "Progressing" });
  });

  test("does not revert what a later one built on", () => {
    const { append } = bound(new AppendedLog());
    append("a", 1, created("d1"));
    append("a", 2, completed);
    append("b", 1, created("d1"));
    append("b", 2, completed);
    expect(append("a", 3, aborted)).toBe("conflicts");
    expect(append("b", 3, aborted)).toBe("counts");
  });

  test("of a rollout that is forgotten does not count; active ones are never forgotten", () => {
    const { log, append } = bound(new AppendedLog(2));
    append("w", 1, created("d0"));
    for (const uid of ["a", "b", "c"]) {
      append(uid, 1, created("d1"));
      append(uid, 2, aborted);
      append(uid, 3, back);
    }
    expect(["w", "a", "b", "c"].map((uid) => log.get(uid) !== null)).toEqual([true, false, true, true]);
    expect(append("a", 4, retried)).toBe("stale");
  });
});

const bound = (appended: AppendedLog) => ({ log: appended.log, append: appended.append.bind(appended) });
