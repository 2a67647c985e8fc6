/** Whole rollouts on a simulated clock, through the real state machine and judge. A seed that fails is run again by its
 * number. */
import { describe, expect, test } from "@jest/globals";
import { rolloutSpec } from "@tributary/rollouts";
import {
  type Candidate,
  calmly,
  roughWorld,
  type Simulation,
  type SimulationResult,
  simulate,
  soundCandidate,
  usualSpec,
} from "./index.ts";
import type { Place } from "./instance.ts";
import { calmWorld } from "./world.ts";

/** Devices that left for good are given up after half an hour: a day is longer than these runs. */
const settings = { goneMs: 30 * 60_000 };
const rough = (candidate: Partial<Candidate>, more: Partial<Simulation> = {}): Omit<Simulation, "seed"> => ({
  ...calmly,
  settings,
  spec: usualSpec("2h"),
  world: { ...roughWorld, candidate: { ...soundCandidate, ...candidate } },
  ...more,
});
const seeds = (n: number) => Array.from({ length: n }, (_, i) => i + 1);
const racing = { instances: 2, skewMs: 120_000, lagMs: 60_000 };

/** Every guarantee held, whatever the outcome of the run. */
function kept(result: SimulationResult): SimulationResult {
  expect([result.seed, result.broken]).toEqual([result.seed, []]);
  return result;
}

describe("a fleet in the field: devices move, leave, are cut off, report late, twice or nonsense", () => {
  test("5 seeds: an identical model is not rolled back more often than alpha allows", () => {
    const results = seeds(5).map((seed) => kept(simulate({ seed, ...rough({}) })));
    const back = results.filter(({ rollout }) => rollout?.aborted !== null).map(({ seed }) => seed);
    expect(back.length).toBeLessThanOrEqual(2); // 4.5 % allowed: above 2 of 5 once in 1,200 suites.
    expect(results.filter(({ phase }) => phase === "Healthy").length).toBeGreaterThan(0);
  });

  test.each(seeds(1))("seed %i: a model that is 5 points worse rolls back from the canary", (seed) => {
    const result = kept(simulate({ seed, ...rough({ harm: 0.05 }) }));
    expect(result.rollout?.aborted).toMatchObject({
      why: expect.stringContaining("against the control"),
      isBack: true,
    });
    expect(result.blastRadius).toBeLessThanOrEqual(result.canaries);
  });

  test.each([
    ["late on three of ten frames", { missed: 0.3 }, "frames within the deadline fell by"],
    ["crashes four times an hour", { crashesPerHour: 4 }, "the model crashed on"],
    ["is refused by half of the devices", { refusedBy: 0.5 }, "refused the model"],
  ] as const)("a model that %s rolls back from the canary", (_, candidate, why) => {
    for (const seed of seeds(2)) {
      const result = kept(simulate({ seed, ...rough(candidate) }));
      expect([seed, result.rollout?.aborted?.why]).toEqual([seed, expect.stringContaining(why)]);
      expect(result.blastRadius).toBeLessThanOrEqual(result.canaries);
    }
  });

  test.each([
    ["falls silent", { silences: 0.9 }],
    ["reports that it runs the model, and does not", { misreportedBy: 0.6 }],
  ] as const)("a canary that %s is paused, and nothing widens", (_, candidate) => {
    for (const seed of seeds(2)) {
      const result = kept(simulate({ seed, ...rough(candidate) }));
      expect([seed, result.phase, result.rollout?.weight]).toEqual([seed, "Paused", 5]);
      expect(result.history.at(-1)).toMatch(/paused: (no-data|silent)/);
      expect(result.blastRadius).toBeLessThanOrEqual(result.canaries);
    }
  });

  test.each(seeds(1))(
    "seed %i: half of all commands are lost, and every reachable device follows in the end",
    (seed) => {
      const world = { ...calmWorld, lost: 0.5, candidate: { ...soundCandidate, harm: -0.02 } };
      const up = kept(simulate({ seed, ...rough({}), world }));
      expect([up.phase, up.onNew]).toEqual(["Healthy", 400]);
      const back = kept(
        simulate({ seed, ...rough({}), world: { ...world, candidate: { ...soundCandidate, harm: 0.05 } } }),
      );
      expect([back.rollout?.aborted?.isBack, back.onNew]).toEqual([true, 0]);
    },
  );

  test.each(seeds(1))(
    "seed %i: two instances with wrong clocks, one behind: no event counts twice, no stale command",
    (seed) => {
      const worse = kept(simulate({ seed, ...rough({ harm: 0.05 }, racing) }));
      expect(worse.rollout?.aborted?.isBack).toBe(true);
      expect(worse.blastRadius).toBeLessThanOrEqual(worse.canaries);
      const better = kept(simulate({ seed, ...rough({ harm: -0.03 }, racing) }));
      expect(better.rollout?.aborted).toBeNull();
    },
  );

  test("commands are followed: a finished rollout is undone, and retried", () => {
    const world = { ...calmWorld, candidate: { ...soundCandidate, harm: -0.03 } };
    const commands = [
      { minute: 100, command: "undo" },
      { minute: 130, command: "retry" },
    ] as const;
    const undone = kept(simulate({ seed: 1, ...rough({}), world, commands: commands.slice(0, 1) }));
    expect([undone.phase, undone.rollout?.aborted, undone.onNew]).toMatchObject(["Degraded", { isBack: true }, 0]);
    const again = kept(simulate({ seed: 1, ...rough({}), world, commands }));
    expect([again.phase, again.onNew]).toEqual(["Healthy", 400]);
  });
});

describe("rollout-manager dies", () => {
  const world = { ...calmWorld, devices: 200 };
  const spec = usualSpec("2h", {
    strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration: "2h" } }, { setWeight: 100 }] } },
  });
  const run = (harm: number, more: Partial<Simulation>) =>
    kept(
      simulate({
        ...calmly,
        settings,
        seed: 3,
        spec,
        world: { ...world, candidate: { ...soundCandidate, harm } },
        ...more,
      }),
    );
  const places: readonly Place[] = ["before-append", "after-append", "after-read-back"];
  const ends = ({ phase, onNew, history, rollout }: SimulationResult) => ({
    phase,
    onNew,
    history,
    // An instance that dies looks later: the same metric shows the same harm, by other figures.
    aborted: rollout?.aborted && { ...rollout.aborted, why: rollout.aborted.why.replace(/-?\d+\.\d|\d+m$/g, "n") },
  });

  test.each([
    ["better", -0.03, ["step-started", "step-finished", "analysed", "completed"]],
    ["worse", 0.06, ["step-started", "step-finished", "analysed", "aborted", "rolled-back"]],
  ] as const)("at every transition of a %s model, and it ends the same", (_, harm, changes) => {
    const whole = ends(run(harm, {}));
    expect(whole.phase).toBe(harm > 0 ? "Degraded" : "Healthy");
    const deaths = changes.flatMap((change) => places.map((place) => ({ place, change })));
    for (const [i, death] of [...deaths, { place: "while-writing-desired", change: "any" } as const].entries()) {
      const result = run(harm, { crashes: [death], instances: 1 + (i % 2) });
      expect([death, result.crashed, ends(result)]).toEqual([death, 1, whole]);
    }
  });

  test("again and again, and it ends the same", () => {
    const crashes = seeds(6).flatMap((i) => [{ place: places[i % 3] as Place, change: "any" as const }]);
    for (const harm of [-0.03, 0.06]) {
      const result = run(harm, { crashes });
      expect(result.crashed).toBeGreaterThanOrEqual(6);
      expect(ends(result)).toEqual(ends(run(harm, {})));
    }
  });
});

test("a run is replayed by its seed", () => {
  const once = simulate({ seed: 9, ...rough({ harm: 0.02 }, racing) });
  expect(simulate({ seed: 9, ...rough({ harm: 0.02 }, racing) })).toEqual(once);
  expect(simulate({ seed: 10, ...rough({ harm: 0.02 }, racing) })).not.toEqual(once);
});

test("a rollout in two widenings holds each of them to evidence", () => {
  const steps = [
    { setWeight: 5 },
    { analysis: { duration: "2h" } },
    { setWeight: 25 },
    { analysis: { duration: "2h" } },
    { setWeight: 100 },
  ];
  const spec = rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "wide" },
    spec: { model: "edge@2", strategy: { canary: { steps } }, pacing: { devicesPerMinute: 20 } },
  });
  for (const seed of seeds(1)) {
    const result = kept(simulate({ seed, ...rough({ harm: -0.02 }), spec }));
    expect(result.history.filter((kind) => kind === "analysed")).toHaveLength(2);
    expect(result.phase).toBe("Healthy");
  }
});
