/** Which challengers start, when, and what is reported of those that cannot start. */
import { expect, test } from "@jest/globals";
import type { Model } from "@tributary/contracts";
import { Failure, systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { createTelemetry } from "@tributary/telemetry";
import { someModel } from "@tributary/testing";
import { AutoStart } from "./auto-start.ts";
import { digests, somePassedGate } from "./rollout-manager.test-kit.ts";

const [first, second] = ["1a".repeat(32), "2b".repeat(32)];

function rig() {
  let now = 0;
  const models = new ModelTable();
  const tried: string[] = [];
  const world: { refusal: string; promoted?: Model } = { refusal: "" };
  const [reported, fresh]: [string[], string[]] = [[], []];
  const telemetry = createTelemetry({ service: "test", defaultMetrics: false, write: (line) => fresh.push(line) });
  const autoStart = new AutoStart({
    models,
    telemetry,
    defaults: { edge: {} },
    isBusy: () => false,
    championOf: (name) => world.promoted ?? models.byAlias(name, "champion"),
    clock: { ...systemClock, monotonicMs: () => now },
    create: async (_written, _by, uid) => {
      tried.push(uid);
      if (world.refusal !== "") throw new Failure("too-small", "ask-a-person", world.refusal);
    },
  });
  const alias = (aliases: Readonly<Record<string, string>>) =>
    models.applyAliases({ name: "edge", aliases, changedBy: "ann", changedAt: 1, validation: null });
  const push = (version: string, modelDigest: string, change: Partial<Model> = {}) => {
    const model = someModel({ version, modelDigest, state: "LISTED", gate: somePassedGate(), ...change });
    models.applyModel(model);
    return model;
  };
  const challenger = (modelDigest: string, change: Partial<Model> = {}) => {
    push("2", modelDigest, change);
    alias({ challenger: "2" });
  };
  /** What was tried, and how much was reported, in a round at that second. */
  const round = async (second: number) => {
    now = second * 1_000;
    autoStart.round();
    await new Promise((resolve) => setImmediate(resolve));
    const lines = fresh.splice(0).filter((line) => line.includes("auto_start"));
    reported.push(...lines);
    return [tried.splice(0), lines.length];
  };
  return { autoStart, world, push, alias, challenger, round, reported };
}

test("a challenger starts at once, and its package never again (A1)", async () => {
  const { autoStart, challenger, round } = rig();
  expect(await round(0)).toEqual([[], 0]);
  challenger(first);
  expect(await round(1)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  autoStart.created(first);
  expect(await round(100)).toEqual([[], 0]);
  challenger(first);
  expect(await round(101)).toEqual([[], 0]);
});

test("one that failed its gate, or that is not listed, does not start", async () => {
  const { challenger, round } = rig();
  challenger(first, { gate: somePassedGate({ passed: false, failed: ["slow"] }) });
  expect(await round(1)).toEqual([[], 0]);
  challenger(first, { state: "REVOKED" });
  expect(await round(2)).toEqual([[], 0]);
});

test("one whose gate is unsure of a line is held, the line is named once, and forcing it starts it (A5)", async () => {
  const { autoStart, challenger, round, reported } = rig();
  const unsure = ["class, cat: 60.00 % against 90.00 % on 10 frames"];
  challenger(first, { gate: somePassedGate({ unsure }) });
  expect(await round(1)).toEqual([[], 1]);
  expect(reported.at(-1)).toContain("class, cat: 60.00 % against 90.00 % on 10 frames");
  expect(await round(31)).toEqual([[], 0]);
  challenger(first, { gate: somePassedGate({ unsure, forcedBy: "ann" }) });
  expect(await round(32)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  autoStart.created(first);
  challenger(second, { gate: somePassedGate() });
  expect(await round(33)).toEqual([["edge-2b2b2b2b2b2b"], 1]);
});

test("one that cannot start is tried repeatedly; each reason is reported once, while it waits (A2, A3)", async () => {
  const { world, challenger, round } = rig();
  world.refusal = "too few devices";
  challenger(first);
  expect(await round(1)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  expect(await round(30)).toEqual([[], 0]);
  expect(await round(31)).toEqual([["edge-1a1a1a1a1a1a"], 0]);
  world.refusal = "another rollout is active";
  expect(await round(61)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
  challenger(second);
  expect(await round(62)).toEqual([["edge-2b2b2b2b2b2b"], 1]);
  challenger(first);
  expect(await round(63)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
});

test("one that the gate compared with an earlier champion waits until it was compared with the present one (A4)", async () => {
  const { world, push, alias, round } = rig();
  push("1", digests.old);
  const next = push("2", first, { gate: somePassedGate({ championDigest: digests.old }) });
  push("3", second, { gate: somePassedGate({ championDigest: digests.old }) });
  alias({ champion: "1", challenger: "3" });
  world.refusal = "the rollout of edge@2 holds these devices";
  expect(await round(1)).toEqual([["edge-2b2b2b2b2b2b"], 1]);
  // The rollout reached every device: the model is to become champion, and the registry has not changed the alias yet.
  [world.refusal, world.promoted] = ["", next];
  expect(await round(31)).toEqual([[], 0]);
  delete world.promoted;
  alias({ champion: "2", challenger: "3" });
  expect(await round(32)).toEqual([[], 0]);
  push("3", second, { gate: somePassedGate({ championDigest: first }) });
  expect(await round(33)).toEqual([["edge-2b2b2b2b2b2b"], 1]);
});

test("a forced model stays forced, whatever the champion", async () => {
  const { push, alias, round } = rig();
  push("1", digests.old);
  push("2", first, { gate: somePassedGate({ passed: false, championDigest: second, forcedBy: "ann" }) });
  alias({ champion: "1", challenger: "2" });
  expect(await round(1)).toEqual([["edge-1a1a1a1a1a1a"], 1]);
});
