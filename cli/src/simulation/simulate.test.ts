/** Whose priority was it? Another policy does not send a frame because the one that was logged by had a rule for its class. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { comparePolicies } from "@tributary/routing";
import { somePolicy } from "@tributary/testing";
import type { LoggedLine } from "./logged-line.ts";
import { LoggedFrames } from "./simulate.ts";

const labels = ["cat", "dog"];
const rule = { label: "cat", confidenceMin: 0.9, weight: 1 };
const logging = somePolicy({ labels, priorityLabels: [rule], policyVersion: "logged" });
const without = { ...somePolicy({ labels, priorityLabels: [] }), scoreMin: 1, escalationShareMax: 1 };

/** Frames of ten devices, decided by `logging`; every fortieth was triggered by a sensor. */
function lines(): readonly LoggedLine[] {
  const random = seededRandom(4);
  return Array.from({ length: 2_000 }, (_, i): LoggedLine => {
    const confidence = 0.5 + random() / 2;
    const label = i % 3 === 0 ? "cat" : "dog";
    const isAsked = label === "cat" && confidence >= rule.confidenceMin;
    const isTriggered = i % 40 === 0;
    return {
      ...{ frameId: `cam-${i % 10}:1:front:${i}`, at: i, modelDigest: "ab", policyVersion: "logged", arm: "default" },
      ...{ label, confidence, margin: 2 * confidence - 1, entropy: 0.3, propensity: 0.5, drawn: i % 2 === 0 },
      reason: isAsked || isTriggered ? "PRIORITY" : "NONE",
      ...{ cloudLabel: "cat", costMicros: 100, settledBy: null, latencyMs: null, truth: "cat", context: null },
    };
  });
}

const isTriggered = (_: unknown, i: number) => i % 40 === 0;
const isByRule = ({ label, confidence }: LoggedLine) => label === "cat" && confidence >= rule.confidenceMin;

describe.each([
  { name: "known", policies: [logging] },
  { name: "not known, as of a file", policies: [] },
])("frames that were logged by a policy with priorities, which is $name", ({ policies }) => {
  const logged = new LoggedFrames(labels, policies);
  for (const line of lines()) logged.add(line);

  test("are sent by a policy without the rule only where something outside of policies asked for them", () => {
    const arms = [logging, without].map((policy, i) => ({
      ...{ name: `${i}`, seen: { sent: 0, late: 0 } },
      policy: { ...policy, scoreMin: 1, escalationShareMax: 1 },
    }));
    const [first, second] = comparePolicies(logged.frames, arms, { correct: 1, escalated: 0, late: 0 }) ?? [];
    const share = (of: (line: LoggedLine, i: number) => boolean) => lines().filter(of).length / lines().length;
    expect(first?.escalated).toBeCloseTo(
      share((line, i) => isByRule(line) || isTriggered(line, i)),
      6,
    );
    expect(second?.escalated).toBeGreaterThan(0.01);
    // A trigger on a frame that the rule asks for as well cannot be distinguished from it.
    expect(second?.escalated).toBeCloseTo(
      share((line, i) => isTriggered(line, i) && !isByRule(line)),
      2,
    );
  });
});

test("a rule of a policy sends what it asks for, whatever was logged", () => {
  const logged = new LoggedFrames(labels, []);
  for (const line of lines()) logged.add({ ...line, reason: "NONE" });
  const policy = { ...logging, scoreMin: 1, escalationShareMax: 1 };
  const arms = [{ name: "a", policy, seen: { sent: 0, late: 0 } }];
  const [one] = comparePolicies(logged.frames, arms, { correct: 1, escalated: 0, late: 0 }) ?? [];
  expect(one?.escalated).toBeCloseTo(lines().filter(isByRule).length / lines().length, 6);
});
