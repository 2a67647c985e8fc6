/** Running experiments, through the controller: events in, metrics in, looks; desired policies, evidence and the next events out. */
import { describe, expect, test } from "@jest/globals";
import { POLICY } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { FleetMetrics } from "../fleet-metrics/index.ts";
import {
  assignCohorts,
  eventOfRecord,
  type LogEvent,
  RolloutController,
  recordOfEvent,
  rolloutSpec,
  UNPINNED,
} from "../index.ts";
import { type ExperimentProposal, type ExperimentSpec, readExperiment } from "./index.ts";

const MINUTE = 60_000;
const T0 = 1_700_000_000_000;
const DEVICES = 20;
const names = ["hybrid", "edge", "third"];
const versions = ["a", "b", "c"].map((digit) => digit.repeat(64));

type Behaviour = { readonly accuracy: number; readonly escalated: number; readonly late: number };
const usual: Behaviour = { accuracy: 0.88, escalated: 0.2, late: 0.001 };

function specOf(arms: number, change: object = {}): ExperimentSpec {
  const { spec, problems } = readExperiment({
    apiVersion: "tributary.dev/v1",
    kind: "Experiment",
    metadata: { name: "edge-or-cloud" },
    spec: {
      arms: names.slice(0, arms).map((name, i) => ({ name, policy: versions[i] })),
      utility: { correct: 1, escalated: 0.01, late: 1, currency: "EUR" },
      rope: 0.03,
      duration: "2h",
      ...change,
    },
  });
  if (spec === null) throw new Error(JSON.stringify(problems));
  return spec;
}

/** An experiment `u` of a fleet whose devices behave by the policy of their arm. */
class Running {
  readonly fleet = new FleetMetrics();
  readonly controller = new RolloutController(this.fleet, { lookEveryMs: MINUTE });
  readonly arms: readonly (readonly string[])[];
  readonly random: Random;
  readonly judgements: ExperimentProposal[] = [];
  onFrames: (deviceId: string, version: string, at: number) => void = () => {};
  #position = 0n;

  constructor(seed: number, arms = 2, change: object = {}) {
    this.random = seededRandom(seed);
    this.arms = versions.slice(0, arms).map((_, arm) => Array.from({ length: DEVICES }, (_, i) => `${arm}-${i}`));
    this.append({
      kind: "experiment-created",
      spec: specOf(arms, change),
      arms: versions.slice(0, arms).map((policyVersion) => ({ policyVersion, devices: DEVICES })),
      order: this.arms.flat(),
      modelDigest: "e".repeat(64),
      cloudTarget: "cloud",
      deadlineMs: 300,
    });
  }

  append(change: LogEvent["change"], version = 1, uid = "u"): string {
    const event = { uid, version, at: T0, by: "ann", change } as LogEvent;
    this.#position += 1n;
    return this.controller.applied(eventOfRecord(recordOfEvent(event)), this.#position).kind;
  }

  /** Frames of these minutes, and a look after each, until its decision is proposed; verdicts of arms are appended. */
  run(minutes: number, behaviours: readonly (Behaviour | null)[], labelled: readonly boolean[] = [], from = 1): number {
    for (let minute = from; minute <= minutes; minute++) {
      const at = T0 + minute * MINUTE;
      for (const [arm, devices] of this.arms.entries()) {
        const behaviour = behaviours[arm] ?? null;
        if (behaviour === null) continue;
        for (const deviceId of devices)
          this.#frames(deviceId, versions[arm] as string, behaviour, at - 1, labelled[arm] ?? true);
      }
      this.controller.look(at);
      if (this.#judge(at)) return minute;
    }
    return minutes;
  }

  #frames(
    deviceId: string,
    version: string,
    { accuracy, escalated, late }: Behaviour,
    at: number,
    isLabelled: boolean,
  ) {
    const hits = (n: number, rate: number) => {
      let good = 0;
      for (let i = 0; i < n; i++) if (this.random() < rate) good += 1;
      return good;
    };
    this.fleet.observe(deviceId, version, "escalated", hits(60, escalated), 60, at);
    this.fleet.observe(deviceId, version, "in-time", hits(60, 1 - late), 60, at);
    this.controller.experiments.framesOf(deviceId, version, names[Number(deviceId[0])] as string, at);
    this.onFrames(deviceId, version, at);
    if (isLabelled) this.fleet.observe(deviceId, version, "system-accuracy", hits(12, accuracy), 12, at);
  }

  #judge(at: number): boolean {
    for (;;) {
      const [proposal] = this.controller.experiments.propose(at);
      if (proposal?.change.kind !== "experiment-arm-judged") return proposal !== undefined;
      this.judgements.push(proposal);
      if (this.append(proposal.change, proposal.version) !== "counts") throw new Error("a verdict does not count");
    }
  }

  decide(at: number) {
    const [proposal] = this.controller.experiments.propose(at);
    if (proposal === undefined) return null;
    this.append(proposal.change, proposal.version);
    return this.controller.experiments.get("u");
  }

  get evidence() {
    return this.controller.experiments.evidence("u");
  }
}

const ofArm = (running: Running, name: string) => running.evidence?.arms.find((arm) => arm.name === name);
const seeds = [1, 2, 3];

describe("while it runs", () => {
  test("each device shall decide by its arm's policy, and by the one in force when it has ended", () => {
    const running = new Running(1);
    const desired = () => running.controller.devices.desired(T0);
    const first = desired();
    expect(first).toHaveLength(2 * DEVICES);
    for (const { deviceId, slot, modelDigest, arm } of first)
      expect([slot, modelDigest, arm]).toEqual([
        POLICY,
        ...(deviceId.startsWith("0") ? [versions[0], "hybrid"] : [versions[1], "edge"]),
      ]);
    // Written in part, they leave no arm behind.
    const ofControl = first.slice(0, DEVICES).filter(({ deviceId }) => deviceId.startsWith("0"));
    expect(Math.abs(ofControl.length - DEVICES / 2)).toBeLessThan(DEVICES / 4);
    for (const { deviceId, slot, generation, modelDigest } of first)
      running.controller.devices.written(deviceId, slot, { generation, modelDigest }, T0);
    const stop = running.controller.experiments.stop("u", "ann", "enough", T0);
    expect(running.append(stop.change, stop.version)).toBe("counts");
    expect(new Set(desired().map(({ modelDigest, arm }) => `${modelDigest}${arm}`))).toEqual(
      new Set([`${UNPINNED}undefined`]),
    );
    expect(running.controller.experiments.get("u")).toMatchObject({ phase: "Stopped", why: "stopped by ann: enough" });
    expect(() => running.controller.experiments.stop("u", "ann", "", T0)).toThrow(/has ended already: stopped by ann/);
    expect(() => running.controller.experiments.stop("v", "ann", "", T0)).toThrow(/no experiment v/);
  });

  test("its devices are in nothing else, and it takes none of another's", () => {
    const running = new Running(1);
    const spec = rolloutSpec.parse({
      apiVersion: "tributary.dev/v1",
      kind: "ModelRollout",
      metadata: { name: "r" },
      spec: { model: "edge@2", strategy: { canary: { steps: [{ setWeight: 100 }] } } },
    });
    const [modelDigest, stableDigest] = ["1".repeat(64), "2".repeat(64)];
    const rollout = (order: readonly string[]) =>
      ({ kind: "created", spec, modelDigest, stableDigest, order }) as const;
    expect(running.append(rollout(["0-1", "x"]), 1, "r")).toBe("conflicts");
    expect(running.append(rollout(["x"]), 1, "s")).toBe("counts");
    const other = (order: readonly string[]) =>
      ({
        kind: "experiment-created",
        spec: specOf(2),
        arms: versions.slice(0, 2).map((policyVersion) => ({ policyVersion, devices: 1 })),
        order,
        modelDigest,
        cloudTarget: "cloud",
        deadlineMs: 300,
      }) as const;
    expect(running.append(other(["x", "y"]), 1, "w")).toBe("conflicts");
    expect(running.append(other(["1-1", "y"]), 1, "w")).toBe("conflicts");
    expect(running.append(other(["z", "y"]), 1, "w")).toBe("counts");
    expect(running.append(other(["z", "y"]), 1, "w")).toBe("stale");
  });

  test("says which arm lacks what; devices that name another policy are named", () => {
    const running = new Running(1);
    running.run(5, [usual, usual], [true, false]);
    expect(running.evidence?.why).toBe("in the burn-in");
    running.run(20, [usual, usual], [true, false]);
    expect(running.evidence?.why).toMatch(/^0 devices of arm edge have labelled frames .* 8 are needed$/);
    const { experiments } = running.controller;
    experiments.framesOf("1-3", versions[0] as string, "edge", T0 + 11 * MINUTE);
    experiments.framesOf("1-4", versions[1] as string, "hybrid", T0 + 11 * MINUTE);
    experiments.framesOf("1-5", versions[1] as string, "default", T0 + 11 * MINUTE);
    running.controller.look(T0 + 21 * MINUTE);
    expect(ofArm(running, "edge")?.elsewhere).toEqual(["1-3", "1-4"]);
    experiments.framesOf("1-3", versions[1] as string, "edge", T0 + 12 * MINUTE);
    running.controller.look(T0 + 22 * MINUTE);
    expect(ofArm(running, "edge")?.elsewhere).toEqual(["1-4"]);
  });

  test("latencies and costs are of frames that the arm's policy decided", () => {
    const running = new Running(1);
    const { experiments } = running.controller;
    for (let i = 1; i <= 100; i++)
      experiments.settled("0-1", versions[0] as string, T0 + i, { latencyMs: i, costMicros: 50 });
    experiments.settled("0-1", versions[1] as string, T0 + 1, { latencyMs: 9_999, costMicros: 9_999 });
    experiments.settled("0-1", versions[0] as string, T0 - 1, { latencyMs: 9_999, costMicros: 9_999 });
    const { latency, callCostPer1000 } = ofArm(running, "hybrid") ?? {};
    expect(latency?.p50Ms).toBeGreaterThanOrEqual(50);
    expect(latency?.p50Ms).toBeLessThan(50 * 1.06);
    expect(latency?.p99Ms).toBeGreaterThanOrEqual(99);
    expect(latency?.p99Ms).toBeLessThan(99 * 1.06);
    expect(callCostPer1000).toBeCloseTo(0.05);
  });
});

describe("the first verdict of an arm", () => {
  const late = { ...usual, late: 0.2 };

  test("is an event, and holds for an instance that saw nothing of what it was of", () => {
    const running = new Running(1, 3, { rope: 0.01 });
    running.run(11, [usual, late, { ...usual, accuracy: 0.9 }]);
    const { experiments } = running.controller;
    expect(experiments.get("u")?.judged).toMatchObject([{ arm: "edge", verdict: "reject", because: "late" }]);
    // Another instance, with the log alone.
    const other = new Running(2, 3, { rope: 0.01 });
    for (const [i, { change }] of running.judgements.entries()) expect(other.append(change, i + 2)).toBe("counts");
    other.run(119, [usual, usual, usual]);
    expect(ofArm(other, "edge")?.comparison?.verdict).toBe("reject");
    expect(other.decide(T0 + 120 * MINUTE)?.why).not.toMatch(/edge (is|are) worth the same/);
  });

  test("of two instances that find one is the log's first; nobody judges an arm twice, nor the control", () => {
    const running = new Running(1, 3, { rope: 0.01 });
    running.run(11, [usual, late, { ...usual, accuracy: 0.9 }]);
    const [first] = running.judgements;
    if (first?.change.kind !== "experiment-arm-judged") throw new Error("no verdict");
    const adopt = { ...first.change, verdict: "adopt", because: null } as const;
    expect(running.append(adopt, first.version)).toBe("stale");
    expect(running.append(adopt, first.version + 1)).toBe("stale");
    expect(running.append({ ...adopt, arm: "hybrid" }, first.version + 1)).toBe("stale");
    expect(running.controller.experiments.get("u")?.judged).toMatchObject([{ arm: "edge", verdict: "reject" }]);
  });
});

describe("its decision", () => {
  test.each(seeds)("is for an arm that is late less often, with what would flip it (seed %d)", (seed) => {
    const running = new Running(seed);
    const minute = running.run(119, [
      { ...usual, late: 0.08 },
      { accuracy: 0.86, escalated: 0, late: 0 },
    ]);
    const experiment = running.decide(T0 + minute * MINUTE);
    expect(experiment).toMatchObject({ phase: "Decided", verdict: "adopt", winner: "edge" });
    const comparison = experiment?.evidence?.arms[1]?.comparison;
    expect(comparison).toMatchObject({ verdict: "adopt" });
    expect(comparison?.gain.estimate).toBeGreaterThan(0.02);
    // Where a late answer costs nothing, the control is worth more.
    expect(comparison?.grid?.[3]?.[0]?.for).toBe("control");
    expect(comparison?.flipsAt?.late).toBeGreaterThan(0);
    expect(comparison?.flipsAt?.late).toBeLessThan(1);
    expect(experiment?.evidence?.reviewAt).toBe(T0 + minute * MINUTE + 90 * 86_400_000);
  });

  test.each(seeds)("flips where a late answer costs nothing (seed %d)", (seed) => {
    const running = new Running(seed, 2, { utility: { correct: 1, escalated: 0.01, late: 0, currency: "EUR" } });
    const minute = running.run(119, [
      { ...usual, accuracy: 0.91, late: 0.08 },
      { accuracy: 0.86, escalated: 0, late: 0 },
    ]);
    expect(running.decide(T0 + minute * MINUTE)).toMatchObject({ verdict: "reject", winner: null });
  });

  test.each(seeds)("rejects what is late beyond the margin, whatever its accuracy (seed %d)", (seed) => {
    const running = new Running(seed);
    const minute = running.run(119, [usual, { ...usual, accuracy: 0.99, late: 0.05 }]);
    const experiment = running.decide(T0 + minute * MINUTE);
    expect(experiment).toMatchObject({ verdict: "reject" });
    expect(experiment?.why).toMatch(/edge is late more often than the margin allows: hybrid stays/);
  });

  test.each(seeds)("is equivalent for policies that decide alike (seed %d)", (seed) => {
    const running = new Running(seed);
    const minute = running.run(119, [usual, usual]);
    expect(running.decide(T0 + minute * MINUTE)).toMatchObject({ verdict: "equivalent", winner: null });
  });

  test("is not called undecided once every arm has its verdict", () => {
    const running = new Running(1);
    expect(running.run(120, [usual, { ...usual, late: 0.2 }])).toBeLessThan(120);
    expect(running.evidence).toMatchObject({ why: "every arm has its verdict" });
  });

  test("waits for every arm, and adopts the best", () => {
    const running = new Running(1, 3, { rope: 0.01 });
    const good = { accuracy: 0.93, escalated: 0.2, late: 0 };
    const minute = running.run(119, [usual, good, { ...good, accuracy: 0.98 }]);
    expect(running.decide(T0 + minute * MINUTE)).toMatchObject({ verdict: "adopt", winner: "third" });
  });

  test("is held at its end where labels are of one arm only", () => {
    const running = new Running(1);
    const minute = running.run(130, [usual, { ...usual, late: 0.2 }], [true, false]);
    expect(minute).toBe(120);
    const experiment = running.decide(T0 + 120 * MINUTE);
    expect(experiment).toMatchObject({ verdict: "hold", winner: null });
    expect(experiment?.why).toMatch(/undecided at its end: 0 devices of arm edge have labelled frames/);
  });

  test("is none while an arm's policy does not reach its devices: what they do by the control's is not the arm's", () => {
    const running = new Running(1);
    const [control] = versions as [string];
    const sentBy = (deviceId: string, version: string) => (deviceId.startsWith("1") ? control : version);
    const { fleet, controller } = running;
    const [{ observe }, { framesOf }] = [fleet, controller.experiments];
    fleet.observe = function (deviceId, version, ...rest) {
      return observe.call(this, deviceId, sentBy(deviceId, version), ...rest);
    };
    controller.experiments.framesOf = function (deviceId, version, ...rest) {
      framesOf.call(this, deviceId, sentBy(deviceId, version), ...rest);
    };
    running.run(119, [usual, usual]);
    expect(running.evidence?.why).toMatch(/the devices that report are not those that were assigned/);
    expect(ofArm(running, "edge")).toMatchObject({ reporting: 0, frames: { correct: 0, escalated: 0, late: 0 } });
  });

  test("comes also where arms are reached late: the control's policy, in force before, lets none of its devices report sooner", () => {
    const running = new Running(1);
    const { experiments } = running.controller;
    const [{ observe }, { framesOf }] = [running.fleet, experiments];
    const [control] = versions as [string];
    let isReached = false;
    running.fleet.observe = function (deviceId, version, ...rest) {
      return observe.call(this, deviceId, isReached ? version : control, ...rest);
    };
    experiments.framesOf = function (deviceId, version, arm, at) {
      framesOf.call(this, deviceId, isReached ? version : control, isReached ? arm : "default", at);
    };
    running.run(20, [usual, usual]);
    expect(running.evidence?.why).toMatch(/^0 devices of arm edge have labelled frames/);
    expect(running.evidence?.sampleRatio).toMatchObject({ isMismatch: false });
    isReached = true;
    expect(running.decide(T0 + running.run(119, [usual, usual]) * MINUTE)).toMatchObject({ verdict: "equivalent" });
  });

  test("is kept back by the sample ratio in at most one of a hundred experiments whose devices all report at once", () => {
    let alarms = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const controller = new RolloutController(new FleetMetrics());
      const fleet = Array.from({ length: 2 * DEVICES }, (_, i) => `d${i}`);
      // As arms are drawn: by the uid.
      const { order } = assignCohorts(
        fleet.map((deviceId) => ({ deviceId, hardwareClass: "x64", camera: "", site: "", accuracyBefore: null })),
        `u${seed}`,
      );
      const arms = versions.slice(0, 2).map((policyVersion) => ({ policyVersion, devices: DEVICES }));
      const [modelDigest, cloudTarget, deadlineMs] = ["e".repeat(64), "cloud", 300];
      const change = { kind: "experiment-created", spec: specOf(2), arms, order, modelDigest, cloudTarget, deadlineMs };
      controller.applied({ uid: `u${seed}`, version: 1, at: T0, by: "ann", change } as LogEvent, 1n);
      for (const deviceId of fleet) {
        const arm = order.indexOf(deviceId) < DEVICES ? 0 : 1;
        controller.experiments.framesOf(deviceId, versions[arm] as string, names[arm] as string, T0 + MINUTE);
      }
      controller.look(T0 + 11 * MINUTE);
      if (controller.experiments.evidence(`u${seed}`)?.sampleRatio.isMismatch) alarms += 1;
    }
    expect(alarms).toBeLessThanOrEqual(4);
  });

  test("is none while an arm's devices are silent: the sample ratio is off", () => {
    const running = new Running(1);
    const silent = running.arms[1]?.slice(0, 14) ?? [];
    const [{ observe }, { framesOf }] = [running.fleet, running.controller.experiments];
    running.fleet.observe = function (deviceId, ...rest) {
      return silent.includes(deviceId) || observe.call(this, deviceId, ...rest);
    };
    running.controller.experiments.framesOf = function (deviceId, ...rest) {
      if (!silent.includes(deviceId)) framesOf.call(this, deviceId, ...rest);
    };
    running.run(30, [{ ...usual, late: 0.2 }, usual]);
    expect(running.evidence?.sampleRatio.isMismatch).toBe(true);
    expect(running.evidence?.why).toMatch(/the devices that report are not those that were assigned/);
    expect(ofArm(running, "edge")).toMatchObject({ devices: 20, reporting: 6 });
    expect(ofArm(running, "edge")?.comparison?.verdict ?? "undecided").toBe("undecided");
  });

  test.each([1, 2, 3, 4])(
    "is none once the better arm has fallen silent, and comes when it is back (seed %i)",
    (seed) => {
      const better = { ...usual, accuracy: 0.97 };
      const running = new Running(seed, 2, { duration: "6h", rope: 0.005 });
      running.run(10, [usual, usual]);
      expect(running.run(100, [usual, null], [], 11)).toBe(100);
      expect(running.evidence?.why).toMatch(/^0 of 20 devices of arm edge are heard lately, and of another arm 100 %/);
      const minute = running.run(350, [usual, better], [], 101);
      expect(running.decide(T0 + minute * MINUTE)).toMatchObject({ verdict: "adopt", winner: "edge" });
    },
  );

  test("is none where an arm's hard frames are labelled half as often, whatever its labels say", () => {
    const found = [0.5, 1].map((kept) => {
      const running = new Running(1, 2, { duration: "6h" });
      const { experiments } = running.controller;
      running.onFrames = (deviceId, version, at) => {
        for (let i = 0; i < 12; i++) {
          const isHard = running.random() < 0.3;
          experiments.sampled(deviceId, version, "drawn", isHard ? 0.5 : 0.95, at);
          if (isHard && deviceId.startsWith("1") && running.random() > kept) continue;
          if (running.random() < 0.5) experiments.sampled(deviceId, version, "labelled", isHard ? 0.5 : 0.95, at);
        }
      };
      running.run(60, [usual, { ...usual, accuracy: 0.94 }]);
      return running.evidence;
    });
    expect(found.map((evidence) => evidence?.labelledShare?.isUnlike)).toEqual([true, false]);
    expect(found[0]?.why).toMatch(/drawn frames that are hard by the device's model are labelled more often/);
    expect(found[0]?.arms[1]?.comparison?.verdict).toBe("undecided");
  });
});
