/** Which challengers begin, when, and what is told of those that cannot. */
import { expect, test } from "@jest/globals";
import type { Model } from "@tributary/contracts";
import { Failure, systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someModel } from "@tributary/testing";
import { AutoStart } from "./auto-start.ts";
import { ModelTable } from "./models/model-table.ts";
import { somePassedGate } from "./rollout-manager.test-kit.ts";

const [first, second] = ["1a".repeat(32), "2b".repeat(32)];

function rig() {
  let now = 0;
  const models = new ModelTable();
  const tried: string[] = [];
  const world = { refusal: "" };
  const told: string[] = [];
  const telemetry = createTelemetry({ service: "test", defaultMetrics: false, write: (line) => told.push(line) });
  const autoStart = new AutoStart({
    ...{ models, telemetry, defaults: { edge: {} }, isBusy: () => false },
    clock: { ...systemClock, monotonicMs: () => now },
    create: async (_written, _by, uid) => {
      tried.push(uid);
      if (world.refusal !== "") throw new Failure("too-small", "ask-a-person", world.refusal);
    },
  });
  const challenger = (modelDigest: string, change: Partial<Model> = {}) => {
    const model = someModel({ version: "2", modelDigest, state: "LISTED", gate: somePassedGate(), ...change });
    models.model("edge/2", { ...model, name: "edge" });
    models.aliases("edge", { name: "edge", aliases: { challenger: "2" }, changedBy: "ann", changedAt: 1 });
  };
  /** What was tried and told of in a round at that second. */
  const round = async (second: number) => {
    now = second * 1_000;
    autoStart.round();
    await new Promise((resolve) => setImmediate(resolve));
    return [tried.splice(0), told.splice(0).filter((line) => line.includes("auto_start")).length];
  };
  return { autoStart, models, world, challenger, round };
}

test("a challenger begins at once, and its package never again (A1)", async () => {
  const { autoStart, challenger, round } = rig();
  expect(await round(0)).toEqual([[], 0]);
  challenger(first);
  expect(await round(1)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  autoStart.created(first);
  expect(await round(100)).toEqual([[], 0]);
  challenger(first);
  expect(await round(101)).toEqual([[], 0]);
});

test("one that the gate stopped, or that is not listed, does not begin", async () => {
  const { challenger, round } = rig();
  challenger(first, { gate: somePassedGate({ passed: false, failed: ["slow"] }) });
  expect(await round(1)).toEqual([[], 0]);
  challenger(first, { state: "REVOKED" });
  expect(await round(2)).toEqual([[], 0]);
});

test("one that cannot begin is tried now and then; each reason is told once, while it waits (A2, A3)", async () => {
  const { world, challenger, round } = rig();
  world.refusal = "too few devices";
  challenger(first);
  expect(await round(1)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  expect(await round(30)).toEqual([[], 0]);
  expect(await round(31)).toEqual([["edge-1a1a1a1a1a1a"], 0]);
  world.refusal = "another rollout is at work";
  expect(await round(61)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  challenger(second);
  expect(await round(62)).toEqual([["edge-2b2b2b2b2b2b"], 1]);
  challenger(first);
  expect(await round(63)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
});
