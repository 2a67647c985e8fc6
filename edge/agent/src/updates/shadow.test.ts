import { describe, expect, test } from "@jest/globals";
import type { InferenceResult, LoadedModel } from "@tributary/inference";
import { type Clock, Failure } from "@tributary/kernel";
import { SHADOW_MS_MAX, Shadow, type Shadowed } from "./shadow.ts";

const answerOf = (...logits: number[]) =>
  ({
    ok: true,
    inference: { logits: new Float32Array(logits), timingsMs: { preprocess: 1, run: 2 } },
  }) as unknown as InferenceResult;
const refused: InferenceResult = { ok: false, code: "image-size-wrong", message: "640 x 480, the model takes 32 x 32" };
const turn = () => new Promise((resolve) => setImmediate(resolve));

function world(answer: InferenceResult | Error) {
  const asked: Promise<unknown>[] = [];
  const model = {
    labels: ["cat", "dog"],
    exited: new Promise(() => undefined),
    infer: () => {
      const answered = answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      asked.push(answered.catch(() => undefined));
      return answered;
    },
  } as unknown as LoadedModel;
  const shadowed: Shadowed[] = [];
  let [isBusy, endOfWait]: [boolean, () => void] = [false, () => undefined];
  const sleep: Clock["sleep"] = (ms) => {
    expect(ms).toBe(SHADOW_MS_MAX);
    return new Promise((resolve) => {
      endOfWait = resolve;
    });
  };
  const clock: Clock = { now: () => 0, monotonicMs: () => 0, sleep };
  const ports = { isBusy: () => isBusy, onShadowed: (one: Shadowed) => void shadowed.push(one), clock };
  const shadow = new Shadow(model, 2, ports);
  const ended = shadow.run(new AbortController().signal).then(
    () => "seen enough",
    (error: Failure) => `${error.code} ${error.advice}`,
  );
  const offer = async (label: string) => {
    shadow.offer(new Uint8Array(), label);
    await turn();
  };
  return { asked, shadowed, ended, offer, late: () => endOfWait(), busy: () => (isBusy = true) };
}

describe("shadow", () => {
  test("sees as many frames as are wanted, and reports how often both agree", async () => {
    const { asked, shadowed, ended, offer } = world(answerOf(1, 2));
    for (const label of ["dog", "cat", "dog"]) await offer(label);
    expect(await ended).toBe("seen enough");
    expect(asked).toHaveLength(2);
    expect(shadowed).toEqual([
      { agrees: true, latencyMs: 3 },
      { agrees: false, latencyMs: 3 },
    ]);
  });

  test.each([
    ["cannot take a picture that the active model answered", refused, "image-size-wrong give-up"],
    ["answers what is no number", answerOf(Number.NaN, 1), "model-output-invalid give-up"],
    ["ends", new Failure("model-host-exited", "retry", "gone"), "model-crashed give-up"],
  ])("a model that %s has failed", async (_, answer, end) => {
    const { shadowed, ended, offer } = world(answer);
    await offer("dog");
    expect(await ended).toBe(end);
    expect(shadowed).toEqual([]);
  });

  test("takes nothing while a frame waits to be answered; without frames it ends with the frames so far", async () => {
    const { asked, ended, offer, late, busy } = world(answerOf(1, 2));
    busy();
    await offer("dog");
    late();
    expect(await ended).toBe("seen enough");
    expect(asked).toEqual([]);
  });
});
