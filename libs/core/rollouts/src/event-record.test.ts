import { describe, expect, test } from "@jest/globals";
import {
  changeWords,
  type EventRecord,
  eventOfRecord,
  pausedWords,
  type RolloutChange,
  recordOfEvent,
  rolloutSpec,
  stepWords,
  writtenSpec,
} from "./index.ts";
import { harmWords, unsureWords } from "./words.ts";

const spec = rolloutSpec.parse({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@challenger",
    strategy: {
      canary: { steps: [{ setWeight: 5 }, { pause: {} }, { analysis: { duration: "90m" } }, { setWeight: 100 }] },
    },
  },
});
const created: RolloutChange = {
  kind: "created",
  spec,
  modelDigest: "ab".repeat(32),
  stableDigest: "cd".repeat(32),
  order: ["d1", "d2"],
  strata: [0, 3],
  segments: { classes: ["ok", "scratch"], sites: ["north"], siteOf: [0, -1] },
};
const event = (change: RolloutChange) => ({ uid: "u1", version: 3, at: 1e12, by: "ann", change });
const changes: RolloutChange[] = [
  created,
  { kind: "step-started", step: 0 },
  { kind: "step-finished", step: 0, evidence: { reached: 8 } },
  { kind: "analysed", step: 2, verdict: "NoData", evidence: {} },
  { kind: "analysed", step: 2, verdict: "Inconclusive", suspicion: "the cross-check shows harm", evidence: {} },
  { kind: "paused", reason: "no-data", untilMs: null, evidence: {} },
  { kind: "resumed", evidence: {} },
  { kind: "promoted", full: true, evidence: { after: "promote by ann" } },
  { kind: "aborted", why: "aborted by ann", evidence: {} },
  { kind: "rolled-back", evidence: {} },
  { kind: "retried", evidence: {} },
  { kind: "completed", evidence: {} },
];

describe("an event's record", () => {
  test.each(changes.map((change) => [change.kind, change] as const))("of %s gives the event again", (_, change) => {
    expect(eventOfRecord(recordOfEvent(event(change)))).toEqual(event(change));
  });

  test("holds the specification as people write it, with its defaults", () => {
    const written = writtenSpec(spec);
    expect(written.spec).toMatchObject({ burnIn: "3m", progressDeadline: "30m", when: "any" });
    expect(written.spec.strategy.canary.steps[2]).toEqual({ analysis: { duration: "90m" } });
    expect(rolloutSpec.parse(written)).toEqual(spec);
    expect(JSON.parse(recordOfEvent(event(created)).details).spec).toEqual(written);
  });

  test("of which the strata are malformed counts all the same: they decide nothing", () => {
    const record = recordOfEvent(event(created));
    for (const strata of [["a"], [-1], [0.5], "none", null, {}, undefined]) {
      const details = JSON.stringify({ ...JSON.parse(record.details), strata });
      expect(eventOfRecord({ ...record, details })).toEqual(event({ ...created, strata: undefined }));
    }
  });

  test("of which the segments are malformed judges the whole alone, for every reader alike", () => {
    const record = recordOfEvent(event(created));
    for (const segments of [{ classes: [7] }, { classes: Array(65).fill("c"), sites: [], siteOf: [] }, "none", null]) {
      const details = JSON.stringify({ ...JSON.parse(record.details), segments });
      expect(eventOfRecord({ ...record, details })).toEqual(event({ ...created, segments: undefined } as never));
    }
  });

  test.each<[string, Partial<EventRecord>, RegExp]>([
    ["of a kind to come", { kind: "UNKNOWN" }, /kind UNKNOWN is not known/],
    ["without JSON", { details: "{" }, /version|spec|details/],
    ["of another form", { details: "[]" }, /spec/],
    ["of version 0", { version: 0n }, /count from 1/],
    ["with a foreign verdict", { ...recordOfEvent(event(changes[3] as RolloutChange)), verdict: "UNKNOWN" }, /verdict/],
    ["with a misspelt specification", { details: JSON.stringify({ ...created, spec: { spec: {} } }) }, /spec\./],
    ["of a step that cannot be", { ...recordOfEvent(event(changes[1] as RolloutChange)), step: 64 }, /step/],
  ])("%s is refused with its error", (_, wrong, message) => {
    expect(() => eventOfRecord({ ...recordOfEvent(event(created)), ...wrong })).toThrow(message);
  });
});

test("changes are written in words", () => {
  const { steps } = spec.spec.strategy.canary;
  const written = changes.map((change) =>
    changeWords(change.kind === "created" ? { kind: "created", devices: change.order.length } : change, steps),
  );
  expect(written).toEqual([
    "created for 2 devices",
    "step 1/4 starts: set weight 5 %",
    "step 1/4 is done",
    "the analysis of step 3/4 ends NoData",
    "the analysis of step 3/4 ends Inconclusive",
    "paused: the analysis had no data",
    "resumed",
    "promoted to all, by a person and without evidence",
    "rolls back: aborted by ann",
    "no device runs the model any more",
    "restarted",
    "complete: all its devices run the model",
  ]);
  const words = (kind: "completed" | "rolled-back", evidence: object) =>
    changeWords({ kind, evidence } as never, steps);
  expect(words("completed", { reached: 160, updated: 149 })).toBe(
    "complete: 149 of its 160 devices run the model, the others have it as their desired state",
  );
  expect(words("completed", { reached: 160, updated: 160 })).toBe("complete: all its devices run the model");
  const why = "accuracy fell by 3.1 points (2.2 to 4.0) against the control";
  const unsure = { why: "accuracy: between 0.4 points better and 2.1 points worse against the control" };
  expect(pausedWords("inconclusive", unsure)).toBe(`the analysis ended without a verdict: ${unsure.why}`);
  const some = ["d1", "d2", "d3", "d4", "d5", "d6", "d7"];
  expect(changeWords({ kind: "abandoned", devices: 7, some, evidence: { after: "abort by ann" } }, steps)).toBe(
    "abandoned (abort by ann): 7 devices still run the model: d1, d2, d3, d4, d5 and 2 more",
  );
  expect(harmWords("accuracy", { harm: 0.031 }, { lower: 0.022, upper: 0.04 })).toBe(why);
  expect(harmWords("accuracy", { harm: 0.2 }, { lower: 0.1, upper: 0.3 }, { kind: "site", name: "north" })).toBe(
    "accuracy at site north fell by 20.0 points (10.0 to 30.0) against the control",
  );
  expect(harmWords("deadline-met", { harm: 0.5 }, { lower: -Infinity, upper: Infinity })).toBe(
    "frames within the deadline fell by 50.0 points (no bound yet) against the control",
  );
  const look = {
    comparison: { harm: 0.042, variance: 1e-4, freedom: 9, chance: 1e-5 },
    band: { lower: -0.007, upper: 0.091 },
    logHarm: 1.94,
    logSafe: -0.6,
  };
  const undecided = { look, margin: 0.01, alpha: 0.02, beta: 0.05, moreMs: 700_000, moreDevices: 6, segment: null };
  expect(unsureWords("accuracy", undecided)).toBe(
    "accuracy -4.2 points (band -9.1 to +0.7): harm of over 1.0 points is not ruled out; evidence 0.0 of the 3.0 needed to go on, 1.9 of the 3.9 to roll back; about 12 more minutes or 6 more canary devices at this rate would do",
  );
  const comparison = { harm: 0.2 };
  const segment = { kind: "class" as const, name: "cat", comparison, band: { lower: -Infinity, upper: Infinity } };
  expect(unsureWords("accuracy", { ...undecided, moreMs: null, segment })).toMatch(
    /to roll back, most of it of class cat, -20.0 points \(no bound yet\); more time alone would not do, about 6 more canary devices would$/,
  );
  const far = { ...undecided, moreMs: null, moreDevices: null };
  expect(unsureWords("accuracy", far)).toMatch(/; so small a difference needs far more time and devices$/);
  const wide = { ...look, band: { lower: -1.2, upper: 2.1 } };
  expect(unsureWords("accuracy", { ...undecided, look: wide })).toContain("(band -100.0 to +100.0)");
  expect(unsureWords("accuracy", { ...undecided, moreMs: 4 * 3_600_000 })).toContain("about 4 more hours or 6 more");
  expect(words("rolled-back", { after: "abort by ann, who leaves those that refuse the rollback" })).toBe(
    "ended: abort by ann, who leaves those that refuse the rollback",
  );
  expect(steps.map(stepWords)).toEqual([
    "set weight 5 %",
    "pause until someone resumes",
    "analysis, at most 90m",
    "set weight 100 %",
  ]);
});
