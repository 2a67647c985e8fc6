import { describe, expect, test } from "@jest/globals";
import type { InferenceResult, LoadedModel } from "@tributary/inference";
import { type Clock, Failure } from "@tributary/kernel";
import { ModelKeeper } from "./model-keeper.ts";

const clock: Clock = { now: () => 0, monotonicMs: () => 0, sleep: async (_, signal) => signal?.throwIfAborted() };
const good = { ok: true, inference: {} } as unknown as InferenceResult;

/** A host whose models die of one picture, and whose loads fail when the test sets it. */
class FakeHost {
  loads = 0;
  failLoads = 0;
  async load(): Promise<LoadedModel> {
    this.loads += 1;
    if (this.failLoads-- > 0) throw new Failure("model-host-exited", "retry", "no memory");
    let end: (code: number | null) => void = () => undefined;
    const exited = new Promise<number | null>((resolve) => {
      end = resolve;
    });
    let isGone = false;
    const infer = async (jpeg: Uint8Array): Promise<InferenceResult> => {
      if (isGone || jpeg[0] === 66) {
        isGone = true;
        end(139);
        throw new Failure("model-host-exited", "retry", "gone");
      }
      return good;
    };
    return { exited, infer, close: async () => end(0) } as unknown as LoadedModel;
  }
}

const open = async (host: FakeHost, losses: string[] = []) =>
  new ModelKeeper(
    await host.load(),
    () => host.load(),
    { onLoaded: () => undefined, onLost: ({ code }) => losses.push(code) },
    clock,
    () => 0,
  );

describe("model keeper", () => {
  test("model-keeper.ts K1: a picture that kills two models is at fault; the next one is answered by a third", async () => {
    const host = new FakeHost();
    const losses: string[] = [];
    const keeper = await open(host, losses);
    expect(await keeper.infer(Buffer.from([66]))).toMatchObject({ ok: false, code: "image-kills-model" });
    expect(await keeper.infer(Buffer.from([1]))).toBe(good);
    expect([host.loads, losses.length]).toEqual([3, 2]);
    await keeper.close();
  });

  test("model-keeper.ts K2: loading is tried until it works", async () => {
    const host = new FakeHost();
    const losses: string[] = [];
    const keeper = await open(host, losses);
    host.failLoads = 3;
    await keeper.infer(Buffer.from([66]));
    expect(await keeper.infer(Buffer.from([1]))).toBe(good);
    expect(losses.length).toBe(5);
    await keeper.close();
  });
});
