/** What is made of frames whose model ends, and of those whose time passes. The clock is the test's own, so no answer here depends on the machine. */
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { ladderDefaults } from "@tributary/driving";
import type { InferenceResult, LoadedModel } from "@tributary/inference";
import { type Clock, Failure } from "@tributary/kernel";
import { monotonicMs } from "../device-time.ts";
import { ModelKeeper } from "../model-keeper.ts";
import { bareRunner, type Runner, Slot, Slots } from "../slots.ts";
import { CameraWatch } from "./camera-watch.ts";
import { Driver, type LevelChange } from "./driver.ts";

const good = { ok: true, inference: { logits: new Float32Array([1, 2]) } } as unknown as InferenceResult;
const clock: Clock = { now: () => 0, monotonicMs: () => 0, sleep: async (_, signal) => signal?.throwIfAborted() };

/** Answers at once, or, while it `isBusy`, never; `kill` ends its process. */
class FakeModel {
  isBusy = false;
  #end: (code: number | null) => void = () => undefined;
  readonly exited = new Promise<number | null>((resolve) => {
    this.#end = resolve;
  });
  async infer(): Promise<InferenceResult> {
    if (!this.isBusy) return good;
    await this.exited;
    throw new Failure("model-host-exited", "retry", "gone");
  }
  kill(): void {
    this.#end(null);
  }
  async close(): Promise<void> {
    this.kill();
  }
}

/** While this process stalls, its clock goes on, and no timer runs. */
const stall = (ms: number) => {
  stalledUntilMs = monotonicMs() + ms;
};
let stalledUntilMs = 0;
/** The time that the timers run by: behind the clock, until what was due during a stall has run. */
let timersMs = (): number => 0;
const pass = (ms: number) => jest.advanceTimersByTimeAsync(monotonicMs() + ms - timersMs());

beforeEach(() => {
  jest.useFakeTimers();
  const { bigint } = process.hrtime;
  const { setTimeout: set } = globalThis;
  timersMs = () => Number(bigint()) / 1e6;
  stalledUntilMs = 0;
  process.hrtime.bigint = () => BigInt(Math.round(1e6 * Math.max(timersMs(), stalledUntilMs)));
  globalThis.setTimeout = ((run: () => void, ms = 0) => set(run, ms + monotonicMs() - timersMs())) as typeof set;
});

const loaded = (model: FakeModel) => model as unknown as LoadedModel;
const slotOf = (runner: Runner) =>
  new Slot({ manifest: {} } as unknown as Slot["pkg"], {} as Slot["policy"], runner, null);
/** Its successor is there long before half of the deadline. */
const keeperOf = (model: FakeModel) => {
  const load = async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return loaded(new FakeModel());
  };
  const events = { onLoaded: () => undefined, onLost: () => undefined };
  return new ModelKeeper(loaded(model), load, events, clock, () => 0);
};

const drivers: Driver[] = [];
afterEach(() => {
  for (const driver of drivers.splice(0)) driver.stop();
  jest.useRealTimers();
});

function world({
  deadlineMs = 600_000,
  label = { ageMsMax: 2_000, whenOlder: "unknown" },
  kind = "sheet",
  silentMs = 600_000,
} = {}) {
  const full = new FakeModel();
  const lite = new FakeModel();
  const missed: string[] = [];
  const changes: LevelChange[] = [];
  const slots: Slots = new Slots(slotOf(keeperOf(full)), () => queueMicrotask(() => slots.restore()));
  const { firm, heat } = ladderDefaults;
  const driving = {
    firm,
    heat,
    dwellMs: 60_000,
    recoverMs: 60_000,
    probeEveryMs: 60_000,
    frozenFrames: 0,
    silentMs,
    label,
  };
  const cameras = [{ id: "front", kind, fps: 10, deadlineMs }];
  const driver = new Driver({ cameras, driving } as unknown as ConstructorParameters<typeof Driver>[0], {
    slots,
    lite: slotOf(keeperOf(lite)),
    onChange: (change) => changes.push(change),
    watch: new CameraWatch([], () => undefined),
    onMissed: ({ cause }) => missed.push(cause),
    onStampRefused: () => undefined,
    onLoad: () => undefined,
  });
  drivers.push(driver);
  driver.start();
  const captured = () => ({ monotonicMs: driver.capturedAt("front", null) }) as never;
  const frame = () =>
    driver.infer({ cameraId: "front", jpeg: Buffer.from("a picture"), captured: captured(), stampMs: null });
  const refused = (code: string) => driver.refused({ cameraId: "front", captured: captured(), stampMs: null, code });
  return { full, lite, slots, driver, changes, missed, frame, refused };
}

describe("a driver", () => {
  test("lets LITE answer the frame of a model that is killed, and drives at LITE, though its successor is there soon", async () => {
    const { full, changes, frame } = world();
    expect(await frame()).toMatchObject({ level: "FULL" });
    full.isBusy = true;
    const answer = frame();
    full.kill();
    await pass(1);
    expect(await answer).toMatchObject({ level: "LITE" });
    expect(changes).toMatchObject([{ from: "FULL", to: "LITE", reason: "full-ended" }]);
  });

  test("does the same for a model that was on trial before", async () => {
    const { slots, changes, frame } = world();
    const trial = new FakeModel();
    const candidate = slotOf(bareRunner(loaded(trial)));
    slots.switchTo(candidate);
    expect(await frame()).toMatchObject({ slot: candidate, level: "FULL" });
    candidate.runner = keeperOf(trial);
    slots.commit();
    trial.isBusy = true;
    const answer = frame();
    trial.kill();
    await pass(1);
    expect(await answer).toMatchObject({ level: "LITE" });
    expect(changes).toMatchObject([{ from: "FULL", to: "LITE", reason: "full-ended" }]);
  });

  test("stays at FULL when a model on trial is killed, for the one before it answers", async () => {
    const { slots, driver, frame } = world();
    const committed = slots.active;
    const trial = new FakeModel();
    slots.switchTo(slotOf(bareRunner(loaded(trial))));
    await frame();
    trial.kill();
    await pass(20);
    expect(await frame()).toMatchObject({ slot: committed, level: "FULL" });
    expect(driver.level).toBe("FULL");
  });

  test("changes no level by models that are closed after it has stopped", async () => {
    const { slots, driver, changes, frame } = world();
    const trial = new FakeModel();
    slots.switchTo(slotOf(bareRunner(loaded(trial))));
    await frame();
    driver.stop();
    await trial.close();
    await pass(20);
    expect([driver.level, changes]).toEqual(["FULL", []]);
  });

  test("answers at once with the last label when no model can be asked, or the cloud's about a later frame; too old, neither is one", async () => {
    const { full, lite, driver, frame } = world({ label: { ageMsMax: 100, whenOlder: "unknown" } });
    const { slot } = await frame();
    driver.answered({ cameraId: "front", frameSeq: 1 });
    full.kill();
    lite.kill();
    await pass(1);
    const stale = await frame(); // The deadline is minutes away.
    expect(stale).toMatchObject({ slot, level: "STALE", missed: "no-model", repeated: { isTooOld: false } });
    await pass(1);
    driver.answered({ cameraId: "front", frameSeq: 2 });
    driver.cloudAnswered("front", { label: "of an earlier frame", confidence: 0.9, frameSeq: 1 });
    expect(driver.refused({ cameraId: "front", code: "x" } as never)).toMatchObject({ level: "STALE" });
    driver.cloudAnswered("front", { label: "cat", confidence: 0.9, frameSeq: 2 });
    expect(driver.refused({ cameraId: "front", code: "x" } as never)).toMatchObject({
      level: "CLOUD",
      replacement: { label: "cat" },
    });
    await pass(110);
    const old = driver.refused({ cameraId: "front", code: "x" } as never);
    expect(old).toMatchObject({ level: "STALE", repeated: { isTooOld: true } });
    expect(old).not.toHaveProperty("replacement");
  });

  test("answers frames that the camera cut, and signals SAFE with the second; where old labels are not safe, with the first", async () => {
    const { frame, refused, changes, driver } = world();
    await frame();
    expect(refused("camera-frame-broken")).toMatchObject({ level: "STALE", missed: "camera-frame-broken" });
    refused("camera-frame-broken");
    expect([driver.level, changes.at(-1)?.reason]).toEqual(["SAFE", "frame-refused"]);
    const strict = world({ label: { ageMsMax: 10, whenOlder: "safe" } });
    strict.refused("camera-frame-broken");
    expect([strict.driver.level, strict.driver.reason]).toEqual(["SAFE", "label-old"]);
  });

  test("counts frames that the camera lost during a stall and whose time is over only afterwards", async () => {
    const { driver, frame, missed } = world({ deadlineMs: 200 });
    for (let i = 0; i < 12; i++) {
      await frame();
      await pass(20);
    }
    missed.length = 0;
    stall(100);
    await pass(20);
    expect(missed).toEqual([]);
    await pass(200);
    expect(missed.length).toBeGreaterThanOrEqual(2);
    expect([driver.level, new Set(missed)]).toEqual(["SAFE", new Set(["agent-late"])]);
  });

  test("counts one that was lost though a newer one comes, and none that comes late", async () => {
    for (const isDelivered of [false, true]) {
      const { driver, frame, missed } = world({ deadlineMs: 100 });
      for (let i = 0; i < 12; i++) {
        if (i > 0) await pass(100);
        await frame();
      }
      missed.length = 0;
      await pass(20);
      stall(130); // The next frame is due meanwhile.
      if (isDelivered) driver.capturedAt("front", null);
      await pass(80);
      await frame();
      await pass(50);
      expect([isDelivered, missed]).toEqual([isDelivered, isDelivered ? [] : ["agent-late"]]);
    }
  });

  test("counts a frame that was dropped for a newer one, unless that is answered within its time", async () => {
    const { full, lite, driver, frame, missed } = world({ deadlineMs: 100 });
    const dropped = () =>
      driver.skipped({ cameraId: "front", captured: { monotonicMs: driver.capturedAt("front", null) } } as never);
    dropped();
    await frame();
    await pass(120);
    expect(missed).toEqual([]);
    full.isBusy = true;
    lite.isBusy = true;
    dropped();
    const stale = frame();
    await pass(120);
    expect(await stale).toMatchObject({ level: "STALE" });
    expect(missed).toHaveLength(2);
  });

  test("takes a camera's program that ends for silent, and a folder at its end not", async () => {
    for (const [kind, level] of [
      ["command", "SAFE"],
      ["folder", "FULL"],
    ] as const) {
      const { driver, frame } = world({ deadlineMs: 20, kind, silentMs: 10 });
      await frame();
      driver.cameraEnded("front");
      await pass(500);
      expect([kind, driver.level]).toEqual([kind, level]);
    }
  });

  test("counts frames that passed while this process did not run, and those it reads late, and signals SAFE as it runs again", async () => {
    const { driver, frame, missed } = world({ deadlineMs: 100 });
    for (let i = 0; i < 12; i++) {
      await frame();
      await pass(20);
    }
    missed.length = 0;
    stall(500);
    const late = await frame();
    expect(late).toMatchObject({ level: "STALE", missed: "agent-late" });
    await pass(20);
    expect(driver.level).toBe("SAFE");
    expect(missed.filter((cause) => cause === "agent-late").length).toBeGreaterThanOrEqual(10);
    expect(driver.load).toMatchObject({ isWithin: false, lateMsMax: expect.closeTo(20) });
    expect(driver.load.longestMs).toBeGreaterThan(400);
  });
});
