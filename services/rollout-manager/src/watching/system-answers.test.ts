/** Whose answer a frame would have had by its policy alone, and whether that would have been late. */
import { describe, expect, test } from "@jest/globals";
import type { EdgePrediction, FinalAnswer } from "@tributary/contracts";
import { someAnswer, somePrediction } from "@tributary/testing";
import { DrawnAnswers, isWanted } from "./system-answers.ts";

const drawn = (change: Partial<EdgePrediction> = {}) =>
  somePrediction({ sampleDrawn: true, samplePropensity: 0.1, reason: "AMBIGUOUS", latencyMs: 7, ...change });
const answer = (change: Partial<FinalAnswer> = {}) =>
  someAnswer({
    policyVersion: "v",
    sampleDrawn: true,
    label: "dog",
    edgeLabel: "cat",
    settledBy: "CLOUD_ANSWER",
    latencyMs: 250,
    costMicros: 40n,
    ...change,
  });

describe("a drawn frame", () => {
  test("that its policy would have sent has the system's answer, its lateness and its cost", () => {
    const answers = new DrawnAnswers(10);
    expect(answers.predicted("f", drawn({ wouldSend: true }))).toBeUndefined();
    expect(answers.answered("f", answer(), 5)).toEqual({
      policyVersion: "v",
      label: "dog",
      isLate: false,
      latencyMs: 250,
      costMicros: 40,
      at: 5,
    });
  });

  test("that only the sample sent has the device's, is never late and costs nothing; the router's record may be first", () => {
    const answers = new DrawnAnswers(10);
    expect(answers.answered("f", answer({ settledBy: "DEADLINE" }), 5)).toBeUndefined();
    expect(answers.predicted("f", drawn({ wouldSend: false }))).toMatchObject({
      label: "cat",
      isLate: false,
      latencyMs: 7,
      costMicros: 0,
    });
    expect(answers.predicted("f", drawn({ wouldSend: false }))).toBeUndefined(); // Its other record was used.
  });

  test.each([
    ["DEADLINE", true],
    ["DEADLINE_UNREACHABLE", true],
    ["CLOUD_UNHEALTHY", true],
    ["CLOUD_FAILED", true],
    ["CLOUD_ANSWER", false],
    ["FLEET_BUDGET", false],
    ["FRAME_REFUSED", false],
  ] as const)("settled by %s is late: %s", (settledBy, isLate) => {
    const answers = new DrawnAnswers(10);
    answers.predicted("f", drawn({ wouldSend: true }));
    expect(answers.answered("f", answer({ settledBy }), 5)?.isLate).toBe(isLate);
  });

  test("whose other record never comes is forgotten when too many wait (G9)", () => {
    const answers = new DrawnAnswers(2);
    for (const frame of ["a", "b", "c"]) answers.predicted(frame, drawn({ wouldSend: true }));
    expect(answers.answered("a", answer(), 5)).toBeUndefined();
    expect(answers.answered("c", answer(), 5)).toBeDefined();
  });
});

test.each([
  [{ wouldSend: true, sampleDrawn: true, reason: "SAMPLE" }, true],
  [{ wouldSend: false, sampleDrawn: true, reason: "AMBIGUOUS" }, false],
  // Agents that do not say.
  [{ wouldSend: null, sampleDrawn: true, reason: "SAMPLE" }, false],
  [{ wouldSend: null, sampleDrawn: true, reason: "PRIORITY" }, true],
  [{ wouldSend: null, sampleDrawn: false, escalation: "QUEUED", reason: "AMBIGUOUS" }, true],
  [{ wouldSend: null, sampleDrawn: false, escalation: "DROPPED", reason: "AMBIGUOUS" }, false],
] as const)("%j is wanted by its policy: %s", (change, wanted) => {
  expect(isWanted(somePrediction(change))).toBe(wanted);
});
