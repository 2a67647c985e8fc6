import { describe, expect, test } from "@jest/globals";
import { changed, eventsOf, experimentOf, unbounded } from "./experiment.test-kit.ts";
import {
  type ArmEvidence,
  comparisonWords,
  type ExperimentEvidence,
  experimentChangeWords,
  verdictWords,
} from "./index.ts";

const decided = (verdict: "adopt" | "reject" | "equivalent" | "hold", winner: string | null = null) =>
  ({ phase: "Decided", verdict, winner }) as const;
const running = { phase: "Running", verdict: null, winner: null } as const;

const slow = { correct: 0.05, escalated: 0.2, late: 0.06 };
const good = { ...slow, late: 0 };
const slight = { correct: 0.015, escalated: 0.01 };
const same = experimentOf({ hybrid: {} }, 24 * 7).evidence;

/** Of the first arm beside the control. */
const wordsOf = (evidence: ExperimentEvidence) => comparisonWords(evidence.arms[1] as ArmEvidence, evidence);

describe("a verdict", () => {
  test("names the arm, what it is worth and who stays", () => {
    const { evidence } = experimentOf({ hybrid: good });
    expect(verdictWords(decided("adopt", "hybrid"), evidence)).toMatch(
      /^adopt hybrid: worth 0\.4 EUR more per 1,000 frames \(band 0\.\d+ to 0\.\d+\)$/,
    );
    const rejected = experimentOf({ hybrid: slow, "edge-heavy": { correct: -0.02 } }).evidence;
    expect(verdictWords(decided("reject"), rejected)).toMatch(
      /^rejected: arm hybrid is late too often; arm edge-heavy is worth 0\.2 EUR less per 1,000 frames \(band 0\.\d+ to 0\.\d+\); edge-only stays$/,
    );
    expect(verdictWords(decided("equivalent"), same)).toBe(
      "equivalent: arm hybrid is worth the same to within 0.1 EUR per 1,000 frames; edge-only stays",
    );
    expect(verdictWords(decided("hold"), evidence)).toBe("held: it was undecided at its end, so a person decides");
    expect(verdictWords({ phase: "Stopped", verdict: null, winner: null }, null)).toBe(
      "stopped by a person, without a verdict",
    );
  });

  test("is in words also where its evidence is not known", () => {
    expect(verdictWords(decided("adopt", "hybrid"), null)).toBe("adopt hybrid");
    expect(verdictWords(decided("reject"), null)).toBe("rejected; the control stays");
    expect(verdictWords(running, null)).toBe("nothing is measured yet");
  });

  test("is not there yet, nor while devices do not report as assigned", () => {
    const { evidence } = experimentOf({ hybrid: slight }, 2);
    expect(verdictWords(running, evidence)).toBe("no verdict yet");
    const mismatch = { ...evidence, sampleRatio: { ...evidence.sampleRatio, isMismatch: true } };
    expect(verdictWords(running, mismatch)).toMatch(/^no verdict yet: the devices that report are not those/);
  });
});

describe("a comparison", () => {
  test("that is late too often names the margin", () => {
    expect(wordsOf(experimentOf({ hybrid: slow }).evidence)).toMatch(
      /^late answers rise by 6 points \(band 5\.\d+ to 6\.\d+\), beyond the margin of 0\.5$/,
    );
  });

  test("that is undecided names what is missing", () => {
    expect(wordsOf(experimentOf({ hybrid: slight }, 4).evidence)).toMatch(
      /^worth 0\.145 EUR more per 1,000 frames \(band −0\.\d+ to 0\.\d+\), not yet shown: about \d+ h more, or [\d.]+ times the devices$/,
    );
    expect(wordsOf(experimentOf({ hybrid: {} }, 24).evidence)).toMatch(
      /^worth 0 EUR more .*not yet shown: that it is the same takes about \d+ h more, or [\d.]+ times the devices$/,
    );
    const { evidence } = experimentOf({ hybrid: slight }, 4);
    const nothing = { moreMs: null, timesDevices: null };
    const missing = (difference: object) =>
      wordsOf(changed(evidence, { missing: { difference: { ...nothing, ...difference }, equivalence: nothing } }));
    expect(missing({})).toContain("not yet shown: far more time and devices");
    expect(missing({ timesDevices: 3.21 })).toContain("about 3.3 times the devices, as time alone would not do");
    expect(missing({ moreMs: 100 * 60_000 })).toContain("not yet shown: about 100 min more");
    expect(missing({ moreMs: 80 * 3_600_000 })).toContain("not yet shown: about 4 days more");
  });

  test("that is worth more waits until late answers are shown to stay within the margin", () => {
    const { evidence } = experimentOf({ hybrid: { ...good, late: 0.0045 } });
    expect(evidence.arms[1]?.comparison?.verdict).toBe("undecided");
    expect(wordsOf(evidence)).toMatch(
      /^worth 0\.355 EUR more .*; not yet shown that late answers stay within the margin of 0\.5: late answers rise by 0\.45 points/,
    );
  });

  test("that has a verdict which is not taken gives the reason", () => {
    const { evidence } = experimentOf({ hybrid: good });
    expect(wordsOf(changed(evidence, { verdict: "undecided" }))).toMatch(
      /^worth 0\.4 EUR more .*; no verdict is taken while the devices that report are not those assigned$/,
    );
  });

  test("that cannot be made gives the reason", () => {
    const { evidence } = experimentOf({ hybrid: good }, 0.1);
    expect(wordsOf(evidence)).toMatch(/^not compared yet: in the burn-in/);
    expect(comparisonWords(evidence.arms[0] as ArmEvidence, evidence)).toMatch(/^the control/);
    const [control, arm] = evidence.arms as [ArmEvidence, ArmEvidence];
    const silent = { ...control, rates: { correct: null, escalated: null, late: null } };
    expect(wordsOf({ ...evidence, arms: [silent, arm] })).toBe("no frame of edge-only has an answer yet");
  });

  test("whose band has no bound yet states it", () => {
    const evidence = unbounded(experimentOf({ hybrid: slight }, 2).evidence);
    expect(wordsOf(evidence)).toContain("per 1,000 frames (no bound yet), not yet shown");
  });

  test("that is worth more names the late answers beside it, and one without labels its arm", () => {
    const { evidence } = experimentOf({ hybrid: good, "edge-heavy": { isUnlabelled: true } });
    expect(wordsOf(evidence)).toMatch(
      /^worth 0\.4 EUR more .*; late answers rise by 0 points \(band .*\), within the margin of 0\.5$/,
    );
    expect(comparisonWords(evidence.arms[2] as ArmEvidence, evidence)).toBe("no frame of edge-heavy has a label yet");
  });
});

test("the history names arms, verdict and reason", () => {
  const one = experimentOf({ hybrid: good });
  const words = (end: Parameters<typeof eventsOf>[1]) =>
    eventsOf(one, end).map(({ change }) => experimentChangeWords(change));
  expect(words({ verdict: "adopt", winner: "hybrid" })).toEqual([
    "created with 80 devices: 40 in edge-only, 40 in hybrid",
    "decided: adopt hybrid: as devices of all arms have shown",
  ]);
  expect(words({ stopped: "" }).at(-1)).toBe("stopped");
  const judged = { kind: "experiment-arm-judged", arm: "hybrid" } as const;
  expect(experimentChangeWords({ ...judged, verdict: "reject", because: "late" })).toBe(
    "the first verdict of arm hybrid: reject, as it is late too often",
  );
  expect(experimentChangeWords({ ...judged, verdict: "equivalent", because: null })).toBe(
    "the first verdict of arm hybrid: equivalent, as it is worth the same",
  );
});
