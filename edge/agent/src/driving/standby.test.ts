/** LITE's two processes on a virtual clock: ended and stopped at any moment, over seeds. */
import { describe, expect, test } from "@jest/globals";
import type { InferenceResult, LoadedModel } from "@tributary/inference";
import { type Clock, type Random, seededRandom } from "@tributary/kernel";
import { ModelHostExited } from "@tributary/onnx";
import { Standby, type TakeOver } from "./standby.ts";

const HANGS_MS = 100;
const RUN_MS = 3;
const LOAD_MS = 500;
/** As child-model.ts H3. */
const ANSWER_MS_MAX = 1_000;
const POISON = 66;
const good = { ok: true, inference: {} } as unknown as InferenceResult;

class VirtualClock implements Pick<Clock, "monotonicMs" | "sleep"> {
  #now = 0;
  readonly #sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  readonly monotonicMs = () => this.#now;
  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      this.#sleepers.push({ at: this.#now + ms, wake: resolve });
    });
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
      this.#sleepers.sort((a, b) => a.at - b.at);
      const next = this.#sleepers[0];
      if (next === undefined || next.at > until) break;
      this.#now = Math.max(this.#now, next.at);
      this.#sleepers.shift();
      next.wake();
    }
    this.#now = until;
  }
}

class FakeProcess {
  isStopped = false;
  isGone = false;
  asked = 0;
  readonly pid: number;
  readonly digest: string;
  readonly #clock: VirtualClock;
  readonly #exit = Promise.withResolvers<number | null>();
  readonly #pending = new Set<(error: Error) => void>();
  #continued = Promise.withResolvers<void>();

  constructor(pid: number, digest: string, clock: VirtualClock) {
    this.pid = pid;
    this.digest = digest;
    this.#clock = clock;
  }
  get exited() {
    return this.#exit.promise;
  }
  infer(jpeg: Uint8Array): Promise<InferenceResult> {
    this.asked += 1;
    if (this.isGone) return Promise.reject(new ModelHostExited("", "ended", false));
    const { promise, resolve, reject } = Promise.withResolvers<InferenceResult>();
    this.#pending.add(reject);
    void this.#clock.sleep(RUN_MS).then(async () => {
      while (this.isStopped) await this.#continued.promise;
      if (jpeg[0] === POISON) this.end(true);
      this.#pending.delete(reject);
      resolve(good);
    });
    void this.#clock.sleep(ANSWER_MS_MAX).then(() => {
      if (this.#pending.has(reject)) this.end(false);
    });
    return promise;
  }
  stop() {
    this.isStopped = true;
  }
  goOn() {
    this.isStopped = false;
    this.#continued.resolve();
    this.#continued = Promise.withResolvers();
  }
  end(isOwnFault: boolean) {
    if (this.isGone) return;
    this.isGone = true;
    for (const reject of this.#pending) reject(new ModelHostExited("", "ended", isOwnFault));
    this.#pending.clear();
    this.#exit.resolve(null);
  }
  async close() {
    this.end(false);
  }
}

function world({ hasMemory = (): boolean => true, random = (() => 0) as Random } = {}) {
  const clock = new VirtualClock();
  const all: FakeProcess[] = [];
  const takeOvers: TakeOver[] = [];
  const losses: string[] = [];
  const started = () => {
    const process = new FakeProcess(all.length + 1, "of the model in force", clock);
    all.push(process);
    return process as unknown as LoadedModel;
  };
  const load = async () => {
    await clock.sleep(LOAD_MS);
    return started();
  };
  const events = {
    onLoaded: () => undefined,
    onLost: ({ code }: { readonly code: string }) => losses.push(code),
    onTakeOver: (takeOver: TakeOver) => takeOvers.push(takeOver),
  };
  const picture = Buffer.from([1]);
  const lite = new Standby(started(), { hangsMs: HANGS_MS, picture }, { load, hasMemory, events, clock, random });
  const running = () => all.filter(({ isGone }) => !isGone);
  const active = () => all.find((one) => (one as unknown) === lite.current);
  const spare = () => all.find((one) => (one as unknown) === lite.spare);
  /** The answer of a frame, and what it took. */
  const frame = async (msMax: number, jpeg = picture) => {
    const from = clock.monotonicMs();
    let took: number | undefined;
    let result: InferenceResult | undefined;
    void lite.infer(jpeg).then(
      (answer) => {
        took = clock.monotonicMs() - from;
        result = answer;
      },
      () => undefined,
    );
    while (took === undefined && clock.monotonicMs() - from < msMax) await clock.advance(1);
    return { took, result };
  };
  /** A load that is on its way is waited for. */
  const close = async () => {
    const closed = lite.close();
    await clock.advance(LOAD_MS);
    await closed;
  };
  return { clock, all, lite, close, takeOvers, losses, running, active, spare, frame };
}

describe("LITE's two processes", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "seed %i: whichever ends or stops, while there is a spare a frame is answered within 200 ms by one active process",
    async (seed) => {
      const random = seededRandom(seed);
      const { clock, lite, close, running, active, spare, frame, takeOvers } = world({ random });
      await clock.advance(5_000);
      let faults = 0;
      for (let i = 0; i < 60; i++) {
        const [one, other] = [active(), spare()];
        const victim = random() < 0.7 ? one : other;
        const isFaulty = one !== undefined && other !== undefined && random() < 0.3;
        const faultAt = Math.floor(random() * 4);
        if (isFaulty) {
          faults += 1;
          void clock.sleep(faultAt).then(() => (random() < 0.5 ? victim?.end(false) : victim?.stop()));
        }
        const { took } = await frame(200);
        if (one !== undefined && other !== undefined) expect(took).toBeLessThanOrEqual(200);
        expect(running().length).toBeLessThanOrEqual(2);
        expect(
          [lite.current, lite.spare].filter((model) => model !== undefined && model.digest !== "of the model in force"),
        ).toEqual([]);
        if (lite.current !== undefined) expect(lite.current).not.toBe(lite.spare);
        if (random() < 0.5) for (const process of running()) process.goOn();
        await clock.advance(random() < 0.2 ? 8_000 : 50);
      }
      expect(faults).toBeGreaterThan(0);
      expect(takeOvers.length).toBeGreaterThan(0);
      await close();
      expect(running()).toEqual([]);
    },
  );

  test("the spare is warm before it is needed, and touched while it waits", async () => {
    const { clock, close, spare } = world();
    await clock.advance(3_000);
    const warmed = spare()?.asked ?? 0;
    expect(warmed).toBeGreaterThanOrEqual(30);
    await clock.advance(20_000);
    expect(spare()?.asked).toBeGreaterThanOrEqual(warmed + 9);
    await close();
  });

  test("an end costs a frame only its second run; a new spare is there in the end", async () => {
    const { clock, close, active, spare, frame, takeOvers } = world();
    await clock.advance(3_000);
    const successor = spare();
    void clock.sleep(1).then(() => active()?.end(false));
    expect((await frame(200)).took).toBeLessThanOrEqual(2 * RUN_MS + 2);
    expect(active()).toBe(successor);
    expect(takeOvers).toEqual([{ reason: "ended", pid: successor?.pid }]);
    await clock.advance(3_000);
    expect(spare()).toBeDefined();
    await close();
  });

  test("one that hangs and answers again is the spare: nothing was ended", async () => {
    const { clock, all, close, active, spare, frame } = world();
    await clock.advance(3_000);
    const hangs = active();
    hangs?.stop();
    expect((await frame(200)).took).toBeLessThanOrEqual(HANGS_MS + 2 * RUN_MS + 2);
    expect(spare()).toBeUndefined();
    hangs?.goOn();
    await clock.advance(50);
    expect(spare()).toBe(hangs);
    expect(all).toHaveLength(2);
    await close();
  });

  test("a picture that ends its process by its own fault is not the spare's too", async () => {
    const { clock, close, active, spare, frame } = world();
    await clock.advance(3_000);
    const successor = spare();
    expect((await frame(200, Buffer.from([POISON]))).result).toMatchObject({ ok: false, code: "image-kills-model" });
    expect(active()).toBe(successor);
    expect((await frame(200)).result).toBe(good);
    await close();
  });

  test("without memory there is no spare, and one that ends is loaded again at once", async () => {
    const { clock, close, all, active, spare, frame, losses } = world({ hasMemory: () => false });
    await clock.advance(10_000);
    expect([all.length, spare()]).toEqual([1, undefined]);
    active()?.end(false);
    expect((await frame(2_000)).took).toBeLessThanOrEqual(LOAD_MS + 2 * RUN_MS);
    expect(losses).toEqual(["model-host-exited"]);
    await close();
  });
});
