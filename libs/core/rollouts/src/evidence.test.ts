import { describe, expect, test } from "@jest/globals";
import { LOOKS_MAX, lookOf, thinned } from "./evidence.ts";
import { type AnalysisEvidence, type AnalysisLook, analysisEvidenceOf } from "./index.ts";

const counts = { control: { devices: 32, frames: 320 }, canary: { devices: 8, frames: 80 } };
const at = (minute: number, metric: "accuracy" | "deadline-met" = "accuracy"): AnalysisLook =>
  lookOf(
    metric,
    minute * 60_000,
    {
      comparison: { harm: 1 / 3, variance: 1e-5, freedom: 12, chance: 1e-6 },
      logHarm: -2 / 3,
      logSafe: null,
      segments: [],
      leading: null,
      crossedMs: null,
      band: { lower: Number.NEGATIVE_INFINITY, upper: 1.5 },
      isHarmful: false,
      isSafe: false,
    },
    counts,
  );

const evidence: AnalysisEvidence = {
  format: "tributary.analysis/1",
  startedAtMs: 1e12,
  sinceMs: 60_000,
  burnInMs: 0,
  why: "",
  control: { devices: 32, heard: 32, onModel: 32, goldenFailed: 0, silent: [] },
  canary: { devices: 8, heard: 7, onModel: 7, goldenFailed: 0, silent: ["d1"] },
  metrics: [],
  looks: [at(1)],
  crashes: null,
  refused: { devices: 0, some: [] },
  settings: [],
};

describe("evidence of an analysis", () => {
  test("is read again from JSON, and what is none is none", () => {
    expect(analysisEvidenceOf(JSON.parse(JSON.stringify(evidence)))).toEqual(evidence);
    expect(evidence.looks[0]).toMatchObject({ harm: 0.333333, low: null, high: 1.5, logSafe: null });
    expect(analysisEvidenceOf({ ...evidence, later: "field" })).toEqual(evidence);
    for (const other of [
      {},
      { reached: 8, updated: 8 },
      null,
      "x",
      { ...evidence, looks: [{ ...at(1), harm: "NaN" }] },
    ])
      expect(analysisEvidenceOf(other)).toBeNull();
    expect(analysisEvidenceOf({ ...evidence, looks: Array.from({ length: 201 }, (_, i) => at(i)) })).toBeNull();
  });

  test("keeps few looks, spread over all of the time, though it is thinned after each", () => {
    let looks: AnalysisLook[] = [];
    for (let minute = 1; minute <= 2_000; minute++) looks = thinned([...looks, at(minute), at(minute, "deadline-met")]);
    expect(looks).toHaveLength(LOOKS_MAX);
    for (const metric of ["accuracy", "deadline-met"]) {
      const own = looks.filter((look) => look.metric === metric).map(({ sinceMs }) => sinceMs / 60_000);
      expect([own[0], own.at(-1)]).toEqual([1, 2_000]);
      const gaps = own.slice(1).map((minute, i) => minute - (own[i] as number));
      expect(Math.min(...gaps)).toBeGreaterThan(0);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(40); // even: 20
    }
    expect(JSON.stringify({ ...evidence, looks }).length).toBeLessThan(100_000);
  });
});
