import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { refuseConflicts } from "./cohorts.ts";
import { command, decide, type Judged } from "./decide.ts";
import {
  applyEvent,
  assignCohorts,
  type Command,
  controlOf,
  type FleetDevice,
  isFinished,
  maintenanceWindowOf,
  type Rollout,
  type RolloutChange,
  type RolloutEvent,
  type RolloutSpec,
  reachedBy,
  reachedDevices,
  rolloutSpec,
  type Seen,
} from "./index.ts";
import { problemsOfSteps } from "./spec.ts";

const MINUTE = 60_000;
const written = (steps: readonly object[], more: object = {}) => ({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge" },
  spec: { model: "edge@challenger", strategy: { canary: { steps } }, ...more },
});
const usual = [
  { setWeight: 5 },
  { pause: { duration: "3m" } },
  { analysis: { duration: "60m" } },
  { setWeight: 25 },
  { analysis: { duration: "60m" } },
  { setWeight: 100 },
];
const spec = rolloutSpec.parse(written(usual));

function fleetOf(n: number, random: Random): readonly FleetDevice[] {
  return Array.from({ length: n }, (_, i) => ({
    deviceId: `device-${i + 1}`,
    hardwareClass: random() < 0.3 ? "rpi4" : "rpi5",
    camera: "cam",
    site: `site-${Math.floor(random() * 4)}`,
    accuracyBefore: random() < 0.1 ? null : 0.8 + 0.15 * random(),
  }));
}

describe("cohorts", () => {
  test.each([1, 2, 3])("seed %i: a canary is the fleet in small, grows by adding, and the control is apart", (seed) => {
    const fleet = fleetOf(1_000, seededRandom(seed));
    const cohorts = assignCohorts(fleet, `salt-${seed}`);
    expect([...cohorts.order].sort()).toEqual(fleet.map(({ deviceId }) => deviceId).sort());
    expect(assignCohorts([...fleet].reverse(), `salt-${seed}`)).toEqual(cohorts);
    const canary = reachedBy(cohorts, 5);
    expect(canary).toHaveLength(50);
    expect(reachedBy(cohorts, 25).slice(0, 50)).toEqual(canary);
    const control = controlOf(cohorts, 5, 4);
    expect(control).toHaveLength(200);
    expect(control.filter((id) => canary.includes(id))).toEqual([]);
    const share = (ids: readonly string[], has: (d: FleetDevice) => boolean) =>
      fleet.filter((d) => ids.includes(d.deviceId) && has(d)).length / ids.length;
    for (const has of [(d: FleetDevice) => d.hardwareClass === "rpi4", (d: FleetDevice) => d.site === "site-1"]) {
      const whole = share(cohorts.order, has);
      // Chance alone would leave half of all canaries 0.04 away and more.
      expect(Math.abs(share(canary, has) - whole)).toBeLessThan(0.08);
      expect(Math.abs(share(control, has) - whole)).toBeLessThan(0.05);
    }
    expect(assignCohorts(fleet, "another").order.slice(0, 50)).not.toEqual(canary);
  });

  test("a weight above nothing reaches someone, 100 reaches all", () => {
    const cohorts = assignCohorts(fleetOf(7, seededRandom(1)), "s");
    expect(reachedBy(cohorts, 0.1)).toHaveLength(1);
    expect(reachedBy(cohorts, 100)).toHaveLength(7);
    expect(controlOf(cohorts, 50, 4)).toHaveLength(3);
  });

  test("devices of another rollout are refused, with their names", () => {
    expect(() =>
      refuseConflicts(["a", "b"], [{ kind: "rollout", uid: "u", name: "other", devices: ["b", "c"] }]),
    ).toThrow(/other \(u\).*on b;/);
    expect(() => refuseConflicts(["a"], [{ kind: "rollout", uid: "u", name: "other", devices: ["b"] }])).not.toThrow();
  });
});

describe("a spec", () => {
  test("has defaults, and refuses what it does not know", () => {
    expect(spec.spec.metrics.map(({ name, alpha }) => [name, alpha])).toEqual([
      ["accuracy", 0.02],
      ["deadline-met", 0.015],
    ]);
    expect(spec.spec.burnIn).toBe(3 * MINUTE);
    expect(problemsOfSteps(spec)).toEqual([]);
    expect(spec.spec.abortConfig.onInconclusive).toBeUndefined();
    for (const wrong of [
      written(usual, { abortConfig: { onInconclusive: "revert" } }),
      written(usual, { metrics: [{ name: "accuracy", perSegment: -0.1 }] }),
      written(usual, { modle: "x" }),
      written([{ setWieght: 5 }]),
      written([{ pause: { duration: "5 minutes" } }]),
    ]) {
      expect(rolloutSpec.safeParse(wrong).success).toBe(false);
    }
  });

  test.each([
    ["widening without an analysis", [{ setWeight: 5 }, { setWeight: 100 }], /widens without an analysis/],
    ["an analysis of nobody", [{ analysis: { duration: "1h" } }, { setWeight: 100 }], /nothing to look at/],
    ["an end before all", [{ setWeight: 50 }], /ends at weight 50/],
    ["narrowing", [{ setWeight: 50 }, { analysis: { duration: "1h" } }, { setWeight: 20 }], /does not widen/],
    [
      "an analysis within the burn-in",
      [{ setWeight: 5 }, { pause: { duration: "1m" } }, { analysis: { duration: "2m" } }, { setWeight: 100 }],
      /ends within burnIn \(3m\).*write more than 3m/,
    ],
    ["nobody to compare with", [{ setWeight: 100 }, { analysis: { duration: "1h" } }], /nobody is left/],
  ])("%s is a problem", (_, steps, message) => {
    const problems = problemsOfSteps(rolloutSpec.parse(written(steps)));
    expect(problems.map((problem) => problem.message).join("\n")).toMatch(message);
  });
});

describe("maintenance windows", () => {
  const nightly = (more: object) => rolloutSpec.parse(written(usual, more));

  test("are sent to devices as minutes, days and a zone", () => {
    const { spec } = nightly({ maintenanceWindows: [{ days: ["Sat", "Sun"], from: "22:30", to: "04:00" }] });
    expect(spec.maintenanceWindows.map(maintenanceWindowOf)).toEqual([
      { days: ["SAT", "SUN"], fromMinute: 1_350, toMinute: 240, timeZone: "UTC" },
    ]);
  });

  test("a step must be able to wait for one", () => {
    const maintenanceWindows = [{ from: "01:00", to: "05:00", timeZone: "Europe/Berlin" }];
    const [problem] = problemsOfSteps(nightly({ maintenanceWindows }));
    expect(problem).toMatchObject({ path: ["spec", "progressDeadline"] });
    expect(problem?.message).toMatch(/closed for up to 20h.*write more than 20h/);
    expect(problemsOfSteps(nightly({ maintenanceWindows, progressDeadline: "1d" }))).toEqual([]);
  });

  test.each([
    [{ from: "25:00", to: "05:00" }],
    [{ from: "01:00", to: "5:00" }],
    [{ from: "01:00", to: "05:00", days: ["Someday"] }],
    [{ from: "01:00", to: "05:00", timeZone: "Mars/Olympus" }],
    [{ from: "01:00", until: "05:00" }],
  ])("%j is refused", (window) => {
    expect(rolloutSpec.safeParse(written(usual, { maintenanceWindows: [window] })).success).toBe(false);
  });
});

/** A log as Kafka keeps it: anyone may append, and what counts is found by reading. */
class Log {
  readonly events: RolloutEvent[] = [];
  append(rollout: Rollout | null, at: number, change: RolloutChange, by = "service"): void {
    this.events.push({ uid: "r1", version: (rollout?.version ?? 0) + 1, at, by, change });
  }
  read(to = this.events.length): Rollout | null {
    return this.events
      .slice(0, to)
      .reduce<Rollout | null>((state, event, i) => applyEvent(state, event, BigInt(i + 1)), null);
  }
}

const created = (of: RolloutSpec = spec): RolloutChange => ({
  kind: "created",
  spec: of,
  modelDigest: "new",
  stableDigest: "old",
  order: Array.from({ length: 160 }, (_, i) => `d${i}`),
});
const healthy = (rollout: Rollout): Seen => {
  const reached = reachedDevices(rollout).length;
  return { reached, updated: reached, installing: 0, refused: 0, onModel: reached, refusedRollback: 0 };
};
const good: Judged = { verdict: "Successful", evidence: { harm: -0.001 } };

const commands: readonly Command[] = ["pause", "resume", "resume", "promote", "promote-full", "abort", "retry", "undo"];

/** Lets the machine run until it waits for time, or for anything else, at this moment. */
function settle(log: Log, now: number, judged: Judged | null, seen: (rollout: Rollout) => Seen = healthy): Rollout {
  for (let i = 0; i < 50; i++) {
    const rollout = log.read() as Rollout;
    const change = decide(rollout, seen(rollout), judged, now);
    if (change === null) return rollout;
    log.append(rollout, now, change);
  }
  throw new Error("it does not come to rest");
}

describe("a rollout", () => {
  test("of a good model reaches everyone, step by step", () => {
    const log = new Log();
    log.append(null, 0, created());
    expect(settle(log, 1, null)).toMatchObject({ phase: "Paused", weight: 5, step: 1 });
    expect(settle(log, 2 * MINUTE, good)).toMatchObject({ phase: "Paused" });
    expect(settle(log, 4 * MINUTE, null)).toMatchObject({ phase: "Progressing", step: 2, analysis: "Running" });
    const done = settle(log, 5 * MINUTE, good);
    expect(done).toMatchObject({ phase: "Healthy", weight: 100 });
    expect(reachedDevices(done)).toHaveLength(160);
  });

  test("of a bad model rolls back, also from a pause, and is finished when no device runs it", () => {
    const log = new Log();
    log.append(null, 0, created());
    settle(log, 1, null);
    const why = "accuracy fell by 5.0 points (3.1 to 6.9) against the control";
    const bad: Judged = { verdict: "Failed", evidence: { why } };
    const back = settle(log, 2 * MINUTE, bad, (rollout) => ({ ...healthy(rollout), onModel: 3 }));
    expect(back).toMatchObject({
      phase: "Degraded",
      aborted: { why, isBack: false },
    });
    expect(back.evidence).toEqual({ why });
    expect(reachedDevices(back)).toEqual([]);
    expect(isFinished(settle(log, 3 * MINUTE, null))).toBe(true);
  });

  test.each([
    [
      "reports nothing",
      null,
      { reached: 8, updated: 2, installing: 0, refused: 0, onModel: 2, refusedRollback: 0 },
      "Paused",
      "silent",
    ],
    ["gives no data", null, null, "Paused", "no-data"],
    ["decides nothing", { verdict: null, evidence: {} }, null, "Paused", "inconclusive"],
    ["cannot be judged", { verdict: "Error", evidence: {} }, null, "Paused", "error"],
  ] as const)("whose canary %s never widens", (_, judged, seen, phase, reason) => {
    const log = new Log();
    log.append(null, 0, created());
    for (let minute = 0; minute <= 300; minute += 5)
      settle(log, minute * MINUTE, judged, seen === null ? healthy : () => seen);
    expect(log.read()).toMatchObject({ phase, weight: 5, pause: { reason } });
  });

  test.each([
    ["waits for devices that install it", { updated: 2, installing: 6 }, "hold", [[59, "Progressing"]]],
    ["does not wait for them for good", { updated: 2, installing: 6 }, "hold", [[61, "silent"]]],
    ["does not wait for these if others are silent", { updated: 2, installing: 4 }, "hold", [[31, "silent"]]],
    [
      "rolls back where onNoData says so",
      { updated: 2, installing: 0 },
      "rollback",
      [
        [29, "Progressing"],
        [31, "back"],
      ],
    ],
    [
      "rolls back as well after the longer wait",
      { updated: 2, installing: 6 },
      "rollback",
      [
        [31, "Progressing"],
        [61, "back"],
      ],
    ],
  ] as const)("whose canary is not complete %s (decide.ts D7)", (_, states, onNoData, expected) => {
    const log = new Log();
    log.append(null, 0, created(rolloutSpec.parse(written(usual, { abortConfig: { onNoData } }))));
    for (const [minute, end] of [[0, "Progressing"] as const, ...expected]) {
      const rollout = settle(log, minute * MINUTE, null, (of) => ({ ...healthy(of), ...states, onModel: 8 }));
      const is = rollout.aborted === null ? (rollout.pause?.reason ?? rollout.phase) : "back";
      expect([minute, is]).toEqual([minute, end]);
      expect(rollout.aborted?.why ?? "2 of 8 (onNoData: rollback)").toMatch(/2 of 8 .*\(onNoData: rollback\)/);
    }
  });

  const likely = "accuracy is 20.0 points worse, beyond the margin of 1.0 (p 0.003 of one look)";
  test.each([
    [
      undefined,
      likely,
      "rolled back",
      /undecided, and harm is likely: accuracy is 20.0 points worse.*; what is missing/,
    ],
    [undefined, null, "held", /^what is missing$/],
    [
      "hold",
      likely,
      "held",
      /^harm is likely: accuracy.*; held all the same \(onInconclusive: hold\); what is missing$/,
    ],
    ["hold", null, "held", /^what is missing$/],
    ["rollback", likely, "rolled back", /undecided \(onInconclusive: rollback\): what is missing/],
    ["rollback", null, "rolled back", /undecided \(onInconclusive: rollback\): what is missing/],
    // As specifications of earlier versions stand in the log.
    ["Pause", likely, "held", /held all the same/],
    ["Abort", null, "rolled back", /onInconclusive: rollback/],
  ] as const)(
    "that ends undecided with onInconclusive %s, suspicion %j, is %s (decide.ts D6)",
    (onInconclusive, suspicion, end, why) => {
      const log = new Log();
      const abortConfig = onInconclusive === undefined ? {} : { onInconclusive };
      log.append(null, 0, created(rolloutSpec.parse(written(usual, { abortConfig }))));
      const judged: Judged = { verdict: null, suspicion, evidence: { why: "what is missing" } };
      for (let minute = 0; minute <= 70; minute += 5) {
        const { phase, analysis } = settle(log, minute * MINUTE, judged);
        if (analysis === "Running") expect(phase).toBe("Progressing"); // Before the deadline it waits.
      }
      const ended = log.read() as Rollout;
      expect(ended.analysis).toBe("Inconclusive");
      expect(ended.phase).toBe(end === "held" ? "Paused" : "Degraded");
      expect(end === "held" ? ended.evidence.why : ended.aborted?.why).toMatch(why);
    },
  );

  test("whose model is refused by its devices rolls back", () => {
    const log = new Log();
    log.append(null, 0, created());
    const refusing = settle(log, 1, null, (rollout) => ({
      ...healthy(rollout),
      updated: 2,
      installing: 0,
      refused: 3,
      onModel: 2,
    }));
    expect(refusing.aborted?.why).toMatch(/3 of 8 devices refused/);
  });

  test("that is promoted reaches everyone, whatever comes after its last setWeight and wherever it is held", () => {
    const late = [...usual.slice(0, 3), { setWeight: 100 }, { pause: { duration: "1h" } }];
    const whole = new Log();
    whole.append(null, 0, created(rolloutSpec.parse(written(late))));
    const paused = settle(whole, 1, null);
    whole.append(paused, 2, command(paused, "promote-full", "ann"), "ann");
    settle(whole, 3, null);
    expect(settle(whole, 70 * MINUTE, null)).toMatchObject({ phase: "Healthy", weight: 100 });

    const held = new Log();
    held.append(null, 0, created());
    settle(held, 1, null);
    settle(held, 4 * MINUTE, null);
    for (let rollout = held.read() as Rollout; rollout.step < 3; rollout = held.read() as Rollout)
      held.append(rollout, 5 * MINUTE, decide(rollout, healthy(rollout), good, 5 * MINUTE) as RolloutChange);
    // The next setWeight has not started, and somebody holds it just then.
    held.append(held.read(), 5 * MINUTE, command(held.read() as Rollout, "pause", "ann"), "ann");
    held.append(held.read(), 6 * MINUTE, command(held.read() as Rollout, "promote", "ann"), "ann");
    expect(settle(held, 7 * MINUTE, null)).toMatchObject({ phase: "Progressing", weight: 25, step: 4 });
  });

  test("whose pause would end by itself is held by a person, and restarts its time when resumed", () => {
    const log = new Log();
    log.append(null, 0, created());
    const timed = settle(log, 1, null);
    expect(timed.pause).toMatchObject({ reason: "step", untilMs: 1 + 3 * MINUTE });
    log.append(timed, 2, command(timed, "pause", "ann"), "ann");
    const held = settle(log, 60 * MINUTE, good);
    expect(held).toMatchObject({ phase: "Paused", pause: { reason: "person", untilMs: null } });
    expect(() => command(held, "pause", "ann")).toThrow(/only one that progresses/);
    log.append(held, 61 * MINUTE, command(held, "resume", "ann"), "ann");
    expect(settle(log, 61 * MINUTE, null).pause).toMatchObject({ reason: "step", untilMs: 64 * MINUTE });
  });

  test("takes the commands that fit its phase, and names one that would", () => {
    const log = new Log();
    log.append(null, 0, created());
    const paused = settle(log, 1, null);
    expect(() => command(paused, "retry", "ann")).toThrow(/rolled back whole/);
    log.append(paused, 2, command(paused, "promote-full", "ann"), "ann");
    const full = settle(log, 3, null);
    expect(full).toMatchObject({ phase: "Healthy", weight: 100 });
    log.append(full, 4, command(full, "undo", "bob"), "bob");
    const undone = settle(log, 5, null, () => ({ ...healthy(full), reached: 0, onModel: 0 }));
    expect(undone).toMatchObject({ phase: "Degraded", aborted: { why: "undone by bob", isBack: true } });
    log.append(undone, 6, command(undone, "retry", "bob"), "bob");
    expect(log.read()).toMatchObject({ phase: "Progressing", step: 0, weight: 0, aborted: null });
  });

  test.each(Array.from({ length: 200 }, (_, i) => i + 1))(
    "seed %i: two instances, crashes, stale proposals and people: one history, and nothing widens without evidence",
    (seed) => {
      const random = seededRandom(seed);
      const log = new Log();
      log.append(null, 0, created());
      const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
      let now = 0;
      for (let turn = 0; turn < 400; turn++) {
        now += Math.floor(random() * 10 * MINUTE);
        // An instance may have read only so far when it proposes.
        const known = log.read(
          random() < 0.3 ? 1 + Math.floor(random() * log.events.length) : log.events.length,
        ) as Rollout;
        const reached = reachedDevices(known).length;
        const seen = {
          reached,
          updated: random() < 0.8 ? reached : Math.floor(random() * reached),
          installing: 0,
          refused: random() < 0.02 ? 2 : 0,
          onModel: random() < 0.5 ? 0 : reached,
          refusedRollback: random() < 0.2 ? 1 : 0,
        };
        const judged = pick<Judged | null>([
          null,
          good,
          good,
          { verdict: null, evidence: {} },
          ...(random() < 0.05 ? [{ verdict: "Failed" as const, evidence: {} }] : []),
        ]);
        if (random() < 0.1) {
          try {
            const wanted = pick(commands);
            log.append(known, now, command(known, wanted, "ann"), "ann");
          } catch {
            // It did not fit.
          }
          continue;
        }
        const change = decide(known, seen, judged, now);
        if (change !== null) log.append(known, now, change);
      }
      let state: Rollout | null = null;
      let isAnalysed = true;
      let isPromoted = false;
      for (const [i, event] of log.events.entries()) {
        const next = applyEvent(state, event, BigInt(i + 1)) as Rollout;
        if (state !== null && next !== state) {
          expect(next.version).toBe(state.version + 1);
          expect(next.generation >= state.generation).toBe(true);
          const isOther = JSON.stringify(reachedDevices(next)) !== JSON.stringify(reachedDevices(state));
          if (isOther) expect(next.generation).toBeGreaterThan(state.generation); // G6
          if (next.weight > state.weight) {
            expect(isAnalysed || isPromoted || state.weight === 0).toBe(true); // G5
            [isAnalysed, isPromoted] = [false, false];
          }
          if (event.change.kind === "analysed" && event.change.verdict === "Successful") isAnalysed = true;
          if (event.change.kind === "retried") isAnalysed = true;
          if (event.change.kind === "promoted") isPromoted = true;
          if (next.phase === "Healthy") expect(next.weight).toBe(100);
        }
        state = next;
      }
    },
  );
});
