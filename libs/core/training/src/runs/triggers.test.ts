/** What starts a training, and what does not. */
import { describe, expect, test } from "@jest/globals";
import type { DriftVerdict, TrainingRun } from "@tributary/contracts";
import { someDriftVerdict, someModel } from "@tributary/testing";
import { applied, candidateVersion, decide, requestedBy, runDefaults, triggersDue, type World } from "../index.ts";

const NOW = 1_800_000_000_000;
const DAY = 86_400_000;
const CAUSE = "verdict:edge:site=north";
const champion = someModel({ name: "edge", version: "1.4.0", pushedAt: NOW - 300 * DAY });
const digest = (text: string): string => Buffer.from(text).toString("hex").padEnd(64, "0");

function world(change: Partial<World> & { readonly verdict?: Partial<DriftVerdict> } = {}): World {
  const { verdict, ...rest } = change;
  const { modelDigest } = champion;
  const one = someDriftVerdict({
    verdictId: "v",
    modelName: "edge",
    modelDigest,
    state: "OPEN",
    retrain: true,
    scopeKey: "site",
    scopeValue: "north",
    ...verdict,
  });
  return {
    runs: new Map(),
    verdicts: new Map(verdict === undefined ? [] : [[one.verdictId, one]]),
    rollouts: new Map(),
    models: { names: () => ["edge"], byAlias: () => champion, get: () => champion },
    labelsSince: () => 0,
    scheduledAfter: () => null,
    ...rest,
  };
}
const due = (of: World, now = NOW) => triggersDue(of, now, runDefaults, digest).map(({ run }) => run.causeKey);
const ended = (change: Partial<TrainingRun>): ReadonlyMap<string, TrainingRun> => {
  const { run } = requestedBy(
    { model: "edge", by: "ann", reason: "dusk" },
    world(),
    NOW - 30 * DAY,
    runDefaults,
    digest,
  );
  return new Map([[run.runId, { ...run, causeKey: CAUSE, verdictId: "v", endedAt: NOW, ...change }]]);
};

describe("a verdict", () => {
  test("is a reason while it is open, loses frames, and is about the champion", () => {
    expect(due(world({ verdict: {} }))).toEqual([CAUSE]);
    expect(due(world({ verdict: { state: "CLOSED" } }))).toEqual([]);
    expect(due(world({ verdict: { retrain: false } }))).toEqual([]);
    expect(due(world({ verdict: { modelDigest: "00".repeat(32) } }))).toEqual([]);
  });

  test("counts frames since the median onset of its devices, not since the earliest, which is an estimate of before the change", () => {
    const onsets = [-40, -1, 0, 2, 90].map((minutes) => NOW + minutes * 60_000);
    const devices = onsets.map((since, i) => ({ deviceId: `d${i}`, cameras: [], since }));
    const sinceOf = (verdict: Partial<DriftVerdict>) =>
      triggersDue(world({ verdict }), NOW, runDefaults, digest)[0]?.run.since;
    expect(sinceOf({ devices: devices.toReversed(), since: NOW - 40 * 60_000 })).toBe(NOW);
    expect(sinceOf({ devices: [], since: NOW - 5 })).toBe(NOW - 5);
  });

  test("rests after its training: a week, and a day where labels were missing", () => {
    const failed = world({ verdict: {}, runs: ended({ phase: "FAILED" }) });
    expect([due(failed, NOW + 6 * DAY), due(failed, NOW + 7 * DAY)]).toEqual([[], [CAUSE]]);
    const refused = world({ verdict: {}, runs: ended({ phase: "REFUSED" }) });
    expect([due(refused, NOW + DAY / 2), due(refused, NOW + DAY)]).toEqual([[], [CAUSE]]);
    expect(due(world({ verdict: {}, runs: ended({ endedAt: null }) }), NOW + 365 * DAY)).toEqual([]);
  });

  test("about the model that came out, at the same place, is the same cause; at another place it is another", () => {
    const runs = ended({ phase: "SUCCEEDED" });
    const next = { verdictId: "w" };
    expect(due(world({ verdict: next, runs }), NOW + 6 * DAY)).toEqual([]);
    expect(due(world({ verdict: next, runs }), NOW + 7 * DAY)).toEqual([CAUSE]);
    expect(due(world({ verdict: { ...next, scopeValue: "south" }, runs }))).toEqual(["verdict:edge:site=south"]);
  });

  test("does not rest for a training that was cancelled, since the verdict before it closed; its own verdict does", () => {
    const runs = ended({ phase: "CANCELLED" });
    expect(due(world({ verdict: { verdictId: "w" }, runs }))).toEqual([CAUSE]);
    expect(due(world({ verdict: {}, runs }), NOW + 6 * DAY)).toEqual([]);
  });

  test("and another one of the same place at the same time are one run", () => {
    const both = ["v", "w"].flatMap((verdictId) => [...world({ verdict: { verdictId } }).verdicts]);
    expect(due(world({ verdicts: new Map(both) }))).toEqual([CAUSE]);
  });
});

describe("a training of a verdict that does not hold until it starts", () => {
  const runs = [...ended({ phase: "LABELLING", trigger: "VERDICT", endedAt: null, labelsHave: 10_000 }).values()].map(
    (one) => ({
      ...one,
      metrics: { "labels.train": 5_000, "labels.tune": 1_000, "labels.gate": 4_000 },
      attemptAt: NOW,
    }),
  );
  const run = runs[0] as TrainingRun;
  const CLOSED = { state: "CLOSED", closedBecause: "its inputs are as before again" } as const;
  const phaseAfter = (phase: TrainingRun["phase"], verdict: Partial<DriftVerdict>) => {
    const action = decide({ ...run, phase }, world({ verdict }), NOW + DAY, runDefaults);
    return action?.kind === "change" ? (action.patch.phase ?? action.patch.message) : action?.kind;
  };

  test("waits while the verdict proves no loss, and is cancelled when it closes, also while its dataset is frozen", () => {
    expect(phaseAfter("LABELLING", {})).toBe("FREEZING");
    expect(phaseAfter("LABELLING", { retrain: false })).toMatch(/waits for verdict v/);
    expect(phaseAfter("LABELLING", CLOSED)).toBe("CANCELLED");
    expect(phaseAfter("FREEZING", {})).not.toBe("CANCELLED");
    expect(phaseAfter("FREEZING", CLOSED)).toBe("CANCELLED");
  });

  test("does not start a job for a dataset that was frozen meanwhile", () => {
    const frozen = { kind: "frozen", datasetVersion: "1", frames: 9_000 } as const;
    const after = (verdict: Partial<DriftVerdict>) =>
      applied({ ...run, phase: "FREEZING" }, { kind: "freeze" }, frozen, world({ verdict }), NOW, runDefaults)?.run
        .phase;
    expect([after({}), after(CLOSED)]).toEqual(["TRAINING", "CANCELLED"]);
  });
});

test("labels are a reason once there are enough new ones", () => {
  expect(due(world({ labelsSince: () => 1_999 }))).toEqual([]);
  expect(due(world({ labelsSince: () => 2_000 }))).toEqual(["labels:edge"]);
});

test("a schedule starts nothing that was due long ago, nor while a training of the model is open", () => {
  const every = (periodMs: number) => (at: number) => (Math.floor(at / periodMs) + 1) * periodMs;
  const quarterly = every(90 * DAY);
  const at = quarterly(NOW);
  expect(due(world({ scheduledAfter: quarterly }), at - 1)).toEqual([]);
  expect(due(world({ scheduledAfter: quarterly }), at + DAY / 2)).toEqual(["schedule:edge"]);
  expect(due(world({ scheduledAfter: quarterly }), at + 2 * DAY)).toEqual([]);
  expect(due(world({ scheduledAfter: quarterly, runs: ended({ endedAt: null }) }), at + DAY / 2)).toEqual([]);
});

test.each([
  ["1.4.0", "1.5.0-run"],
  ["1.5.0-0123456789abcdef", "1.6.0-run"],
  ["v2", "2.1.0-run"],
  ["mlflow-7", "0.1.0-run"],
])("the version after %s is %s", (parent, next) => {
  expect(candidateVersion(parent, "run")).toBe(next);
});
