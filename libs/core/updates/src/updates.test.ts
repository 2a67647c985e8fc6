import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type Action,
  activePackage,
  bootOrder,
  bootUpdates,
  type Done,
  type DurableState,
  durableStateFromJson,
  durableStateToJson,
  emptyDurableState,
  type Input,
  longestClosedMinutes,
  type MaintenanceWindow,
  type PackageRef,
  type Retry,
  type Step,
  step,
  stopped,
  type Updates,
  updateStatusOf,
  type Wanted,
} from "./index.ts";
import { judgeProbation } from "./probation.ts";
import { isOpen, weekdays } from "./windows.ts";

const packageOf = (letter: string): PackageRef => ({ digest: letter.repeat(64), name: "m", version: letter });
const [factory, A, B, C] = ["f", "a", "b", "c"].map(packageOf) as [PackageRef, PackageRef, PackageRef, PackageRef];
const wantedOf = (ref: PackageRef, more: Partial<Wanted> = {}): Wanted => ({
  ...ref,
  shadowFrames: 0,
  probationFrames: 3,
  condition: "ANY",
  windows: [],
  ...more,
});
const ok: Done = { ok: true };
const failed = (code: string, retry: Retry = "never"): Done => ({ ok: false, code, reason: `because ${code}`, retry });

/** A device by hand: each action must be ended before the next may start, and the disk has the last durable state that was
 * written. */
class Device {
  state: Updates;
  action: Action | null = null;
  disk: DurableState;
  calledOff = 0;
  /** What really answers frames, and what really is proved on this device since it was loaded. */
  running: PackageRef;
  proved: PackageRef | null = null;
  readonly fetched = new Set<string>();
  readonly #random: Random;

  constructor(
    random: Random,
    disk: DurableState = emptyDurableState,
    broken: readonly string[] = [],
    fetched: Iterable<string> = [],
    onlyParked = false,
  ) {
    this.#random = random;
    this.disk = disk;
    this.fetched = new Set(fetched);
    this.running = bootOrder(disk).find((ref) => ref === null || !broken.includes(ref.digest)) ?? factory;
    const first = bootUpdates({ durable: disk, factory, running: this.running.digest, onlyParked });
    this.state = first.state;
    this.#take(first);
  }

  send(input: Input): void {
    this.#take(step(this.state, input, this.#random));
  }

  want(generation: number, wanted: Wanted | null): void {
    this.send({ kind: "desired", desired: { generation: BigInt(generation), wanted } });
  }

  end(done: Done = ok, isWritten = true): void {
    const { action } = this;
    if (action === null) throw new Error("no action is running");
    if (isWritten) this.disk = action.durable; // machine.ts U6
    if (action.kind === "fetch" && done.ok) this.fetched.add(action.wanted.digest);
    if (action.kind === "prove") this.proved = done.ok ? action.wanted : null;
    if (action.kind === "shadow" && !done.ok) this.proved = null;
    if (action.kind === "unload") this.proved = null;
    if (action.kind === "switch" && done.ok) this.running = action.wanted;
    if (action.kind === "switch") this.proved = null;
    if (action.kind === "restore") this.running = action.durable.good ?? factory;
    this.action = null;
    this.send({ kind: "done", done });
  }

  #take({ state, next, callOff }: Step): void {
    this.state = state;
    if (callOff) this.calledOff += 1;
    if (next === null) return;
    expect(this.action).toBeNull(); // machine.ts U1
    this.action = next;
    const known = (digest: string) => digest === factory.digest || this.fetched.has(digest);
    if (next.kind === "prove") {
      expect(known(next.wanted.digest)).toBe(true); // machine.ts U2
      expect(this.proved).toBeNull();
    }
    if (next.kind === "shadow") expect(this.proved?.digest).toBe(next.wanted.digest);
    if (next.kind === "switch") expect(this.proved?.digest).toBe(next.wanted.digest); // machine.ts U2
    if (next.kind === "commit") expect(this.running.digest).toBe((next.durable.good ?? factory).digest);
  }

  get status() {
    return updateStatusOf(this.state, "DOWNLOADING");
  }

  /** All goes well until no action is running. */
  settle(): void {
    for (let i = 0; i < 1_000; i++) {
      if (this.action !== null) this.end();
      else if (this.state.stage.kind === "probation") this.send({ kind: "answered", isSlow: false });
      else if (this.state.stage.kind === "holding")
        this.send({ kind: "conditions", met: { idle: true, parked: true, time: 0 } });
      else return;
    }
    throw new Error(`no end: ${this.state.stage.kind}`);
  }
}

const device = () => new Device(seededRandom(1));
const kinds = (one: Device, until: (action: Action) => boolean = () => false): string[] => {
  const seen: string[] = [];
  while (one.action !== null && !until(one.action)) {
    seen.push(one.action.kind);
    one.end();
  }
  return seen;
};

describe("an update that goes well", () => {
  test("fetch, prove, shadow, switch, probation, commit; each is reported", () => {
    const one = device();
    one.want(7, wantedOf(A, { shadowFrames: 5 }));
    expect(one.status).toMatchObject({ generation: 7n, phase: "DOWNLOADING", modelDigest: A.digest });
    expect(kinds(one)).toEqual(["fetch", "prove", "shadow", "switch"]);
    expect(one.status?.phase).toBe("PROBATION");
    expect(one.disk.trial?.digest).toBe(A.digest);
    for (let i = 0; i < 3; i++) one.send({ kind: "answered", isSlow: i === 0 });
    expect(kinds(one)).toEqual(["commit"]);
    expect(one.status).toMatchObject({ phase: "COMMITTED", code: "" });
    expect(one.disk).toMatchObject({ good: A, previous: null, trial: null });
  });

  test("what is active already is committed at once, and needs no registry", () => {
    const one = device();
    one.want(7, wantedOf(factory));
    expect(kinds(one)).toEqual(["save"]);
    expect(one.status?.phase).toBe("COMMITTED");
  });

  test("reverting to the factory's package needs no registry either, but is proved", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.settle();
    one.want(8, wantedOf(factory));
    expect(kinds(one)).toEqual(["prove", "switch"]);
    one.settle();
    expect(one.disk).toMatchObject({ good: null, previous: A });
  });

  test("a condition holds the switch up, not the shadow, and nothing stays loaded meanwhile", () => {
    const one = device();
    one.want(7, wantedOf(A, { condition: "PARKED", shadowFrames: 2 }));
    expect(kinds(one)).toEqual(["fetch", "prove", "shadow", "unload"]);
    expect(one.status).toMatchObject({ phase: "WAITING", code: "condition-parked" });
    expect(one.disk.trials).toBe(0);
    one.send({ kind: "conditions", met: { idle: true, parked: false, time: null } });
    expect(one.action).toBeNull();
    one.send({ kind: "conditions", met: { idle: false, parked: true, time: null } });
    expect(kinds(one)).toEqual(["prove", "switch"]);
  });
});

describe("maintenance windows", () => {
  // 2026-11-25 is a Wednesday; Berlin is an hour ahead of UTC then.
  const at = (time: string) => Date.parse(`2026-11-${time}Z`);
  const night: MaintenanceWindow = { days: ["WED"], fromMinute: 22 * 60, toMinute: 5 * 60, timeZone: "Europe/Berlin" };

  test("the switch waits until one opens, by a clock that can be trusted", () => {
    const one = device();
    const report = (time: number | null) => one.send({ kind: "conditions", met: { idle: false, parked: false, time } });
    one.want(7, wantedOf(A, { windows: [night] }));
    expect(kinds(one)).toEqual(["fetch", "prove", "unload"]);
    expect(one.status).toMatchObject({ phase: "WAITING", code: "condition-clock" });
    report(at("25T20:59:00"));
    expect(one.status).toMatchObject({ phase: "WAITING", code: "condition-window" });
    report(at("25T21:00:00"));
    expect(kinds(one)).toEqual(["prove", "switch"]);
  });

  test("reverting waits for none", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.settle();
    one.want(8, wantedOf(factory));
    expect(kinds(one)).toEqual(["prove", "switch"]);
  });

  test.each([
    ["before it", "25T20:59:59", false],
    ["at its beginning", "25T21:00:00", true],
    ["past midnight", "26T03:59:59", true],
    ["at its end", "26T04:00:00", false],
    ["a night that is not its own", "26T21:30:00", false],
    ["the morning of its day", "25T03:00:00", false],
  ])("%s", (_, time, open) => {
    expect(isOpen([night], at(time))).toBe(open);
  });

  test("any of several is enough; none at all is always", () => {
    const noon: MaintenanceWindow = { days: ["THU"], fromMinute: 720, toMinute: 780, timeZone: "UTC" };
    expect(isOpen([night, noon], at("26T12:30:00"))).toBe(true);
    expect(isOpen([], at("26T12:30:00"))).toBe(true);
  });

  test("the longest that they are closed, over the end of the week too", () => {
    const daily = [...weekdays];
    expect(longestClosedMinutes([])).toBe(0);
    expect(longestClosedMinutes([{ days: daily, fromMinute: 60, toMinute: 300 }])).toBe(20 * 60);
    expect(longestClosedMinutes([{ days: daily, fromMinute: 0, toMinute: 0 }])).toBe(0);
    expect(longestClosedMinutes([night])).toBe(7 * 1_440 - 7 * 60);
  });

  test("the durable state keeps them, and one from before there were any has none", () => {
    const one = device();
    one.want(7, wantedOf(A, { windows: [night] }));
    const json = JSON.parse(JSON.stringify(durableStateToJson(one.state.durable)));
    expect(durableStateFromJson(json)).toEqual(one.state.durable);
    delete json.wanted.windows;
    expect(durableStateFromJson(json)?.wanted).toMatchObject({ windows: [] });
    json.wanted.windows = [{ ...night, timeZone: "Mars/Olympus" }];
    expect(durableStateFromJson(json)).toBeUndefined();
  });
});

describe("an update that fails", () => {
  test.each(["fetch", "prove", "shadow", "switch"])(
    "machine.ts U4: at %s it is refused, once for the generation",
    (kind) => {
      const one = device();
      one.want(7, wantedOf(A, { shadowFrames: 5 }));
      kinds(one, (action) => action.kind === kind);
      one.end(failed("package-digest-mismatch"));
      one.settle();
      expect(one.status).toMatchObject({ phase: "REFUSED", code: "package-digest-mismatch" });
      expect([one.running, one.disk.trial, one.disk.good]).toEqual([factory, null, null]);
      one.want(7, wantedOf(A));
      expect(one.action).toBeNull();
      const again = new Device(seededRandom(2), one.disk);
      expect(again.action).toBeNull();
      expect(again.status?.phase).toBe("REFUSED");
    },
  );

  test("machine.ts U4: what the network may repair is tried again, growing slower, and not indefinitely", () => {
    const one = device();
    one.want(7, wantedOf(A));
    const waits: number[] = [];
    for (let i = 0; i < 500 && one.state.durable.outcome === null; i++) {
      if (one.action?.kind === "wait") {
        expect(one.status).toMatchObject({ phase: "WAITING", code: "registry-unreachable" });
        waits.push(one.action.ms);
        one.end();
      } else one.end(failed("registry-unreachable", "many"));
    }
    expect(waits.length).toBe(99);
    expect(Math.max(...waits)).toBeLessThanOrEqual(300_000);
    expect(one.status).toMatchObject({ phase: "REFUSED", code: "registry-unreachable" });
  });

  test("machine.ts U4: what is tried again a few times is, however often the network was away before", () => {
    const one = device();
    one.want(7, wantedOf(A));
    for (let i = 0; i < 10; i++) {
      one.end(failed("registry-unreachable", "many"));
      one.end();
    }
    one.end();
    one.end(failed("model-crashed", "few"));
    expect(one.status).toMatchObject({ phase: "WAITING", code: "model-crashed" });
    one.settle();
    expect(one.status?.phase).toBe("COMMITTED");
  });

  test("machine.ts U4: a crash in probation reverts the device by itself, and reports why", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.settle();
    one.want(8, wantedOf(B));
    kinds(one);
    one.send({ kind: "failing", code: "model-crashed", reason: "ended with 139" });
    expect(kinds(one)).toEqual(["restore"]);
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "model-crashed", reason: "ended with 139" });
    expect([one.running, one.disk.trial, one.disk.good?.digest]).toEqual([A, null, A.digest]);
  });

  test("machine.ts U4: too slow in probation is judged as soon as it is certain", () => {
    const one = device();
    one.want(7, wantedOf(A, { probationFrames: 10 }));
    kinds(one);
    for (let i = 0; i < 6; i++) one.send({ kind: "answered", isSlow: true });
    expect(one.action?.kind).toBe("restore");
    one.settle();
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "model-too-slow" });
    expect(judgeProbation({ answered: 10, slow: 5 }, 10)).toBe("passed");
    expect(judgeProbation({ answered: 0, slow: 0 }, 0)).toBe("passed");
  });

  const atCommit = (): Device => {
    const one = device();
    one.want(7, wantedOf(C));
    one.settle();
    one.want(8, wantedOf(A));
    one.settle();
    one.want(9, wantedOf(B));
    kinds(one);
    for (let i = 0; i < 3; i++) one.send({ kind: "answered", isSlow: false });
    expect(one.action?.kind).toBe("commit");
    return one;
  };
  const diskFull = failed("slots-unwritable", "many");

  test("machine.ts U4: a commit that cannot be written is tried again after another probation, and not indefinitely", () => {
    const one = atCommit();
    one.end(diskFull, false);
    expect(one.status).toMatchObject({ phase: "WAITING", code: "slots-unwritable" });
    expect(one.running).toMatchObject(B);
    one.settle();
    expect(one.disk).toMatchObject({ good: B, previous: A, outcome: { phase: "COMMITTED" } });

    const never = atCommit();
    while (never.action?.kind !== "restore") {
      if (never.state.stage.kind === "probation") never.send({ kind: "answered", isSlow: false });
      else if (never.action?.kind === "commit") never.end(diskFull, false);
      else never.end();
    }
    never.settle();
    expect(never.status).toMatchObject({ phase: "REVERTED", code: "slots-unwritable" });
    expect(never.disk).toMatchObject({ good: A, previous: C, trial: null });
    expect(never.running).toMatchObject(A);
  });

  test("a commit that cannot be written while a newer one is wanted has taken nothing over", () => {
    const same = atCommit();
    same.want(10, wantedOf(B, { probationFrames: 5 }));
    same.end(diskFull, false);
    expect([same.action?.kind, same.status?.phase]).toEqual(["save", "WAITING"]);
    same.end();
    expect(same.status?.phase).toBe("PROBATION");
    same.settle();
    expect(same.disk).toMatchObject({ good: B, previous: A });

    const other = atCommit();
    other.want(10, wantedOf(factory));
    other.end(diskFull, false);
    expect(kinds(other)).toEqual(["restore", "prove", "switch"]);
    other.settle();
    expect(other.disk).toMatchObject({ good: null, previous: A });
  });

  test("a model that was active here is not held up by how slow the active one makes it; a new one is", () => {
    const one = atCommit();
    one.settle();
    const speeds = [wantedOf(C), wantedOf(A)].map((wanted, i) => {
      one.want(10 + i, wanted);
      kinds(one, ({ kind }) => kind === "prove");
      const { action } = one;
      one.settle();
      return action?.kind === "prove" && action.wasActive;
    });
    // Before the second, B is the one before C.
    expect(speeds).toEqual([false, false]);
    one.want(12, wantedOf(C));
    kinds(one, ({ kind }) => kind === "prove");
    expect(one.action).toMatchObject({ kind: "prove", wasActive: true });
  });

  test("a condition that this agent does not know is refused", () => {
    const one = device();
    one.want(7, wantedOf(A, { condition: "UNKNOWN" }));
    one.settle();
    expect(one.status).toMatchObject({ phase: "REFUSED", code: "condition-unknown" });
  });
});

describe("generations", () => {
  test("machine.ts U3: a lower one is ignored, also after a restart; an equal one changes nothing", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.settle();
    one.want(6, wantedOf(B));
    one.want(7, wantedOf(B));
    expect(one.action).toBeNull();
    const again = new Device(seededRandom(2), one.disk, [], one.fetched);
    again.want(6, wantedOf(B));
    expect([again.action, again.running.digest]).toEqual([null, A.digest]);
  });

  test("a newer one calls off the running action, and only then continues", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.want(8, wantedOf(B));
    expect([one.calledOff, one.action?.kind]).toEqual([1, "fetch"]);
    one.end(failed("called-off", "many"));
    expect(one.action).toMatchObject({ kind: "fetch", wanted: { digest: B.digest } });
    one.settle();
    expect(one.disk.good?.digest).toBe(B.digest);
  });

  test("a newer one in probation: the same package restarts its probation, another is preceded by a revert", () => {
    const one = device();
    one.want(7, wantedOf(A));
    kinds(one);
    one.want(8, wantedOf(A, { probationFrames: 1 }));
    expect(kinds(one)).toEqual(["save"]);
    one.want(9, wantedOf(B));
    expect(kinds(one)).toEqual(["restore", "fetch", "prove", "switch"]);
    one.want(10, wantedOf(factory));
    expect(kinds(one)).toEqual(["restore", "save"]);
    expect(one.status).toMatchObject({ generation: 10n, phase: "COMMITTED" });
  });

  test("a slot that is not named stays as it is, and the generation is kept", () => {
    const one = device();
    one.want(7, wantedOf(A));
    one.settle();
    one.want(9, null);
    one.settle();
    expect([one.disk.generation, one.running.digest]).toEqual([9n, A.digest]);
    one.want(8, wantedOf(B));
    expect(one.action).toBeNull();
  });
});

describe("machine.ts U8: in a slot that changes only while the device is parked", () => {
  const start = (
    disk: DurableState = emptyDurableState,
    fetched: Iterable<string> = [],
    broken: readonly string[] = [],
  ) => new Device(seededRandom(1), disk, broken, fetched, true);
  const park = (one: Device, parked: boolean) =>
    one.send({ kind: "conditions", met: { idle: false, parked, time: null } });
  /** On trial, and driving again. */
  const onTrial = (ref: PackageRef): Device => {
    const one = start();
    one.want(7, wantedOf(ref));
    park(one, true);
    kinds(one);
    park(one, false);
    expect([one.running.digest, one.status?.phase]).toEqual([ref.digest, "PROBATION"]);
    return one;
  };

  test("a switch waits for that and nothing else, whatever the desired state requires", () => {
    for (const condition of ["ANY", "IDLE", "PARKED", "UNKNOWN"] as const) {
      const one = start();
      one.want(7, wantedOf(A, { condition }));
      expect([condition, ...kinds(one)]).toEqual([condition, "fetch", "prove", "unload"]);
      expect(one.status).toMatchObject({ phase: "WAITING", code: "condition-parked" });
      park(one, true);
      expect([condition, ...kinds(one)]).toEqual([condition, "prove", "switch"]);
    }
  });

  test("a trial goes on answering while another one, or the one before it, is wanted", () => {
    for (const [next, after] of [
      [B, ["restore", "fetch", "prove", "switch"]],
      [factory, ["restore", "save"]],
    ] as const) {
      const one = onTrial(A);
      one.want(8, wantedOf(next));
      expect(kinds(one)).toEqual(["save"]);
      expect([one.running, one.disk.generation]).toEqual([wantedOf(A), 8n]);
      expect(one.status).toMatchObject({ generation: 8n, phase: "WAITING", code: "condition-parked" });
      park(one, true);
      expect(kinds(one)).toEqual(after);
    }
  });

  test("the same one wanted again restarts its probation, also after another one was wanted meanwhile", () => {
    const one = onTrial(A);
    one.want(8, wantedOf(B));
    kinds(one);
    one.want(9, wantedOf(A));
    expect(kinds(one)).toEqual(["save"]);
    expect([one.running.digest, one.status?.phase]).toEqual([A.digest, "PROBATION"]);
  });

  test("one that fails its trial is reported at once, and reverted once parked", () => {
    const one = onTrial(A);
    one.send({ kind: "failing", code: "world-worse", reason: "by 3 nats" });
    expect(kinds(one)).toEqual(["save"]);
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "world-worse" });
    expect([one.running.digest, one.disk.trial, one.disk.outcome?.phase]).toEqual([A.digest, A, "REVERTED"]);
    park(one, true);
    expect(kinds(one)).toEqual(["restore"]);
    expect([one.running, one.disk.trial]).toEqual([factory, null]);
  });

  test("a trial that a restart ends has no successor before the device is parked, however often it restarts", () => {
    let one = onTrial(A);
    for (let boots = 0; boots < 3; boots++) {
      one = start(one.disk, one.fetched);
      kinds(one);
      expect([one.state.isInterrupted, one.status?.code]).toEqual([true, "condition-parked"]);
      expect(stopped(one.state)).toBeNull();
    }
    one.want(8, wantedOf(A));
    kinds(one);
    expect(one.state.isInterrupted).toBe(true);
    park(one, true);
    expect(kinds(one)).toEqual(["restore", "fetch", "prove", "switch"]);
    expect(one.state.isInterrupted).toBe(false);
  });

  test("nor has a committed one that the disk lost", () => {
    const before = start();
    before.want(7, wantedOf(A));
    before.settle();
    let one = start(before.disk, [], [A.digest]);
    kinds(one);
    one = start(one.disk, [], [A.digest]);
    kinds(one);
    expect([one.state.isInterrupted, one.running]).toEqual([true, factory]);
    park(one, true);
    expect(kinds(one)).toEqual(["restore", "fetch", "prove", "switch"]);
    one.settle();
    expect(one.running.digest).toBe(A.digest);
  });

  test("the factory's, committed again, answers after a restart, not the one before it", () => {
    const before = start();
    before.want(7, wantedOf(A));
    before.settle();
    before.want(8, wantedOf(factory));
    before.settle();
    expect(before.disk).toMatchObject({ good: null, previous: A });
    expect(start(before.disk, before.fetched).running).toEqual(factory);
  });

  test("a committed one answers at once after a restart", () => {
    const before = start();
    before.want(7, wantedOf(A));
    before.settle();
    const one = start(before.disk, before.fetched);
    expect([one.action, one.state.isInterrupted, one.running]).toEqual([null, false, before.disk.good]);
  });
});

describe("G7: ended at any point", () => {
  test("a trial is not trusted after a restart; it is tried again, but not indefinitely", () => {
    const random = seededRandom(3);
    let one = new Device(random);
    one.want(7, wantedOf(A));
    kinds(one);
    for (let boots = 0; boots < 4; boots++) {
      one = new Device(random, one.disk, [], one.fetched);
      expect(one.running).toEqual(factory);
      expect(kinds(one)).toEqual(["fetch", "prove", "switch"]);
    }
    one = new Device(random, one.disk, [], one.fetched);
    one.settle();
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "update-interrupted" });
    expect(one.running).toEqual(factory);
  });

  const dies = (one: Device, random: Random): Device => new Device(random, one.disk, [], one.fetched);

  test("machine.ts U5: nor indefinitely while it waits for the device to be parked", () => {
    const random = seededRandom(3);
    let one = new Device(random);
    one.want(7, wantedOf(A, { condition: "PARKED" }));
    let boots = 0;
    for (; boots < 50 && one.state.durable.outcome === null; boots++) {
      kinds(one);
      if (one.state.stage.kind === "holding") {
        one.send({ kind: "conditions", met: { idle: false, parked: true, time: null } });
      }
      kinds(one);
      if (one.state.stage.kind === "probation") one = dies(one, random);
    }
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "update-interrupted" });
    expect(boots).toBeLessThanOrEqual(6);
  });

  test("machine.ts U5: a try that ends by itself between two that take the device down makes nobody forget them", () => {
    const random = seededRandom(3);
    let one = new Device(random);
    one.want(7, wantedOf(A));
    let boots = 0;
    for (; boots < 50; boots++) {
      kinds(one, ({ kind }) => kind === "prove");
      if (one.action?.kind !== "prove") break;
      one.end(failed("memory-short", "many"));
      kinds(one);
      one = dies(one, random);
    }
    expect(one.status).toMatchObject({ phase: "REVERTED", code: "update-interrupted" });
    expect(boots).toBe(5);
  });

  test("machine.ts U5: a graceful stop does not count as a crash, however often, in a proof, a shadow and a probation", () => {
    const random = seededRandom(3);
    for (const at of ["prove", "shadow", "switch", "probation"]) {
      let one = new Device(random);
      one.want(7, wantedOf(A, { shadowFrames: 5 }));
      for (let boots = 0; boots < 20; boots++) {
        kinds(one, ({ kind }) => kind === at);
        const { action, state } = one;
        expect(at === "probation" ? state.stage.kind : action?.kind).toBe(at);
        if (action !== null) one.disk = action.durable;
        one.disk = stopped(one.state) ?? one.disk;
        one = dies(one, random);
      }
      one.settle();
      expect(one.status?.phase).toBe("COMMITTED");
      expect(stopped(one.state)).toBeNull();
    }
  });

  test("what was committed and could not be loaded once is active again, also after a later one was refused", () => {
    const random = seededRandom(3);
    let one = new Device(random);
    one.want(7, wantedOf(A));
    one.settle();
    one.want(8, wantedOf(B));
    one.end(failed("package-unlisted"));
    one.settle();
    expect([one.running.digest, one.status?.phase]).toEqual([A.digest, "REFUSED"]);
    one = new Device(random, one.disk, [A.digest], one.fetched);
    expect(one.running).toEqual(factory);
    one.settle();
    expect(one.running.digest).toBe(A.digest);
    expect(one.status).toMatchObject({ generation: 8n, modelDigest: A.digest, phase: "COMMITTED" });
  });

  test("another package of the factory's than the one that was committed is not reported as it", () => {
    const one = device();
    one.want(7, wantedOf(factory));
    one.settle();
    const { state, next } = bootUpdates({ durable: one.disk, factory: C, running: C.digest });
    expect(next).toMatchObject({ kind: "fetch", wanted: { digest: factory.digest } });
    expect(updateStatusOf(state, "DOWNLOADING")?.phase).toBe("DOWNLOADING");
  });

  test("what is corrupted on the disk is replaced by the one before it, and fetched again", () => {
    const random = seededRandom(4);
    let one = new Device(random);
    one.want(7, wantedOf(A));
    one.settle();
    one.want(8, wantedOf(B));
    one.settle();
    one = new Device(random, one.disk, [B.digest], []);
    expect(one.running.digest).toBe(A.digest);
    expect(kinds(one)).toEqual(["fetch", "prove", "switch"]);
    one.settle();
    expect(one.disk).toMatchObject({ good: B, previous: A, outcome: { phase: "COMMITTED" } });
    one = new Device(random, one.disk, [A.digest, B.digest], []);
    expect(one.running).toEqual(factory);
    one.settle();
    expect(one.disk).toMatchObject({ good: B, previous: null });
  });

  test("over seeds: whatever happens, one action at a time, nothing unproved active, and always an end", () => {
    const packages = [factory, A, B, C];
    const codes = ["package-digest-mismatch", "registry-unreachable", "model-too-slow", "slots-unwritable"];
    for (let seed = 0; seed < 500; seed++) {
      const random = seededRandom(seed);
      const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
      let one = new Device(random);
      let generation = 0;
      for (let i = 0; i < 60; i++) {
        const seenBefore = one.state.durable.generation;
        const roll = random();
        if (roll < 0.15) {
          generation = Math.max(1, generation + Math.floor(random() * 4) - 1);
          const condition = pick(["ANY", "ANY", "IDLE", "PARKED", "UNKNOWN"] as const);
          const more = { shadowFrames: pick([0, 4]), probationFrames: pick([0, 1, 5]), condition };
          one.want(generation, random() < 0.1 ? null : wantedOf(pick(packages), more));
        } else if (roll < 0.6 && one.action !== null) {
          one.end(random() < 0.7 ? ok : failed(pick(codes), pick(["never", "few", "many"])), random() < 0.9);
        } else if (roll < 0.8) one.send({ kind: "answered", isSlow: random() < 0.3 });
        else if (roll < 0.86) one.send({ kind: "failing", code: "model-crashed", reason: "it ended" });
        else if (roll < 0.92) {
          one.send({ kind: "conditions", met: { idle: random() < 0.5, parked: random() < 0.5, time: null } });
        } else if (roll < 0.96) {
          // Killed: the durable state may be the action's or the one before it.
          const disk = one.action !== null && random() < 0.5 ? one.action.durable : one.disk;
          const broken = random() < 0.2 ? [pick(packages).digest] : [];
          const fetched = [...one.fetched].filter((digest) => !broken.includes(digest));
          const good = disk.good?.digest;
          one = new Device(
            random,
            durableStateFromJson(JSON.parse(JSON.stringify(durableStateToJson(disk)))) as DurableState,
            broken,
            fetched,
          );
          if (good !== undefined && !broken.includes(good)) expect(one.running.digest).toBe(good);
          continue;
        }
        expect(one.state.durable.generation).toBeGreaterThanOrEqual(seenBefore); // machine.ts U3
        // Only the committed package and one that was proved here answer frames.
        if (one.action === null)
          expect([seed, i, one.running.digest]).toEqual([seed, i, activePackage(one.state).digest]);
        if (one.action === null && one.state.stage.kind === "rest" && one.state.durable.wanted !== null) {
          expect(one.state.durable.outcome).not.toBeNull();
        }
      }
      one.settle();
      const { wanted, outcome } = one.state.durable;
      if (wanted !== null) expect([seed, outcome === null]).toEqual([seed, false]);
      if (outcome?.phase === "COMMITTED" && wanted !== null) {
        expect([seed, one.running.digest]).toEqual([seed, wanted.digest]);
      }
      expect(one.state.durable.trial).toBeNull();
      expect(one.proved).toBeNull();
    }
  });
});

test("a durable state is read back, and what is none is refused", () => {
  const durable: DurableState = {
    ...emptyDurableState,
    generation: 2n ** 60n,
    wanted: wantedOf(A),
    good: A,
    trials: 2,
  };
  const json = JSON.parse(JSON.stringify(durableStateToJson(durable)));
  expect(durableStateFromJson(json)).toEqual(durable);
  for (const wrong of [null, 3, {}, { ...json, good: 7 }, { ...json, wanted: { ...json.wanted, digest: "../x" } }]) {
    expect(durableStateFromJson(wrong)).toBeUndefined();
  }
});
