/** The cross-check of a rollout's comparison, from the log to the evidence. */
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { FleetMetrics } from "./fleet-metrics/fleet-metrics.ts";
import {
  type AnalysisEvidence,
  analysisEvidenceOf,
  assignCohorts,
  crossCheckWords,
  RolloutController,
  rolloutSpec,
  STRATA_DEVICES_MAX,
} from "./index.ts";

const MINUTE = 60_000;
const T0 = 20_000 * 24 * 60 * MINUTE;
const spec = rolloutSpec.parse({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "r" },
  spec: {
    model: "edge@2",
    strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration: "60m" } }, { setWeight: 100 }] } },
    metrics: [{ name: "accuracy" }],
  },
});
const fleet = Array.from({ length: 200 }, (_, i) => ({
  deviceId: `d${i}`,
  hardwareClass: i % 3 === 0 ? "rpi4" : "rpi5",
  camera: "cam",
  site: `site-${i % 2}`,
  accuracyBefore: 0.8 + (i % 37) / 400,
}));

/** What a controller makes of a canary that is worse by `harm`, look by look; `strata`: as the log has them. */
function watched({
  harm,
  strata,
  minutes = 30,
}: {
  harm: number;
  strata?: readonly number[] | null;
  minutes?: number;
}) {
  const cohorts = assignCohorts(fleet, "salt");
  const metrics = new FleetMetrics();
  const controller = new RolloutController(metrics, { lookEveryMs: MINUTE });
  const strataInLog = strata === undefined ? cohorts.strata : (strata ?? undefined);
  const changes = [
    { kind: "created", spec, modelDigest: "new", stableDigest: "old", order: cohorts.order, strata: strataInLog },
    { kind: "step-started", step: 0 },
    { kind: "step-finished", step: 0, evidence: {} },
    { kind: "step-started", step: 1 },
  ] as const;
  for (const [i, change] of changes.entries())
    controller.applied({ uid: "u", version: i + 1, at: T0, by: "test", change } as never, BigInt(i + 1));
  const random = seededRandom(11);
  const looked: (AnalysisEvidence | null)[] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    const at = T0 + minute * MINUTE;
    for (const [place, deviceId] of cohorts.order.entries()) {
      const digest = place < 20 ? "new" : "old";
      const rate = 0.9 - (digest === "new" ? harm : 0);
      metrics.observe(deviceId, digest, "accuracy", 60 * rate + 4 * random() - 2, 60, at);
    }
    controller.look(at);
    looked.push(controller.evidence("u"));
  }
  return looked;
}
const last = (looked: readonly (AnalysisEvidence | null)[]) => looked.at(-1)?.metrics[0];
const bare = (looked: readonly (AnalysisEvidence | null)[]) =>
  looked.map((one) => one && { why: one.why, looks: one.looks });

describe("the cross-check of a comparison", () => {
  test("shows harm when its time has come, beside the verdict, and is the same on every instance", () => {
    const looked = watched({ harm: 0.05 });
    const { crossCheck } = last(looked) ?? {};
    expect(looked.at(-1)?.why).toMatch(/^accuracy fell by .* against the control$/);
    expect(crossCheck?.looks).toEqual([{ sinceMs: 3 * MINUTE, p: 0.001, spent: 0.0036, isHarmful: true }]);
    expect(crossCheckWords(crossCheck ?? null)).toBe("re-randomisation at 3m: p 0.001, 0.0036 spent: harm");
    expect(watched({ harm: 0.05 })).toEqual(looked);
    expect(analysisEvidenceOf(JSON.parse(JSON.stringify(looked.at(-1))))).toEqual(looked.at(-1));
  });

  test("of an equal model shows no harm at each look, and before the first names its time", () => {
    const looked = watched({ harm: 0 });
    expect(crossCheckWords(looked[0]?.metrics[0]?.crossCheck ?? null)).toBe("re-randomisation looks first at 3m");
    const { looks = [], plannedMs } = last(looked)?.crossCheck ?? {};
    expect(plannedMs?.map((ms) => Math.ceil(ms / MINUTE))).toEqual([3, 7, 14, 29, 60]);
    expect(looks.map(({ sinceMs, isHarmful }) => [sinceMs / MINUTE, isHarmful])).toEqual([
      [3, false],
      [7, false],
      [14, false],
      [29, false],
    ]);
  });

  test("ends no analysis, and gives the reason where the log has no strata", () => {
    for (const harm of [0, 0.02]) {
      const without = watched({ harm, strata: null });
      expect(bare(without)).toEqual(bare(watched({ harm })));
      expect(crossCheckWords(last(without)?.crossCheck ?? null)).toBe(
        "no re-randomisation: the log has no strata of its devices",
      );
    }
    expect(last(watched({ harm: 0, strata: [1, 2], minutes: 1 }))?.crossCheck?.why).toMatch(/has no strata/);
    const alone = fleet.map((_, i) => i);
    expect(last(watched({ harm: 0, strata: alone, minutes: 1 }))?.crossCheck?.why).toMatch(/drawn in 1 ways/);
  });

  test("of evidence from before there was one is not known", () => {
    const { crossCheck: _, ...metric } = last(watched({ harm: 0, minutes: 1 })) ?? {};
    const [evidence] = watched({ harm: 0, minutes: 1 });
    const read = analysisEvidenceOf({ ...evidence, metrics: [metric] });
    expect(read?.metrics[0]?.crossCheck).toBeNull();
    expect(crossCheckWords(null)).toBeNull();
  });
});

describe("strata", () => {
  test("are numbered for each device of the order, whatever order the fleet was listed in", () => {
    const { order, strata = [] } = assignCohorts(fleet, "salt");
    expect(assignCohorts([...fleet].reverse(), "salt").strata).toEqual(strata);
    expect(strata).toHaveLength(order.length);
    const kinds = new Map<number, Set<string>>();
    for (const [i, deviceId] of order.entries()) {
      const { hardwareClass = "", site = "" } = fleet.find((one) => one.deviceId === deviceId) ?? {};
      const stratum = strata[i] as number;
      kinds.set(stratum, (kinds.get(stratum) ?? new Set()).add(`${hardwareClass} ${site}`));
    }
    expect([...kinds.values()].every((kind) => kind.size === 1)).toBe(true);
    expect(kinds.size).toBe(16); // 2 kinds of hardware, 2 sites, 4 bands of accuracy
    expect(strata[0]).toBe(0);
  });

  test("are not kept of a fleet whose event would not fit into a record", () => {
    const large = Array.from({ length: STRATA_DEVICES_MAX + 1 }, (_, i) => ({
      deviceId: `d${i}`,
      hardwareClass: "rpi5",
      camera: "cam",
      site: "s",
      accuracyBefore: null,
    }));
    expect(assignCohorts(large, "salt").strata).toBeUndefined();
  });
});
