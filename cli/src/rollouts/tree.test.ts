import { describe, expect, test } from "@jest/globals";
import type { DeviceUpdate, RolloutDetail, RolloutDevice, RolloutDevices } from "@tributary/api";
import { rolloutSpec, writtenSpec } from "@tributary/rollouts";
import { type Event, treeOf } from "./tree.ts";

const spec = writtenSpec(
  rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "edge-2" },
    spec: {
      model: "edge@2",
      strategy: {
        canary: { steps: [{ setWeight: 10 }, { analysis: { duration: "3h" } }, { setWeight: 50 }, { setWeight: 100 }] },
      },
    },
  }),
);
const counts = { control: { devices: 80, frames: 9_600 }, canary: { devices: 20, frames: 2_400 } };
const look = {
  metric: "accuracy",
  sinceMs: 600_000,
  harm: 0.0373,
  low: null,
  high: 0.0658,
  logHarm: 5.437,
  logSafe: -1.94,
  ...counts,
};
const limits = { alpha: 0.02, beta: 0.05, tolerated: 0.0025, margin: 0.01, source: "kafka" as const, note: null };
const crossCheck = {
  why: null,
  draws: 999,
  plannedMs: [180_000, 360_000, 720_000],
  looks: [{ sinceMs: 360_000, p: 0.004, spent: 0.0133333, isHarmful: true }],
};
const segment = {
  kind: "class" as const,
  name: "cat",
  weight: 0.05,
  harm: 0.213,
  low: 0.099,
  high: 0.327,
  logHarm: 6.14,
};
const evidence = {
  format: "tributary.analysis/1" as const,
  startedAtMs: 0,
  sinceMs: 600_000,
  burnInMs: 180_000,
  why: "worse in accuracy",
  control: { devices: 80, heard: 80, onModel: 80, goldenFailed: 0, silent: [] },
  canary: { devices: 20, heard: 20, onModel: 20, goldenFailed: 0, silent: [] },
  metrics: [
    { name: "accuracy", ...limits, plannedVariance: null, crossCheck, ...counts, segments: 10, worst: [segment] },
    {
      name: "deadline-met",
      ...limits,
      margin: null,
      plannedVariance: null,
      crossCheck: null,
      ...counts,
      segments: 0,
      worst: [],
    },
  ],
  looks: [look],
  crashes: { control: 1, canary: 5, share: 0.2, logHarm: 6, alpha: 0.01 },
  refused: { devices: 0, some: [] },
  settings: [],
};
const rollout: RolloutDetail = {
  uid: "u1",
  name: "edge-2",
  version: 4,
  slot: "perception",
  model: { digest: "cd".repeat(32), name: "edge", version: "2" },
  stable: { digest: "ab".repeat(32), name: null, version: null },
  phase: "Progressing",
  step: 1,
  steps: 4,
  weight: 10,
  actualWeight: 9.5,
  analysis: "Running",
  message: "",
  pausedUntil: null,
  isBack: false,
  abandoned: null,
  generation: "1",
  devices: 200,
  reached: 20,
  updated: 19,
  refused: 1,
  createdAt: "2026-01-01T00:00:00.000Z",
  changedAt: "2026-01-01T00:05:00.000Z",
  spec,
  evidence,
};
const event = (version: number, change: object): Event =>
  ({ version, at: `2026-01-01T00:0${version}:00.000Z`, by: "service", ...change }) as Event;
const started = [
  event(1, { kind: "created", devices: 200 }),
  event(2, { kind: "step-started", step: 0 }),
  event(3, { kind: "step-finished", step: 0, evidence: {} }),
  event(4, { kind: "step-started", step: 1 }),
];
const updateIn = (phase: DeviceUpdate["phase"], change: Partial<DeviceUpdate> = {}): DeviceUpdate => ({
  phase,
  generation: "2",
  slot: "perception",
  modelDigest: "cd".repeat(32),
  code: "",
  reason: "",
  bytesDone: 3_000,
  bytesAll: 12_000,
  ...change,
});
const device = (
  deviceId: string,
  phase: DeviceUpdate["phase"],
  change: Partial<RolloutDevice> = {},
): RolloutDevice => ({
  deviceId,
  place: 0,
  arm: "canary",
  reached: true,
  runs: phase === "COMMITTED" ? "model" : "stable",
  modelDigest: null,
  goldenPassed: true,
  update: updateIn(phase),
  reportedAt: "2026-01-01T00:09:00.000Z",
  ...change,
});
const update = updateIn("REFUSED", { code: "golden-mismatch", reason: "frame 4\u001b[2J" });
const canary: RolloutDevices = {
  items: [
    ...Array.from({ length: 17 }, (_, i) => device(`cam-${i}`, "COMMITTED")),
    device("cam-17", "DOWNLOADING"),
    device("cam-18", "REFUSED", { update }),
    device("cam-19", "WAITING", { runs: "unknown", update: null, goldenPassed: null, reportedAt: null }),
  ],
  total: 20,
  arms: {
    canary: { devices: 20, onModel: 17, phases: { COMMITTED: 17, DOWNLOADING: 1, REFUSED: 1 } },
    control: { devices: 80, onModel: 0, phases: {} },
    rest: { devices: 100, onModel: 0, phases: {} },
  },
};
const now = Date.parse("2026-01-01T00:10:00Z");
const drawn = (change: Partial<RolloutDetail> = {}, events = started, more: object = {}) =>
  treeOf({ rollout: { ...rollout, ...change }, events, canary, now, style: (_, text) => text, wide: false, ...more });
const squeezed = (text: string) => text.replace(/ {2,}/g, " | ");

describe("a rollout's tree", () => {
  test("shows steps, the running analysis with its numbers, and devices in trouble first", () => {
    const [head = "", body = ""] = drawn().split("\n\n");
    expect(squeezed(head)).toBe(
      `Name: | edge-2
UID: | u1
Status: | ◌ Progressing
Strategy: | Canary
 | Step: | 1/4
 | SetWeight: | 10
 | ActualWeight: | 9.5
Models: | edge 2 (canary) in slot perception
 | abababababab (stable)
Devices:
 | All: | 200
 | Reached: | 20
 | Updated: | 19
 | Refused: | 1`,
    );
    const lines = squeezed(body).split("\n");
    expect(lines.slice(0, 13)).toEqual([
      "NAME | KIND | STATUS | AGE | INFO",
      "⟳ edge-2 | Rollout | ◌ Progressing | 10m",
      "├──# steps | Steps",
      "│ | ├──1 set weight 10 % | Step | ✔ Done | 8m",
      "│ | ├──2 analysis, at most 3h | Analysis | ◌ Running | 6m | worse in accuracy",
      "│ | │ | ├──• accuracy | Metric | ✖ Harmful | harm 3.73 pp (-inf to 6.58), ln e 5.44/3.91 back, -1.94/3 on; worst of 10 segments: class cat, harm 21.3 pp (9.9 to 32.7), ln e 6.1; re-randomisation at 6m: p 0.004, 0.013 spent: harm; canary 20 devices, 2400 frames; control 80, 9600",
      "│ | │ | ├──• deadline-met | Metric | · Not evaluated yet | canary 20 devices, 2400 frames; control 80, 9600",
      "│ | │ | └──• crashes | Metric | ✖ Harmful | 5 in the canary, 1 in the control; ln e 6/4.61 back",
      "│ | ├──3 set weight 50 % | Step",
      "│ | └──4 set weight 100 % | Step",
      "├──Σ canary edge 2 | Arm | ◌ 17 of 20 run it | 20 devices, 17 COMMITTED, 1 DOWNLOADING, 1 REFUSED",
      "│ | ├──□ cam-18 | Device | ✖ REFUSED | 60s | runs the stable model; golden-mismatch: frame 4\\u001b[2J",
      "│ | ├──□ cam-19 | Device | ⚠ Silent | model unknown",
    ]);
    expect(lines[13]).toBe(
      "│ | ├──□ cam-17 | Device | ◌ DOWNLOADING | 60s | runs the stable model; 25 % of 12000 bytes",
    );
    expect(lines.slice(-2)).toEqual(["│ | └──… 10 more | Devices", "└──Σ control abababababab | Arm | 80 devices"]);
    expect(drawn({}, started, { wide: true }).match(/□/g)).toHaveLength(20);
  });

  test("shows how many devices of a large canary were not examined for problems", () => {
    const arms = { ...canary.arms, canary: { ...canary.arms.canary, devices: 50_000 } };
    const lines = squeezed(drawn({}, started, { canary: { ...canary, total: 50_000, arms } })).split("\n");
    expect(lines.at(-2)).toBe(
      "│ | └──… 49990 more | Devices | 49980 of them, the last to be reached, were not checked for problems",
    );
  });

  test("shows how it ended, with the numbers of that time", () => {
    const ended = [...started, event(5, { kind: "analysed", step: 1, verdict: "Failed", evidence })];
    const back = squeezed(drawn({ phase: "Degraded", isBack: true, analysis: "Failed", evidence: {} }, ended));
    expect(back).toContain("✖ Degraded, rolled back");
    expect(back).toMatch(/2 analysis, at most 3h \| Analysis \| ✖ Failed/);
    expect(back).toContain("ln e 5.44/3.91 back");
    // Retried: the results of the first attempt are history.
    const again = squeezed(
      drawn({ step: 0, analysis: "Pending", evidence: {} }, [...ended, event(6, { kind: "retried" })]),
    );
    expect(again).toMatch(/1 set weight 10 % \| Step \| ◌ Running\n/);
    expect(again).not.toContain("ln e");
    expect(
      squeezed(drawn({ phase: "Paused", pausedUntil: "2026-01-01T00:20:00.000Z", analysis: "Pending" })),
    ).toContain("॥ Paused until 2026-01-01 00:20:00");
    expect(squeezed(drawn({ phase: "Healthy", step: 4, analysis: "Pending", evidence: {} }))).toContain("✔ Healthy");
  });

  test("gives the same text as long as nothing changed, without a terminal", () => {
    const at = (later: number) => drawn({}, started, { now: later });
    expect(at(now)).not.toBe(at(now + 600_000));
    expect(drawn({}, started, { now: null })).toContain("2026-01-01 00:04:00");
  });
});
