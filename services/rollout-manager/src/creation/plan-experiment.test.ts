/** What an experiment needs before it starts, and the rollout of what it adopts. */
import { describe, expect, test } from "@jest/globals";
import { DeviceDesired, type RoutingPolicy } from "@tributary/contracts";
import { generationOf, RolloutController } from "@tributary/rollouts";
import type { Experiment } from "@tributary/rollouts/experiment";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { somePolicy, someReported } from "@tributary/testing";
import { FleetTable } from "../fleet/fleet-table.ts";
import { digests } from "../rollout-manager.test-kit.ts";
import { experimentSpecOf, isAdoptionDue, planAdoption, planExperiment } from "./plan-experiment.ts";
import { SpecRefused } from "./spec-problems.ts";

const version = (digit: string) => digit.repeat(64);
const policy = (digit: string, change: Partial<RoutingPolicy> = {}): RoutingPolicy =>
  somePolicy({ policyVersion: version(digit), modelDigest: digests.old, ...change });
const known = [
  policy("a"),
  policy("b"),
  policy("c", { deadlineMs: 77 }),
  policy("d", { modelDigest: digests.better }),
  policy("e", { cloudTarget: "other" }),
  policy("f", { labels: ["x", "y"] }),
];

function fleetOf(devices: number, others = 0): FleetTable {
  const fleet = new FleetTable();
  const acceptedSchemas = DeviceDesired.versions.map(({ fingerprint }) => fingerprint);
  for (let i = 0; i < devices + others; i++) {
    const modelDigest = i < devices ? digests.old : digests.other;
    const slots = { perception: { modelDigest, modelName: "edge", modelVersion: "" } };
    fleet.reported(`d${i}`, someReported({ deviceId: `d${i}`, acceptedSchemas, slots }), 1);
  }
  return fleet;
}

const written = (policies: readonly string[], change: object = {}) => ({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name: "edge-or-cloud" },
  spec: {
    arms: policies.map((digit, i) => ({ name: `arm-${i}`, policy: digit.repeat(8) })),
    utility: { correct: 1, escalated: 0, late: 1, currency: "EUR" },
    rope: 0.01,
    ...change,
  },
});

const plan = (
  policies: readonly string[],
  change: object = {},
  fleet = fleetOf(40),
  running: readonly Experiment[] = [],
) =>
  planExperiment(experimentSpecOf(written(policies, change)), {
    fleet,
    policies: { all: known },
    running,
    accuracyBefore: () => null,
    salt: "s",
  });

const problemsOf = (act: () => unknown): readonly string[] => {
  try {
    act();
    return [];
  } catch (error) {
    if (!(error instanceof SpecRefused)) throw error;
    return error.problems.map(({ path, message }) => `${path.join(".")}: ${message}`);
  }
};

describe("arms", () => {
  test("are parts of the fleet by their weights, each device in one, with whole policy versions", () => {
    const { change, policies } = plan(["a", "b"]);
    expect(change.arms).toEqual([
      { policyVersion: version("a"), devices: 20 },
      { policyVersion: version("b"), devices: 20 },
    ]);
    expect(new Set(change.order).size).toBe(40);
    expect(change).toMatchObject({ modelDigest: digests.old, cloudTarget: known[0]?.cloudTarget });
    expect(policies.map(({ policyVersion }) => policyVersion)).toEqual([version("a"), version("b")]);
    const [first = {}, second = {}] = written(["a", "b"]).spec.arms;
    const arms = [{ ...first, weight: 3 }, second];
    expect(plan(["a", "b"], { arms }, fleetOf(41)).change.arms.map(({ devices }) => devices)).toEqual([31, 10]);
  });

  test.each([
    [
      "an unknown policy",
      ["a", "9"],
      {},
      /spec.arms.1.policy: there is no policy 99999999; there are aaaaaaaaaaaa, .*tributary policy push/,
    ],
    [
      "another deadline",
      ["a", "c"],
      {},
      /arms.1.policy: has a deadline of 77 ms, and that of arm-0 .* the deadline is the SLA/,
    ],
    ["another model", ["a", "d"], {}, /arms.1.policy: is for model 1b1b1b1b1b1b, .* compare models by a rollout/],
    ["another target", ["a", "e"], {}, /arms.1.policy: is for target other, .* to one target/],
    ["other classes", ["a", "f"], {}, /arms.1.policy: has other classes/],
    [
      "too long a time",
      ["a", "b"],
      { duration: "91d" },
      /duration: its devices are held to the policies of their arms .* at most 90d/,
    ],
    ["an unknown field", ["a", "b"], { weights: {} }, /spec.weights: unknown field/],
    [
      "devices that are not there",
      ["a", "b"],
      { selector: { devices: ["d1", "nobody"] } },
      /selector.devices.1: nobody never reported/,
    ],
  ])("with %s are refused", (_what, policies, change, message) => {
    expect(problemsOf(() => plan(policies, change)).join("\n")).toMatch(message);
  });

  test("of too few devices, or of devices with another model, are refused", () => {
    expect(problemsOf(() => plan(["a", "b"], {}, fleetOf(15)))).toEqual([
      expect.stringMatching(/arms.1.weight: arm arm-1 has 7 of 15 devices, .* each arm needs \d+/),
    ]);
    expect(problemsOf(() => plan(["a", "b"], {}, fleetOf(40, 2))).join()).toMatch(
      /selector: the policies are for model 0a0a0a0a0a0a, and 2 of 42 devices run another: d40, d41/,
    );
    expect(problemsOf(() => plan(["a", "b"], {}, fleetOf(0, 40))).join()).toMatch(/arms.0.policy: .* 40 of 40 devices/);
  });
});

/** An experiment in which `arm-1`, policy b, was adopted. */
function adopted(change: object = {}): Experiment {
  const controller = new RolloutController(new FleetMetrics());
  const created = plan(["a", "b"], change).change;
  controller.applied({ uid: "u", version: 1, at: 1, by: "ann", change: created }, generationOf(0, 0n));
  const [running] = controller.experiments.all;
  return { ...(running as Experiment), phase: "Decided", verdict: "adopt", winner: "arm-1" };
}

test("the same name again is refused while it runs: weights and margins are fixed", () => {
  const running = [{ ...adopted(), phase: "Running" as const }];
  expect(() => plan(["a", "b"], { lateMargin: 0.2 }, fleetOf(40), running)).toThrow(
    /edge-or-cloud \(u\) is running, with the policies, weights and margins .* stop it/,
  );
});

describe("the rollout of an adopted policy", () => {
  const inForce = (digit: string, createdAt = 0) => ({ inForce: () => policy(digit, { createdAt }) });
  const parts = { accuracyBefore: () => null, policies: inForce("a") };

  test("goes to a canary of the devices with its model, judged by late answers; what was in force is what it returns to", () => {
    const rollout = planAdoption(adopted(), { ...parts, fleet: fleetOf(200, 3) });
    expect(rollout).toMatchObject({ modelDigest: version("b"), stableDigest: version("a") });
    expect(rollout?.order).toHaveLength(200);
    const { slot, metrics, strategy, selector } = rollout?.spec.spec ?? {};
    expect([slot, selector, metrics?.map(({ name }) => name)]).toEqual(["policy", {}, ["in-time"]]);
    expect(strategy?.canary.steps[0]).toEqual({ setWeight: 5 });
  });

  test("is none where the policy is in force already, and widens its canary in a small fleet", () => {
    expect(planAdoption(adopted(), { ...parts, policies: inForce("b"), fleet: fleetOf(200) })).toBeNull();
    const [first] = planAdoption(adopted(), { ...parts, fleet: fleetOf(40) })?.spec.spec.strategy.canary.steps ?? [];
    expect(first).toEqual({ setWeight: expect.any(Number) });
    expect((first as { setWeight: number }).setWeight).toBe(20);
  });

  test("is refused where another policy came in force since the decision: nothing compared the two", () => {
    const later = inForce("d", adopted().changedAt + 1);
    expect(() => planAdoption(adopted(), { ...parts, policies: later, fleet: fleetOf(40) })).toThrow(
      /policy dddddddddddd came in force after experiment edge-or-cloud was decided; it stays: compare it/,
    );
    const same = inForce("b", adopted().changedAt + 1);
    const due = [parts.policies, later, same].map((policies) => isAdoptionDue(adopted(), policies));
    expect(due).toEqual([true, false, false]);
    expect(planAdoption(adopted(), { ...parts, policies: same, fleet: fleetOf(40) })).toBeNull();
  });
});
