/** When golden frames run, and between which camera frames; the model is a fake that answers when the test lets it. */
import { describe, expect, test } from "@jest/globals";
import type { InferenceResult } from "@tributary/inference";
import { type Clock, Failure } from "@tributary/kernel";
import { GoldenCheck, type GoldenChecked } from "./golden-check.ts";
import type { Runner, Slot } from "./slots.ts";

const DAY_MS = 86_400_000;
const LABELS = ["cat", "dog"];
const turn = () => new Promise((resolve) => setImmediate(resolve));

class ManualClock implements Clock {
  ms = 0;
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = [];
  now = () => 1_000_000 + this.ms;
  monotonicMs = () => this.ms;
  sleep = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#sleepers.push({ atMs: this.ms + ms, wake: resolve });
    });

  async pass(ms: number): Promise<void> {
    await turn(); // Whoever is about to sleep does.
    this.ms += ms;
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.ms);
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.ms);
    for (const { wake } of due) wake();
    await turn();
  }
}

const answerOf = (pixel: number, logits: readonly number[], tensorDigest = ""): InferenceResult => ({
  ok: true,
  inference: { logits: Float32Array.from(logits), pixels: Uint8Array.of(pixel), tensorDigest } as never,
});

/** Its golden frames are of one pixel, the answers of an intact pipeline {1, 0}. */
function slotOf(digest: string, log: string[], frames = 3) {
  const golden = Array.from({ length: frames }, (_, i) => ({
    jpeg: `golden/frame-${i}.jpg`,
    pixels: `golden/frame-${i}.rgb`,
    tensorDigest: "",
    logits: [1, 0],
  }));
  const asked: ((result: InferenceResult) => void)[] = [];
  const runner: Runner = {
    infer: (jpeg) => {
      log.push(`${digest} ${jpeg[0]}`);
      const { promise, resolve } = Promise.withResolvers<InferenceResult>();
      asked.push(resolve);
      return promise;
    },
    current: undefined,
    close: async () => undefined,
  };
  const slot = { pkg: { digest, labels: LABELS, golden: { frames: golden } }, runner } as unknown as Slot;
  const answer = async (result = answerOf(7, [1, 0])) => {
    asked.shift()?.(result);
    await turn();
  };
  return { slot, answer };
}

function world() {
  const log: string[] = [];
  const [a, b] = [slotOf("a", log), slotOf("b", log)];
  const checked: GoldenChecked[] = [];
  const untried: unknown[] = [];
  const state = { slot: a.slot, isBusy: false, unreadable: "" };
  const clock = new ManualClock();
  const check = new GoldenCheck(DAY_MS, {
    slot: () => state.slot,
    read: async (_, path) => {
      if (path === state.unreadable) throw new Failure("package-digest-mismatch", "give-up", path);
      return Uint8Array.of(path.endsWith(".rgb") ? 7 : Number(/\d/.exec(path)?.[0]));
    },
    isBusy: () => state.isBusy,
    clock,
    onChecked: (one) => void checked.push(one),
    onUntried: (one) => void untried.push(one),
  });
  /** All golden frames of one check, without camera frames. */
  const run = async ({ answer }: typeof a, ...results: InferenceResult[]) => {
    for (let i = 0; i < 3; i++) {
      await clock.pass(250);
      await answer(results[i]);
    }
  };
  return { log, a, b, checked, untried, state, clock, check, run };
}

describe("golden frames", () => {
  test("run at boot, once a day, after a switch and on request; a retained request comes again in vain", async () => {
    const { a, b, checked, state, clock, check, run } = world();
    check.start();
    expect(check.last).toBeNull();
    await run(a);
    expect(check.last).toEqual({ at: 1_000_750, modelDigest: "a", frames: 3, failed: 0, logits: [1, 0, 1, 0, 1, 0] });
    await clock.pass(DAY_MS);
    await run(a);
    state.slot = b.slot;
    expect(check.last).toBeNull(); // Of another model.
    check.slotChanged();
    check.slotChanged();
    await run(b);
    check.requested(5);
    await run(b);
    check.requested(5);
    await run(b);
    check.requested(6);
    await run(b);
    expect(checked.map(({ because, modelDigest }) => `${because} ${modelDigest}`)).toEqual([
      "boot a",
      "schedule a",
      "switch b",
      "command b",
      "command b",
    ]);
    check.stop();
    check.requested(7);
    await clock.pass(DAY_MS);
    await run(b);
    expect(checked).toHaveLength(5);
  });

  test("run between camera frames while none waits, one at a time; a camera frame waits for one (golden-check.ts C1)", async () => {
    const { a, log, state, clock, check } = world();
    check.start();
    await turn();
    state.isBusy = true;
    await check.cameraFrame(async () => log.push("camera 0"));
    state.isBusy = false;
    await check.cameraFrame(async () => log.push("camera 1"));
    const waiting = check.cameraFrame(async () => log.push("camera 2"));
    await turn();
    expect(log).toEqual(["camera 0", "camera 1", "a 0"]);
    await a.answer();
    await waiting;
    expect(log.at(-1)).toBe("camera 2"); // The second golden frame is not read yet.
    await turn();
    await check.cameraFrame(async () => log.push("camera 3"));
    expect(log.slice(-2)).toEqual(["camera 3", "a 1"]);
    await a.answer();

    // A device that is always busy: not before its frame is over, but before the next one.
    state.isBusy = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const long = check.cameraFrame(() => promise);
    await clock.pass(250);
    expect(log.at(-1)).toBe("a 1");
    resolve();
    await long;
    expect(log.at(-1)).toBe("a 2");
    await a.answer();
    expect(check.last?.failed).toBe(0);
  });

  test("of a slot that is not active any more are given up, also one in progress (golden-check.ts C2)", async () => {
    const { a, b, log, state, checked, untried, clock, check, run } = world();
    check.start();
    await clock.pass(250);
    const waiting = check.cameraFrame(async () => log.push("camera"));
    state.slot = b.slot;
    check.slotChanged();
    await waiting; // Not for a model that may be gone.
    expect(log).toEqual(["a 0", "camera", "b 0"]);
    await run(b);
    await a.answer();
    expect([checked.map(({ modelDigest }) => modelDigest), untried]).toEqual([["b"], []]);
  });
});

describe("what is reported", () => {
  test("frames that are not reproduced, why the first is not, and all logits", async () => {
    const { a, checked, check, run } = world();
    check.start();
    await run(a, answerOf(7, [1, 0]), answerOf(99, [2, 0.1], "other"), answerOf(7, [0, 3]));
    expect(checked).toEqual([
      {
        at: 1_000_750,
        modelDigest: "a",
        frames: 3,
        failed: 2,
        logits: [1, 0, 2, 0.1, 0, 3],
        because: "boot",
        reason: "golden/frame-1.jpg: pixels differ by up to 92 of 255",
      },
    ]);
  });

  test.each([
    ["could not be read", { ok: false, code: "image-undecodable", message: "cut" } as const],
    ["gave no numbers", answerOf(7, [Number.NaN, 1])],
  ])("no logits when a frame %s", async (_, result) => {
    const { a, checked, check, run } = world();
    check.start();
    await run(a, answerOf(7, [1, 0]), result);
    expect(checked).toMatchObject([{ failed: 1, logits: [] }]);
  });

  test("a package file that cannot be read is no failed frame; the check is tried again later", async () => {
    const { a, checked, untried, state, clock, check, run } = world();
    state.unreadable = "golden/frame-1.rgb";
    check.start();
    await run(a);
    expect([checked, untried, check.last]).toEqual([
      [],
      [{ code: "package-digest-mismatch", reason: "golden/frame-1.rgb" }],
      null,
    ]);
    state.unreadable = "";
    await clock.pass(600_000);
    await run(a);
    expect(checked).toMatchObject([{ failed: 0, because: "schedule" }]);
  });
});
