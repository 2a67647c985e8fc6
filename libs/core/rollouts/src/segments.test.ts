/** Harm that falls on one class or one site, in a fleet whose devices have favourite classes. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { FleetMetrics } from "./fleet-metrics/fleet-metrics.ts";
import { analysisEvidenceOf, RolloutController, rolloutSpec, segmentsOf } from "./index.ts";
import type { Segments } from "./segments.ts";

const MINUTE = 60_000;
const T0 = 1_767_225_600_000;
const spec = rolloutSpec.parse({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@2",
    metrics: [{ name: "accuracy" }],
    strategy: {
      canary: {
        controlsPerCanary: 1,
        steps: [{ setWeight: 50 }, { analysis: { duration: "20m" } }, { setWeight: 100 }],
      },
    },
  },
});
const order = Array.from({ length: 18 }, (_, i) => `d${i}`);
const sites = ["north", "south"];
const siteOf = order.map((_, i) => i % 2);

/** Nine canary devices and nine others, 24 labels a minute each, nine of ten of its favourite class. The canary loses `harm` on
 * frames of the class, or at the site, of that name. Minutes until it is rolled back; null: it is not. */
function watched(seed: number, segments: Segments | null, { on, harm }: { on: string; harm: number }) {
  const random = seededRandom(seed);
  const metrics = new FleetMetrics();
  const controller = new RolloutController(metrics, { lookEveryMs: MINUTE });
  const strata = order.map(() => 0);
  const changes = [
    {
      kind: "created",
      spec,
      modelDigest: "new",
      stableDigest: "old",
      order,
      strata,
      ...(segments !== null && { segments }),
    },
    { kind: "step-started", step: 0 },
    { kind: "step-finished", step: 0, evidence: {} },
    { kind: "step-started", step: 1 },
  ];
  const apply = (change: object, version: number, at: number) =>
    controller.applied({ uid: "u", version, at, by: "test", change } as never, BigInt(version));
  for (const [i, change] of changes.entries()) apply(change, i + 1, T0);
  for (let minute = 1; minute <= 21; minute++) {
    const at = T0 + minute * MINUTE;
    for (const [i, deviceId] of order.entries()) {
      const isCanary = i < 9;
      for (let frame = 0; frame < 24; frame++) {
        const isFavourite = random() < 0.9;
        const label = (i % 3 === 0) === isFavourite ? "scratch" : "ok";
        const isHarmed = isCanary && (label === on || sites[siteOf[i] as number] === on);
        const good = random() < 0.9 - (isHarmed ? harm : 0) ? 1 : 0;
        metrics.observe(deviceId, isCanary ? "new" : "old", "accuracy", good, 1, at, label);
      }
    }
    controller.look(at);
    const [proposal] = controller.propose(at);
    if (proposal === undefined) continue;
    const { change } = proposal;
    return { minute, change, evidence: "evidence" in change ? analysisEvidenceOf(change.evidence) : null };
  }
  throw new Error("the analysis has no end");
}

describe("harm on one class, that variance between devices hides from the whole", () => {
  const classes: Segments = { classes: ["ok", "scratch"], sites: [], siteOf: [] };
  const harm = { on: "scratch", harm: 0.55 };

  test.each([1, 2, 3, 4, 5])("seed %i: rolls back within minutes, named by its class", (seed) => {
    const found = watched(seed, classes, harm);
    expect(found.change).toMatchObject({ kind: "analysed", verdict: "Failed" });
    expect(found.minute).toBeLessThanOrEqual(7);
    expect(found.evidence?.why).toMatch(/^accuracy of class scratch fell by \d\d\.\d points/);
    const [metric] = found.evidence?.metrics ?? [];
    expect(metric).toMatchObject({
      segments: 2,
      worst: [{ kind: "class", name: "scratch", weight: 0.25 }, { name: "ok" }],
    });
  });

  test("stays undecided for the whole alone, and its deadline still rolls it back: the cross-check or the estimate shows harm", () => {
    const ends = [1, 2, 3, 4, 5].map((seed) => watched(seed, null, harm));
    const undecided = ends.filter(({ change }) => change.kind === "analysed" && change.verdict === "Inconclusive");
    expect(undecided.length).toBeGreaterThanOrEqual(3);
    for (const { change } of undecided)
      expect(change).toMatchObject({ suspicion: expect.stringMatching(/shows harm|beyond the margin of 1\.0/) });
  });
});

test("harm at one site rolls back, named by its site, and an equal model does not", () => {
  const bySite: Segments = { classes: [], sites, siteOf };
  const found = watched(1, bySite, { on: "north", harm: 0.4 });
  expect(found.evidence?.why).toMatch(/^accuracy at site north fell by/);
  for (const seed of [1, 2, 3]) {
    const equal = watched(seed, { classes: ["ok", "scratch"], sites, siteOf }, { on: "north", harm: 0 });
    expect(equal.change).not.toMatchObject({ verdict: "Failed" });
    expect(equal.evidence?.metrics[0]?.segments).toBe(4);
  }
});

test("segments are bounded, and what is beyond the bounds is judged as a whole", () => {
  const labels = (count: number) => Array.from({ length: count }, (_, i) => `c${i}`);
  const at = (device: string) => (device === "d0" ? "" : `site-${device}`);
  expect(segmentsOf(["ok", "scratch"], ["d0", "d1"], at, 10)).toEqual({
    classes: ["ok", "scratch"],
    sites: ["site-d1"],
    siteOf: [-1, 0],
  });
  expect(segmentsOf(labels(65), ["d0"], () => "", 10)).toBeNull();
  expect(segmentsOf(["one"], ["d0"], () => "", 10)).toBeNull();
  expect(segmentsOf(["ok", "scratch"], labels(11), at, 10)?.sites).toEqual([]);
});
