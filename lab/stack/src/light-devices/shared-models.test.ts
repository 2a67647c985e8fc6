/** Devices that share a model's process; the process is a fake, because the tests control when it ends. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import type { InferenceResult, LoadedModel, ModelHost } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { repositoryRoot } from "@tributary/testing";
import { SharedModels } from "./shared-models.ts";

const DIR = `${repositoryRoot}/models/edge-resnet8`;
const GOOD = Uint8Array.of(1);
const FATAL = Uint8Array.of(66);

/** Its processes end of one picture. */
class FakeHost implements ModelHost {
  loads = 0;
  closed = 0;
  asked = 0;
  atOnceMax = 0;
  async load(): Promise<LoadedModel> {
    this.loads += 1;
    const { promise: exited, resolve: end } = Promise.withResolvers<number | null>();
    let atOnce = 0;
    const infer = async (jpeg: Uint8Array): Promise<InferenceResult> => {
      this.asked += 1;
      this.atOnceMax = Math.max(this.atOnceMax, ++atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce -= 1;
      if (jpeg !== FATAL) return { ok: false, code: "image-undecodable", message: "a fake sees nothing" };
      end(139);
      throw new Failure("model-host-exited", "retry", "gone");
    };
    const close = async () => {
      this.closed += 1;
      end(0);
    };
    return { exited, infer, close } as unknown as LoadedModel;
  }
}

let host: FakeHost;
let models: SharedModels;
beforeEach(() => {
  host = new FakeHost();
  models = new SharedModels(() => host);
});
const isOver = (model: LoadedModel) =>
  Promise.race([model.exited.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);

describe("a shared model", () => {
  test("a frame that ends the process is its own device's loss; the others are answered by the next one", async () => {
    const [{ model: a }, { model: b }] = [await models.load(DIR, null), await models.load(DIR, null)];
    const [lost, answered] = await Promise.allSettled([a.infer(FATAL), b.infer(GOOD), b.infer(GOOD)]);
    expect([lost.status, answered.status]).toEqual(["rejected", "fulfilled"]);
    expect([await isOver(a), await isOver(b)]).toEqual([true, false]);
    await expect(a.infer(GOOD)).rejects.toMatchObject({ code: "model-host-exited" });
    const { model: again } = await models.load(DIR, (await loadPackage(DIR)).digest);
    expect(await again.infer(GOOD)).toMatchObject({ code: "image-undecodable" });
    expect([host.loads, host.atOnceMax]).toEqual([2, 1]);
  });

  test("golden frames and latency are tried once for all", async () => {
    const [a, b] = [await models.load(DIR, null), await models.load(DIR, null)];
    const mismatches = [await models.goldenMismatch(a), await models.goldenMismatch(b)];
    expect(host.asked).toBe(a.pkg.golden.frames.length);
    expect(mismatches[0]).toContain("golden frames are not reproduced");
    const { asked } = host;
    const slow = [await models.tooSlow(a), await models.tooSlow(b)];
    expect(host.asked - asked).toBe(32);
    expect([mismatches[1], slow[1]]).toEqual([mismatches[0], slow[0]]);
  });

  test("devices that check the same golden frame at the same time share its run; frames are their own", async () => {
    const [{ model: a }, { model: b }] = [await models.load(DIR, null), await models.load(DIR, null)];
    const want = { tensorDigest: true, pixels: true };
    await Promise.all([a.infer(GOOD, want), b.infer(Uint8Array.from(GOOD), want), b.infer(Uint8Array.of(2), want)]);
    expect(host.asked).toBe(2);
    await Promise.all([a.infer(GOOD), b.infer(GOOD)]);
    expect(host.asked).toBe(4);
  });

  test("the process ends with the last device that releases it", async () => {
    const [{ model: a }, { model: b }] = [await models.load(DIR, null), await models.load(DIR, null)];
    await a.close();
    await a.close();
    expect([host.closed, await isOver(a), await isOver(b)]).toEqual([0, true, false]);
    await b.close();
    expect([host.loads, host.closed]).toEqual([1, 1]);
  });
});
