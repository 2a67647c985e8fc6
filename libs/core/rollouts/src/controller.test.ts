import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { FleetMetrics } from "./fleet-metrics/fleet-metrics.ts";
import {
  type Command,
  type DeviceState,
  type Rollout,
  type RolloutChange,
  RolloutController,
  rolloutSpec,
} from "./index.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const SLOT = "perception";
const NEW = "1b".repeat(32);
const OLD = "0a".repeat(32);
const DEVICES = Array.from({ length: 160 }, (_, i) => `d${i}`);
const created = (analysis: string, slot = SLOT): RolloutChange => ({
  kind: "created",
  spec: rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "edge" },
    spec: {
      model: "edge@2",
      slot,
      metrics: [{ name: "accuracy" }],
      strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration: analysis } }, { setWeight: 100 }] } },
    },
  }),
  modelDigest: NEW,
  stableDigest: OLD,
  order: DEVICES,
});
const stateOf = (more: Partial<DeviceState>): DeviceState => ({
  generation: 0n,
  modelDigest: OLD,
  goldenPassed: true,
  update: null,
  at: 0,
  ...more,
});

/** An instance alone: what it proposes is in the log at once. */
class Alone {
  readonly fleet = new FleetMetrics();
  readonly controller = new RolloutController(this.fleet, { lookEveryMs: MINUTE });
  #position = 0n;

  get rollout(): Rollout {
    return this.controller.rollout("r1") as Rollout;
  }

  add(at: number, change: RolloutChange, uid = "r1") {
    const version = (this.controller.rollout(uid)?.version ?? 0) + 1;
    this.#position += 1n;
    return this.controller.applied({ uid, version, at, by: "service", change }, this.#position).kind;
  }

  settle(now: number): void {
    for (let i = 0; i < 50; i++) {
      const [proposal] = this.controller.propose(now);
      if (proposal === undefined) return;
      expect(this.add(now, proposal.change)).toBe("counts");
    }
    throw new Error("it does not come to rest");
  }

  command(now: number, wanted: Command): void {
    this.add(now, this.controller.command("r1", wanted, "ann").change);
  }

  /** Devices follow their desired state, except those that refuse the model. */
  obey(now: number, refusing: ReadonlySet<string> = new Set(), first: ReadonlyMap<string, string> = new Map()): void {
    for (const deviceId of DEVICES) {
      const wanted = this.controller.devices.wanted(deviceId).get(SLOT);
      const { modelDigest = first.get(deviceId) ?? OLD, generation = 0n } = wanted ?? {};
      const refuses = refusing.has(deviceId) && modelDigest === OLD && generation > 0n;
      const update = {
        generation,
        modelDigest: OLD,
        phase: "REFUSED",
        code: "tuf-malformed",
        reason: "a proxy's page",
      };
      const runs = refuses ? { modelDigest: NEW, update } : { modelDigest };
      this.controller.devices.reported(deviceId, SLOT, stateOf({ generation, ...runs, at: now }));
    }
  }
}

describe("a rollback", () => {
  test("has an end where devices ran the model before the rollout reached them", () => {
    const one = new Alone();
    const lab = new Map(DEVICES.slice(150).map((deviceId) => [deviceId, NEW]));
    one.obey(0, new Set(), lab);
    one.add(0, created("1h"));
    one.settle(0);
    one.command(MINUTE, "abort");
    one.obey(2 * MINUTE, new Set(), lab);
    one.settle(2 * MINUTE);
    expect(one.rollout.aborted).toMatchObject({ isBack: true });
  });

  /** Rolled back, except for one device that refuses. */
  function refused(): Alone {
    const one = new Alone();
    one.obey(0);
    one.add(0, created("1h"));
    one.settle(0);
    one.controller.propose(5 * MINUTE);
    one.obey(5 * MINUTE);
    one.settle(5 * MINUTE);
    one.command(6 * MINUTE, "abort");
    one.obey(7 * MINUTE, new Set(["d0"]));
    return one;
  }

  test("a device that refuses it is sent newer generations, ever less often, until it follows one", () => {
    const one = refused();
    const sentAt: number[] = [];
    for (let now = 7 * MINUTE; now < 7 * HOUR; now += MINUTE) {
      const { generation } = one.rollout;
      one.settle(now);
      if (one.rollout.generation > generation) sentAt.push(now / MINUTE);
      one.obey(now, new Set(["d0"]));
    }
    expect(sentAt.map((at, i) => at - (sentAt[i - 1] ?? 6))).toEqual([5, 10, 20, 40, 60, 60, 60, 60, 60]);
    expect(one.rollout).toMatchObject({ phase: "Degraded", aborted: { why: "aborted by ann", isBack: false } });
    one.obey(8 * HOUR);
    one.settle(8 * HOUR);
    expect(one.rollout.aborted).toMatchObject({ isBack: true });
  });

  test("a person may leave a device on the model once it was sent a second generation, not sooner", () => {
    const one = refused();
    expect(() => one.command(8 * MINUTE, "abort")).toThrow(/nothing left to stop/);
    one.settle(12 * MINUTE);
    one.obey(12 * MINUTE, new Set(["d0"]));
    one.command(13 * MINUTE, "abort");
    // Nobody may read that no device runs the model: d0 does.
    expect(one.rollout.aborted).toMatchObject({ isBack: false, abandoned: { devices: 1, some: ["d0"] } });
    expect(one.rollout.phase).toBe("Degraded");
    expect(() => one.command(13 * MINUTE, "abort")).toThrow(/nothing left to stop/);
    expect(one.add(14 * MINUTE, created("1h"), "r2")).toBe("counts");
  });

  test("a second abort after which nobody runs the model is no abandoning, and what was left can be retried", () => {
    const back = refused();
    back.settle(12 * MINUTE);
    back.obey(12 * MINUTE);
    expect(back.controller.command("r1", "abort", "ann").change.kind).toBe("rolled-back");
    const left = refused();
    left.settle(12 * MINUTE);
    left.obey(12 * MINUTE, new Set(["d0"]));
    left.command(13 * MINUTE, "abort");
    left.command(14 * MINUTE, "retry");
    expect(left.rollout).toMatchObject({ phase: "Progressing", aborted: null });
  });
});

describe("what is compared", () => {
  /** Frames of every device from minute to minute, ten points worse on the new model. */
  function frames(one: Alone, random: () => number, from: number, to: number): void {
    for (let minute = from; minute < to; minute++) {
      for (const deviceId of DEVICES) {
        const digest = one.controller.devices.wanted(deviceId).get(SLOT)?.modelDigest ?? OLD;
        const runs = minute < INSTALLS_AT ? OLD : digest;
        let right = 0;
        for (let i = 0; i < 12; i++) if (random() < (runs === NEW ? 0.8 : 0.9)) right += 1;
        one.fleet.observe(deviceId, runs, "accuracy", right, 12, minute * MINUTE + 30_000);
      }
      one.controller.look((minute + 1) * MINUTE);
      if (one.rollout !== null) one.settle((minute + 1) * MINUTE);
    }
  }
  const STARTS_AT = 24 * 60;
  const INSTALLS_AT = STARTS_AT + 12 * 60;

  test.each(["silent", "person"])("is never the model before, counted while the canary was paused (%s)", (reason) => {
    const random = seededRandom(1);
    const one = new Alone();
    one.obey(0);
    frames(one, random, 0, STARTS_AT);
    one.add(STARTS_AT * MINUTE, created("6h"));
    one.settle(STARTS_AT * MINUTE);
    if (reason === "person") one.command((STARTS_AT + 0.2) * MINUTE, "pause");
    frames(one, random, STARTS_AT, INSTALLS_AT); // at night they are off, or nobody parks
    expect(one.rollout).toMatchObject({ phase: "Paused", pause: { reason } });
    one.obey(INSTALLS_AT * MINUTE);
    one.command(INSTALLS_AT * MINUTE, "resume");
    one.settle(INSTALLS_AT * MINUTE);
    one.controller.propose((INSTALLS_AT + 10) * MINUTE);
    one.obey((INSTALLS_AT + 10) * MINUTE);
    one.settle((INSTALLS_AT + 10) * MINUTE);
    const { alpha } = (one.controller.evidence("r1") as { metrics: { alpha: number }[] }).metrics[0] ?? {};
    expect(alpha).toBeCloseTo(0.8 * 0.02); // comparison.ts J2: a fifth was for the first devices, before and in the pause.
    frames(one, random, INSTALLS_AT + 10, INSTALLS_AT + 60);
    expect(one.rollout).toMatchObject({
      weight: 10,
      aborted: {
        why: expect.stringMatching(
          /^accuracy fell by \d+\.\d points \(-?\d+\.\d to \d+\.\d\) against the control(, found by the planned look at 3m)?$/,
        ),
      },
    });
  });
});

describe("while a part of the canary installs the model", () => {
  const STARTS_AT = 24 * 60;
  const shadowing = (generation: bigint) => ({
    generation,
    modelDigest: NEW,
    phase: "SHADOWING",
    code: "",
    reason: "",
  });

  /** From the start on, `arrived` devices of 16 run the model, the others shadow it. */
  function* minutes(random: () => number, arrived: number, accuracy: number, one = new Alone()) {
    const order = new Map(DEVICES.map((deviceId, i) => [deviceId, i]));
    one.obey(0);
    for (let minute = 0; minute < STARTS_AT + 120; minute++) {
      if (minute === STARTS_AT) one.add(minute * MINUTE, created("6h"));
      for (const deviceId of DEVICES) {
        const { modelDigest = OLD, generation = 0n } = one.controller.devices.wanted(deviceId).get(SLOT) ?? {};
        const runs = (order.get(deviceId) as number) < arrived ? modelDigest : OLD;
        const update = modelDigest === runs ? null : shadowing(generation);
        if (minute >= STARTS_AT)
          one.controller.devices.reported(deviceId, SLOT, stateOf({ generation, modelDigest: runs, update }));
        let right = 0;
        for (let i = 0; i < 12; i++) if (random() < (runs === NEW ? accuracy : 0.9)) right += 1;
        one.fleet.observe(deviceId, runs, "accuracy", right, 12, minute * MINUTE + 30_000);
      }
      one.controller.look((minute + 1) * MINUTE);
      if (minute >= STARTS_AT) one.settle((minute + 1) * MINUTE);
      yield { minute: minute - STARTS_AT, one };
    }
  }

  test("harm of the first devices that run it rolls it back, before the others have it", () => {
    for (let seed = 1; seed <= 5; seed++) {
      let last = new Alone();
      for (const { minute, one } of minutes(seededRandom(seed), 8, 0.6)) {
        last = one;
        if (minute >= 30 || (minute >= 0 && one.rollout.aborted !== null)) break;
      }
      expect([seed, last.rollout.aborted?.why]).toEqual([seed, expect.stringMatching(/^accuracy fell by/)]);
      expect(last.rollout.evidence).toMatchObject({ metrics: [{ alpha: expect.closeTo(0.002) }] });
    }
  });

  test.each([
    ["fewer than an arm needs", 7, 0.6],
    ["an equal model's", 12, 0.9],
  ])("nothing is concluded from %s, and nothing widens by it", (_, arrived, accuracy) => {
    for (const { minute, one } of minutes(seededRandom(1), arrived, accuracy)) {
      if (minute < 0) continue;
      expect(one.rollout).toMatchObject({ weight: 10, step: 0, aborted: null, analysis: "Pending" });
      expect([minute, one.rollout.phase]).toEqual([minute, minute <= 60 ? "Progressing" : "Paused"]);
      if (minute === 90) break;
    }
  });

  test("the devices that are not there yet are neither compared nor silent", () => {
    for (const { minute, one } of minutes(seededRandom(2), 12, 0.9)) {
      if (minute < 20) continue;
      expect(one.controller.evidence("r1")).toMatchObject({
        startedAtMs: (STARTS_AT + 3) * MINUTE,
        canary: { devices: 16, heard: 12, onModel: 12, silent: [] },
        metrics: [{ canary: { devices: 12 } }],
      });
      expect(one.controller.seen("r1", 0)).toMatchObject({ reached: 16, updated: 12, installing: 4 });
      break;
    }
  });

  test("an instance that folds the same again comes to the same looks", () => {
    const live: unknown[] = [];
    const again = new Alone();
    const events: [number, RolloutChange][] = [];
    const frames: Parameters<FleetMetrics["observe"]>[] = [];
    const one = new Alone();
    const observe = one.fleet.observe.bind(one.fleet);
    one.fleet.observe = (...args) => {
      frames.push(args);
      return observe(...args);
    };
    const add = one.add.bind(one);
    one.add = (at, change, uid) => {
      events.push([at, change]);
      return add(at, change, uid);
    };
    for (const { minute } of minutes(seededRandom(3), 12, 0.9, one)) {
      if (minute < 0) continue;
      live.push((one.controller.evidence("r1") as { looks?: unknown } | null)?.looks ?? null);
      if (minute === 30) break;
    }
    for (const [at, change] of events) again.add(at, change); // Events are read before the first frame.
    const looks: unknown[] = [];
    let next = 0;
    for (let minute = 0; minute <= STARTS_AT + 30; minute++) {
      for (; next < (minute + 1) * DEVICES.length; next++) again.fleet.observe(...(frames[next] as (typeof frames)[0]));
      again.controller.look((minute + 1) * MINUTE);
      if (minute >= STARTS_AT)
        looks.push((again.controller.evidence("r1") as { looks?: unknown } | null)?.looks ?? null);
    }
    expect(looks).toEqual(live);
    expect(live.at(-1)).not.toEqual([]);
  });
});

test("a device is of one rollout at a time, in whichever slot: it follows one generation", () => {
  const one = new Alone();
  expect(one.add(0, created("1h"))).toBe("counts");
  expect(one.add(1, created("1h", "world"), "r2")).toBe("conflicts");
});
