/** A rollout that was judged by the real judge on a seeded fleet: its events, as rollout-manager would write them. */

import { type Random, seededRandom } from "@tributary/kernel";
import { type RolloutChange, type RolloutEvent, type Verdict } from "../events.ts";
import { type AnalysisEvidence, type AnalysisLook, crossCheckOf, lookOf, thinned } from "../evidence.ts";
import { MetricWatch, metricDefaults } from "../judge/metric-watch.ts";
import { plannedVariance } from "../judge/plan.ts";
import { CrossCheck, plannedLooks } from "../judge/rerandomisation.ts";
import { rolloutSpec } from "../spec.ts";

export const written = {
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge-2" },
  spec: {
    model: "edge@2",
    strategy: {
      canary: {
        steps: [{ setWeight: 10 }, { pause: { duration: "2m" } }, { analysis: { duration: "3h" } }, { setWeight: 100 }],
      },
    },
    pacing: { devicesPerMinute: 60 },
    metrics: [
      { name: "accuracy", margin: 0.02 },
      { name: "deadline-met", alpha: 0.015 },
    ],
  },
};
export const spec = rolloutSpec.parse(written);
const worst = { kind: "class" as const, name: "<cat>", weight: 0.25, harm: 0.081, low: null, high: 0.2, logHarm: 1.5 };
const MINUTE = 60_000;
const START = 1_767_225_600_000;
const [CANARIES, CONTROLS] = [20, 80];

export const packages = {
  model: { digest: "cd".repeat(32), name: "edge", version: "2" },
  stable: { digest: "ab".repeat(32), name: "edge", version: "1" },
};

/** `harm`: of accuracy, as a share. Looks every minute until a verdict, or for `minutes`. */
export function judged(seed: number, harm: number, minutes: number) {
  const random = seededRandom(seed);
  const fleets = { control: fleetOf(random, CONTROLS), canary: fleetOf(random, CANARIES) };
  const times = { control: fleetOf(random, CONTROLS, 0.985), canary: fleetOf(random, CANARIES, 0.985) };
  const watches = spec.spec.metrics.map((metric, i) => {
    const plan = { canaries: CANARIES, controls: CONTROLS, rate: i === 0 ? 0.9 : 0.98, frames: 360, deviceSd: 0.01 };
    const planned = plannedVariance(plan);
    const watch = new MetricWatch({ ...metricDefaults, ...metric, endMs: 180 * MINUTE, plannedVariance: planned });
    const strata = { canary: new Uint8Array(CANARIES), control: new Uint8Array(CONTROLS) };
    const plannedMs = plannedLooks(spec.spec.burnIn, 180 * MINUTE);
    const check = new CrossCheck({ alpha: metric.alpha, plannedMs, strata, seed });
    return { metric, planned, watch, check, counts: i === 0 ? fleets : times };
  });
  let looks: AnalysisLook[] = [];
  let verdict: Verdict | "Running" = "Running";
  let minute = 0;
  while (verdict === "Running" && ++minute <= minutes) {
    show(random, fleets.control, 0);
    show(random, fleets.canary, harm);
    show(random, times.control, 0);
    show(random, times.canary, 0);
    const now = watches.map(({ metric, watch, check, counts }) => {
      check.look(minute * MINUTE, counts);
      const look = watch.look(minute * MINUTE, counts);
      const counted = { control: countedIn(counts.control), canary: countedIn(counts.canary) };
      if (look !== null) looks = thinned([...looks, lookOf(metric.name, minute * MINUTE, look, counted)]);
      return look;
    });
    if (now.some((look) => look?.isHarmful)) verdict = "Failed";
    else if (now.every((look) => look?.isSafe)) verdict = "Successful";
  }
  minute = Math.min(minute, minutes);
  const arm = (devices: number) => ({ devices, heard: devices, onModel: devices, goldenFailed: 0, silent: [] });
  const evidence: AnalysisEvidence = {
    format: "tributary.analysis/1",
    startedAtMs: START + 3 * MINUTE,
    sinceMs: minute * MINUTE,
    burnInMs: spec.spec.burnIn,
    why:
      { Failed: "worse in accuracy", Successful: "harm is below every margin" }[verdict as string] ??
      "accuracy -1.2 points (no bound yet): harm of over 2.0 points is not ruled out",
    control: { ...arm(CONTROLS), heard: CONTROLS - 1, silent: ["cam-77"] },
    canary: arm(CANARIES),
    metrics: watches.map(({ metric, planned, check, counts }, i) => ({
      ...metric,
      plannedVariance: planned,
      control: countedIn(counts.control),
      canary: countedIn(counts.canary),
      source: "kafka" as const,
      note: null,
      crossCheck: i === 0 ? crossCheckOf(check) : null,
      segments: i === 0 ? 2 : 0,
      worst: i === 0 ? [worst] : [],
    })),
    looks,
    crashes: { control: 1, canary: 1, share: 0.2, logHarm: 0.3, alpha: 0.01 },
    refused: { devices: 1, some: [{ deviceId: "cam-03", code: "golden-mismatch", reason: "frame 4: cat, not <dog>" }] },
    settings: [{ name: "analysis.lookEveryMs", value: "60000", default: "30000" }],
  };
  return { verdict, minute, evidence };
}

export function eventsOf({ verdict, minute, evidence }: ReturnType<typeof judged>): RolloutEvent[] {
  const order = Array.from({ length: 200 }, (_, i) => `cam-${i}`);
  const start: [number, RolloutChange][] = [
    [0, { kind: "created", spec, modelDigest: packages.model.digest, stableDigest: packages.stable.digest, order }],
    [0, { kind: "step-started", step: 0 }],
    [1, { kind: "step-finished", step: 0, evidence: { reached: 20, updated: 20 } }],
    [1, { kind: "step-started", step: 1 }],
    [1, { kind: "paused", reason: "step", untilMs: START + 3 * MINUTE, evidence: {} }],
    [3, { kind: "resumed", evidence: { after: "its duration" } }],
    [3, { kind: "step-started", step: 2 }],
  ];
  const at = 3 + minute;
  const rest: Partial<Record<string, [number, RolloutChange][]>> = {
    Failed: [
      [at, { kind: "analysed", step: 2, verdict: "Failed", evidence }],
      [at, { kind: "aborted", why: "the analysis failed", evidence }],
      [at + 1, { kind: "rolled-back", evidence: { onModel: 0 } }],
    ],
    Successful: [
      [at, { kind: "analysed", step: 2, verdict: "Successful", evidence }],
      [at, { kind: "step-finished", step: 2, evidence }],
      [at, { kind: "step-started", step: 3 }],
      [at + 3, { kind: "step-finished", step: 3, evidence: { reached: 200, updated: 200 } }],
      [at + 3, { kind: "completed", evidence: {} }],
    ],
  };
  return [...start, ...(rest[verdict] ?? [])].map(([minute, change], i) => ({
    uid: "0197-edge-2",
    version: i + 1,
    at: START + minute * MINUTE,
    by: "rollout-manager",
    change,
  }));
}

type Fleet = { readonly before: Float64Array; readonly frames: Float64Array; readonly good: Float64Array };

function fleetOf(random: Random, devices: number, rate = 0.9): Fleet {
  const before = Float64Array.from({ length: devices }, () => Math.min(0.999, rate + 0.03 * (random() - 0.5)));
  return { before, frames: new Float64Array(devices), good: new Float64Array(devices) };
}

function show(random: Random, { before, frames, good }: Fleet, harm: number): void {
  for (let i = 0; i < before.length; i++) {
    for (let k = 0; k < 12; k++) {
      frames[i] = (frames[i] as number) + 1;
      if (random() < (before[i] as number) - harm) good[i] = (good[i] as number) + 1;
    }
  }
}

const countedIn = ({ frames }: Fleet) => ({
  devices: frames.filter((count) => count > 0).length,
  frames: frames.reduce((sum, count) => sum + count, 0),
});
