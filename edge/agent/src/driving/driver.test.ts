/** A model's process that ends while a frame waits for its answer. Deadlines are far away, so no answer here is due to one. */
import { afterEach, describe, expect, test } from "@jest/globals";
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

const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
const loaded = (model: FakeModel) => model as unknown as LoadedModel;
const slotOf = (runner: Runner) =>
  new Slot({ manifest: {} } as unknown as Slot["pkg"], {} as Slot["policy"], runner, null);
/** Its successor is there long before half of the deadline. */
const keeperOf = (model: FakeModel) => {
  const load = async () => {
    await soon();
    return loaded(new FakeModel());
  };
  const events = { onLoaded: () => undefined, onLost: () => undefined };
  return new ModelKeeper(loaded(model), load, events, clock, () => 0);
};

const drivers: Driver[] = [];
afterEach(() => {
  for (const driver of drivers.splice(0)) driver.stop();
});

function world() {
  const full = new FakeModel();
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
    silentMs: 600_000,
  };
  const cameras = [{ id: "front", kind: "sheet", fps: 10, deadlineMs: 600_000 }];
  const driver = new Driver({ cameras, driving } as unknown as ConstructorParameters<typeof Driver>[0], {
    slots,
    lite: slotOf(keeperOf(new FakeModel())),
    onChange: (change) => changes.push(change),
    watch: new CameraWatch([], () => undefined),
    onMissed: () => undefined,
  });
  drivers.push(driver);
  driver.start();
  const captured = { monotonicMs: monotonicMs() } as never;
  const frame = () => driver.infer({ cameraId: "front", jpeg: Buffer.from("a picture"), captured });
  return { full, slots, driver, changes, frame };
}

describe("a driver", () => {
  test("lets LITE answer the frame of a model that is killed, and drives at LITE, though its successor is there soon", async () => {
    const { full, changes, frame } = world();
    expect(await frame()).toMatchObject({ level: "FULL" });
    full.isBusy = true;
    const answer = frame();
    full.kill();
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
    await soon();
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
    await soon();
    expect([driver.level, changes]).toEqual(["FULL", []]);
  });
});
