/** The updater with its slots, over seeds: in whatever order operations end, no process is left, and the right model answers. */
import { describe, expect, test } from "@jest/globals";
import { DeviceDesired } from "@tributary/contracts";
import type { Inference, InferenceResult, LoadedModel } from "@tributary/inference";
import { type Clock, Failure, seededRandom } from "@tributary/kernel";
import { type Done, type DurableState, emptyDurableState, type UpdateStatus, updateLimits } from "@tributary/updates";
import type { LocalAnswer } from "../pipeline.ts";
import { bareRunner, Slot, Slots } from "../slots.ts";
import { ModelTrial } from "./model-trial.ts";
import type { Candidate } from "./prove.ts";
import { Updater } from "./updater.ts";

const digestOf = (letter: string) => letter.repeat(64);
const FACTORY = { digest: digestOf("f"), name: "m", version: "f" };
const inference = { logits: new Float32Array([1, 2]), timingsMs: { preprocess: 1, run: 1 } } as unknown as Inference;
const good: InferenceResult = { ok: true, inference };
const hollow = { ok: true, inference: { ...inference, logits: new Float32Array([Number.NaN]) } } as InferenceResult;
const turns = async (count = 3) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Models that are loaded, and everything that is under way; the test decides what ends next. */
class World {
  readonly open = new Set<FakeModel>();
  readonly waiting: { readonly what: string; readonly end: (fails: boolean) => void }[] = [];
  /** On the disk. */
  readonly fetched = new Set<string>();
  readonly statuses: UpdateStatus[] = [];
  readonly slots: Slots;
  readonly trial: ModelTrial;
  readonly updater: Updater<Candidate>;
  disk: DurableState;
  writesFail = false;
  uptimeMs = 0;
  onWrite: (durable: DurableState) => void = () => undefined;
  kept = 0;

  constructor(seed: number, disk: DurableState = emptyDurableState) {
    this.disk = disk;
    const random = seededRandom(seed);
    const clock: Clock = {
      now: () => 0,
      monotonicMs: () => 0,
      sleep: (_, signal) => this.later("sleep", signal, () => undefined),
    };
    this.slots = new Slots(this.slotOf(FACTORY.digest), (_, failing) => this.updater.failing(failing));
    const boot = { durable: disk, factory: FACTORY, running: FACTORY.digest, limits: updateLimits };
    this.trial = new ModelTrial({
      slots: this.slots,
      clock,
      isBusy: () => false,
      prove: async ({ digest }, _anySpeed, signal) => {
        expect(digest === FACTORY.digest || this.fetched.has(digest)).toBe(true);
        const slot = this.slotOf(digest);
        const model = slot.runner.current as LoadedModel;
        try {
          await this.later("prove", signal, () => undefined);
          return { slot, model };
        } catch (error) {
          await model.close();
          throw error;
        }
      },
      keep: (slot) => {
        this.kept += 1;
        return slot.runner;
      },
      onShadowed: () => undefined,
    });
    this.updater = new Updater(boot, {
      deviceId: "cam",
      slot: "perception",
      onlyParked: false,
      parkedMsMax: 30_000,
      uptimeMs: () => this.uptimeMs,
      trial: this.trial,
      clock,
      random,
      packageStore: {
        write: async (durable) => {
          if (this.writesFail) throw new Failure("slots-unwritable", "retry", "full");
          this.onWrite(durable);
          this.disk = durable;
        },
        prune: async (keep) => {
          for (const digest of this.fetched) if (!keep.includes(digest)) this.fetched.delete(digest);
        },
      },
      fetch: async ({ digest }, onProgress, signal) => {
        onProgress({ phase: "DOWNLOADING", bytesDone: 1, bytesAll: 2 });
        try {
          await this.later("fetch", signal, () => this.fetched.add(digest));
          return { ok: true } satisfies Done;
        } catch (error) {
          const { code } = error as Failure;
          return { ok: false, code, reason: "no", retry: code === "package-digest-mismatch" ? "never" : "many" };
        }
      },
      onChanged: () => undefined,
      onMoved: (statuses) => void this.statuses.push(statuses),
    });
  }

  slotOf(digest: string): Slot {
    const pkg = { digest, manifest: { latencyBudgetMs: 50 } } as unknown as Slot["pkg"];
    const model = new FakeModel(this.open);
    return new Slot(pkg, {} as Slot["policy"], bareRunner(model as unknown as LoadedModel), null);
  }

  later(what: string, signal: AbortSignal | undefined, onDone: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const isOver = () => this.waiting.splice(this.waiting.indexOf(entry), 1);
      const entry = {
        what,
        end: (fails: boolean) => {
          isOver();
          if (fails) return reject(new Failure("package-digest-mismatch", "give-up", "no"));
          onDone();
          resolve();
        },
      };
      this.waiting.push(entry);
      const stop = () => {
        if (this.waiting.includes(entry)) isOver();
        reject(signal?.reason);
      };
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });
  }

  want(generation: number, letter: string, more: object = {}, arm = "default"): string {
    const model = { modelName: "m", modelVersion: letter, modelDigest: digestOf(letter) };
    const how = { shadowFrames: 0, probationFrames: 2, condition: "ANY" as const, windows: [], ...more };
    const desired: DeviceDesired = {
      deviceId: "cam",
      generation: BigInt(generation),
      slots: { perception: { ...model, ...how } },
      policyVersion: null,
      arm,
      rollout: "",
      why: "",
      changedAt: 0,
    };
    return this.updater.desired(DeviceDesired.encodeSingleObject(desired));
  }

  /** One frame, as the pipeline does it. */
  async frame(): Promise<void> {
    const { slot, result } = await this.slots.infer(new Uint8Array());
    expect(result.ok).toBe(true);
    const answer = { label: "1" } as LocalAnswer;
    const isSlow = this.trial.answered(this.updater.onTrial, slot, answer, inference, new Uint8Array());
    if (isSlow !== null) this.updater.answered(isSlow);
  }

  async settle(): Promise<void> {
    this.writesFail = false;
    for (let i = 0; i < 500; i++) {
      await turns();
      this.waiting.find(({ what }) => what !== "sleep" || this.waiting.length === 1)?.end(false);
      this.updater.report({ idle: true, parked: true });
      await this.frame();
      const { outcome, wanted, trial } = this.updater.durable;
      if (this.waiting.length === 0 && trial === null && (wanted === null || outcome !== null)) return turns();
    }
    throw new Error(`no end: ${JSON.stringify(this.updater.now, (_, v) => (typeof v === "bigint" ? `${v}` : v))}`);
  }
}

class FakeModel {
  readonly labels = ["0", "1"];
  readonly exited: Promise<number | null>;
  answer: InferenceResult = good;
  readonly #open: Set<FakeModel>;
  #end: (code: number) => void = () => undefined;

  constructor(open: Set<FakeModel>) {
    this.#open = open;
    open.add(this);
    this.exited = new Promise((resolve) => {
      this.#end = resolve;
    });
  }
  async infer(): Promise<InferenceResult> {
    if (!this.#open.has(this)) throw new Failure("model-host-exited", "retry", "gone");
    return this.answer;
  }
  async close(): Promise<void> {
    this.crash();
  }
  crash(): void {
    this.#open.delete(this);
    this.#end(0);
  }
}

describe("updater", () => {
  test("over seeds: an end that is reported, one running process, and no other", async () => {
    for (let seed = 0; seed < 250; seed++) {
      const random = seededRandom(seed);
      const world = new World(seed);
      world.updater.start();
      await turns();
      let generation = 0;
      for (let i = 0; i < 50; i++) {
        const roll = random();
        if (roll < 0.12) {
          const letter = "abf"[Math.floor(random() * 3)] as string;
          const condition = random() < 0.3 ? "PARKED" : "ANY";
          world.want(++generation, letter, { shadowFrames: random() < 0.5 ? 0 : 2, probationFrames: 3, condition });
        } else if (roll < 0.45) {
          const one = world.waiting[Math.floor(random() * world.waiting.length)];
          one?.end(random() < 0.15);
        } else if (roll < 0.8) await world.frame();
        else if (roll < 0.85 && world.slots.isOnTrial) {
          const model = world.slots.active.runner.current as unknown as FakeModel | undefined;
          if (random() < 0.5) model?.crash();
          else if (model !== undefined) model.answer = hollow;
        } else if (roll < 0.9) world.updater.report({ parked: random() < 0.5 });
        else world.writesFail = random() < 0.3;
        await turns(1);
        expect(world.open.size).toBeLessThanOrEqual(3); // The two of an update, and one on its way out.
        const { digest } = world.slots.active.pkg;
        expect(digest === FACTORY.digest || world.fetched.has(digest)).toBe(true);
      }
      await world.settle();
      const { good: slot, wanted, outcome } = world.updater.durable;
      expect([seed, world.slots.active.pkg.digest]).toEqual([seed, (slot ?? FACTORY).digest]);
      if (outcome?.phase === "COMMITTED") expect([seed, (slot ?? FACTORY).digest]).toEqual([seed, wanted?.digest]);
      expect([seed, world.open.size, world.slots.isOnTrial]).toEqual([seed, 1, false]);
      const last = world.statuses.at(-1);
      if (generation > 0) expect([seed, last?.phase]).toEqual([seed, outcome?.phase]);
      await world.updater.stop();
      await world.slots.close();
      expect([seed, world.open.size]).toEqual([seed, 0]);
    }
  });

  test("stopped at any moment it leaves no process, and reports nothing more", async () => {
    for (let steps = 0; steps < 12; steps++) {
      const world = new World(steps);
      world.updater.start();
      await turns();
      world.want(1, "a", { shadowFrames: 2, probationFrames: 3 });
      for (let i = 0; i < steps; i++) {
        await turns();
        world.waiting[0]?.end(false);
        await world.frame();
      }
      await world.updater.stop();
      await world.slots.close();
      await turns();
      const statuses = world.statuses.length;
      for (const one of [...world.waiting]) one.end(false);
      await turns();
      expect([steps, world.open.size, world.statuses.length]).toEqual([steps, 0, statuses]);
    }
  });

  test("stopped in good order, however often and in whatever it does, it was not interrupted", async () => {
    for (const steps of [2, 3, 5, 8]) {
      let disk = emptyDurableState;
      for (let life = 0; life < 8; life++) {
        const world = new World(life, disk);
        world.updater.start();
        await turns();
        if (life === 0) world.want(1, "a", { shadowFrames: 2, probationFrames: 1_000 });
        for (let i = 0; i < steps; i++) {
          await turns();
          world.waiting[0]?.end(false);
          await world.frame();
        }
        expect([steps, life, world.updater.durable.outcome]).toEqual([steps, life, null]);
        await world.updater.stop();
        await world.slots.close();
        disk = world.disk;
      }
    }
  });

  test("a commit that the disk does not take is retried, and the model has one keeper only", async () => {
    const world = new World(1);
    world.updater.start();
    await turns();
    world.want(1, "a");
    for (let i = 0; i < 30; i++) {
      world.writesFail = world.updater.now?.phase === "PROBATION" && i < 20;
      await turns();
      if (world.updater.now?.phase !== "PROBATION") world.waiting[0]?.end(false);
      await world.frame();
    }
    expect(world.statuses.filter(({ code }) => code === "slots-unwritable").length).toBeGreaterThan(1);
    await world.settle();
    expect(world.updater.now).toMatchObject({ phase: "COMMITTED" });
    expect(world.kept).toBe(1);
  });

  test("conditions reported before the updates start are not forgotten", async () => {
    const world = new World(1);
    world.updater.report({ parked: true, time: 5 });
    world.updater.start();
    world.want(7, "a");
    await turns();
    expect(world.updater.conditions).toMatchObject({ parked: true, time: 5 });
    await world.settle();
    expect(world.updater.now).toMatchObject({ generation: 7n });
  });

  test("before the updates start as well, only what is newer counts", async () => {
    const world = new World(1);
    world.updater.start();
    expect(world.want(7, "a", {}, "b")).toBe("b");
    expect(() => world.want(6, "b", {}, "c")).toThrow(expect.objectContaining({ code: "desired-older" }));
    expect(world.want(7, "a", {}, "b")).toBe("b"); // The retained message, once more.
    await world.settle();
    expect(world.updater.now).toMatchObject({ generation: 7n, modelDigest: digestOf("a"), phase: "COMMITTED" });
  });

  test("a condition that ends while the switch is written switches nothing, and counts as no failure", async () => {
    const world = new World(1);
    world.updater.start();
    await turns();
    world.want(1, "a", { condition: "PARKED" });
    world.updater.report({ parked: true });
    world.onWrite = ({ trial }) => {
      if (trial !== null) world.updater.report({ parked: false });
    };
    for (let flap = 0; flap < 20; flap++) {
      for (let i = 0; i < 5; i++) {
        await turns();
        world.waiting[0]?.end(false);
        await world.frame();
        expect([flap, world.slots.active.pkg.digest]).toEqual([flap, FACTORY.digest]);
      }
      expect(world.updater.now).toMatchObject({ phase: "WAITING", code: "condition-parked" });
      world.updater.report({ parked: true });
    }
    expect(world.updater.durable).toMatchObject({ trial: null, trials: 1, outcome: null });
    world.onWrite = () => undefined;
    await world.settle();
    expect(world.updater.now).toMatchObject({ phase: "COMMITTED" });
  });

  test("a report that the device is parked holds for a while, and not once the time since boot is an earlier one", async () => {
    for (const laterMs of [30_001, -1]) {
      const world = new World(1);
      world.updater.start();
      await turns();
      world.uptimeMs = 1_000_000;
      world.updater.report({ parked: true });
      world.uptimeMs += 30_000;
      expect(world.updater.conditions.parked).toBe(true);
      world.uptimeMs = 1_000_000 + laterMs;
      world.want(1, "a", { condition: "PARKED" });
      for (let i = 0; i < 20; i++) {
        await turns();
        world.waiting[0]?.end(false);
        await world.frame();
      }
      expect(world.updater.now).toMatchObject({ phase: "WAITING", code: "condition-parked" });
      expect([world.updater.conditions.parked, world.slots.active.pkg.digest]).toEqual([false, FACTORY.digest]);
      world.updater.report({ parked: true });
      await world.settle();
      expect(world.updater.now).toMatchObject({ phase: "COMMITTED" });
    }
  });

  test("it ends while a switch is written, too", async () => {
    const world = new World(1);
    world.updater.start();
    await turns();
    world.want(1, "a", { condition: "PARKED" });
    world.updater.report({ parked: true });
    world.onWrite = ({ trial }) => {
      if (trial !== null) world.uptimeMs += 60_000;
    };
    for (let i = 0; i < 20; i++) {
      await turns();
      world.waiting[0]?.end(false);
      await world.frame();
    }
    expect(world.updater.now).toMatchObject({ phase: "WAITING", code: "condition-parked" });
    expect(world.slots.active.pkg.digest).toBe(FACTORY.digest);
  });

  test("a package that is no longer desired is deleted before the next is fetched", async () => {
    const world = new World(1);
    world.updater.start();
    await turns();
    world.want(1, "a", { condition: "PARKED" });
    for (let i = 0; i < 20 && world.updater.now?.code !== "condition-parked"; i++) {
      await turns();
      world.waiting[0]?.end(false);
    }
    expect([...world.fetched]).toEqual([digestOf("a")]);
    world.want(2, "b");
    await turns();
    expect([world.waiting.map(({ what }) => what), [...world.fetched]]).toEqual([["fetch"], []]);
    await world.settle();
    expect([...world.fetched]).toEqual([digestOf("b")]);
  });

  test("a lost durable state deletes no package: the wanted one may be among them", async () => {
    const world = new World(1);
    for (const letter of "ab") world.fetched.add(digestOf(letter));
    world.updater.start();
    await turns();
    expect([...world.fetched]).toEqual([digestOf("a"), digestOf("b")]);
    world.want(1, "a");
    await turns();
    expect([world.waiting.map(({ what }) => what), [...world.fetched]]).toEqual([["fetch"], [digestOf("a")]]);
  });

  test("a desired state for another device, or an older one, is refused and changes nothing", async () => {
    const world = new World(1);
    world.updater.start();
    await turns();
    world.want(5, "f");
    await world.settle();
    expect(() => world.want(4, "a")).toThrow(expect.objectContaining({ code: "desired-older" }));
    const mars = { days: ["SUN" as const], fromMinute: 60, toMinute: 300, timeZone: "Mars/Olympus" };
    const refused = { code: "desired-invalid", message: expect.stringContaining("Mars/Olympus") };
    expect(() => world.want(6, "a", { windows: [mars] })).toThrow(expect.objectContaining(refused));
    expect(() => world.want(6, "a", { probationFrames: -1 })).toThrow(
      expect.objectContaining({ code: "desired-invalid" }),
    );
    for (const arm of ["", "two words", "-b", "a".repeat(65)]) {
      expect(() => world.want(6, "a", {}, arm)).toThrow(expect.objectContaining({ code: "desired-invalid" }));
    }
    expect(() => world.updater.desired(Buffer.from("{}"))).toThrow();
    expect(world.updater.generation).toBe(5n);
  });
});
