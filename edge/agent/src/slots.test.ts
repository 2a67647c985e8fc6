import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { RoutingPolicy } from "@tributary/contracts";
import type { InferenceResult } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { PolicyKeeper } from "./policy-keeper.ts";
import { type Failing, type Runner, Slot, Slots } from "./slots.ts";

const good = { ok: true, inference: { logits: new Float32Array([1, 2]) } } as unknown as InferenceResult;
const refused: InferenceResult = { ok: false, code: "image-size-wrong", message: "640 x 480, the model takes 32 x 32" };
const hollow = { ok: true, inference: { logits: new Float32Array([1, Number.NaN]) } } as unknown as InferenceResult;

/** Gives the answer that is set; closed, it rejects. */
class FakeRunner implements Runner {
  answer: InferenceResult | Error = good;
  isClosed = false;
  readonly current = undefined;
  asked = 0;
  async infer(): Promise<InferenceResult> {
    this.asked += 1;
    if (this.isClosed || this.answer instanceof Error) throw new Failure("model-host-exited", "retry", "gone");
    return this.answer;
  }
  async close(): Promise<void> {
    this.isClosed = true;
  }
}

const pkgOf = (digest: string) => ({ digest, manifest: { latencyBudgetMs: 50 } }) as unknown as Slot["pkg"];
const slotOf = (digest: string, runner: Runner): Slot => new Slot(pkgOf(digest), {} as Slot["policy"], runner, null);

const folder = new URL("../../../models/edge-resnet8/", import.meta.url);
const read = (file: string): unknown => JSON.parse(readFileSync(new URL(file, folder), "utf8"));
const keeperOf = (digest: string) =>
  new PolicyKeeper({ digest, labels: read("labels.json") as string[], policy: read("policy.json") }, (text) =>
    createHash("sha256").update(text).digest("hex"),
  );
const fleetPolicyOf = (digest: string) =>
  RoutingPolicy.encodeSingleObject({ ...keeperOf(digest).policy, policyVersion: "e".repeat(64) });

function world() {
  const [before, trial] = [new FakeRunner(), new FakeRunner()];
  const failings: Failing[] = [];
  const slots = new Slots(slotOf("good", before), (_, failing) => {
    failings.push(failing);
    slots.restore();
  });
  return { slots, before, trial, failings, candidate: slotOf("trial", trial) };
}
const ask = async (slots: Slots) => {
  const { slot, result } = await slots.infer(new Uint8Array());
  return [slot.pkg.digest, result.ok];
};

describe("slots", () => {
  test("slots.ts N1: from the next frame on the other answers; after a commit the one before is closed", async () => {
    const { slots, before, candidate } = world();
    expect(await ask(slots)).toEqual(["good", true]);
    slots.switchTo(candidate);
    expect([await ask(slots), slots.isOnTrial, before.isClosed]).toEqual([["trial", true], true, false]);
    slots.commit();
    expect([await ask(slots), slots.isOnTrial, before.isClosed]).toEqual([["trial", true], false, true]);
  });

  test.each([
    ["N2: it crashes", new Error("gone"), "model-crashed"],
    ["N3: its outputs are no numbers", hollow, "model-output-invalid"],
    ["N4: it cannot take this camera's pictures", refused, "image-size-wrong"],
  ])("%s: the committed one answers that frame, and it is reported once", async (_, answer, code) => {
    const { slots, trial, failings, candidate } = world();
    slots.switchTo(candidate);
    trial.answer = answer;
    expect(await ask(slots)).toEqual(["good", true]);
    expect(await ask(slots)).toEqual(["good", true]);
    expect(failings.map((failing) => failing.code)).toEqual([code]);
    expect([trial.asked, trial.isClosed, slots.isOnTrial]).toEqual([1, true, false]);
  });

  test("slots.ts N2: before the revert each frame is answered by the committed one already", async () => {
    const [before, trial] = [new FakeRunner(), new FakeRunner()];
    let failures = 0;
    const slots = new Slots(slotOf("good", before), () => void failures++);
    slots.switchTo(slotOf("trial", trial));
    trial.answer = new Error("gone");
    for (let i = 0; i < 3; i++) expect(await ask(slots)).toEqual(["good", true]);
    expect(failures).toBe(1);
  });

  test("slots.ts N4: a picture that the committed one cannot take either is unreadable, and no fault of the one on trial", async () => {
    const { slots, before, trial, failings, candidate } = world();
    slots.switchTo(candidate);
    const cut = { ok: false, code: "image-undecodable", message: "cut" } as const;
    [trial.answer, before.answer] = [refused, cut];
    expect((await slots.infer(new Uint8Array())).result).toEqual(cut);
    [trial.answer, before.answer] = [good, good];
    expect(await ask(slots)).toEqual(["trial", true]);
    expect(failings).toEqual([]);
  });

  test("slots.ts N4: committed while the earlier one processes a picture that it could not, it refuses the picture itself", async () => {
    const { slots, before, trial, candidate } = world();
    slots.switchTo(candidate);
    trial.answer = refused;
    before.infer = async () => {
      slots.commit();
      throw new Failure("model-host-exited", "retry", "closed");
    };
    expect(await ask(slots)).toEqual(["trial", false]);
  });

  test("slots.ts N3: from the committed one, such a frame is unreadable, with its code", async () => {
    const { slots, before, failings } = world();
    before.answer = hollow;
    const { result } = await slots.infer(new Uint8Array());
    expect(result).toMatchObject({ ok: false, code: "model-output-invalid" });
    expect(failings).toEqual([]);
  });

  test("slots.ts N5: an empty policy while on trial withdraws the trial's; the committed one keeps its own, also over a restart", () => {
    const [good, trial] = ["a".repeat(64), "b".repeat(64)];
    const slotWithPolicyOf = (digest: string) => new Slot(pkgOf(digest), keeperOf(digest), new FakeRunner(), null);
    const slots = new Slots(slotWithPolicyOf(good), () => undefined);
    const ofGood = fleetPolicyOf(good);
    slots.applyPolicy(ofGood, "downlink");
    slots.switchTo(slotWithPolicyOf(trial));
    slots.applyPolicy(fleetPolicyOf(trial), "downlink");
    expect(slots.resetPolicy()).toBe(true);
    expect([slots.active.policy.origin, slots.policyToKeep]).toEqual(["package", ofGood]);
    slots.restore();
    expect([slots.active.policy.origin, slots.policyToKeep]).toEqual(["downlink", ofGood]);
    expect(slots.resetPolicy()).toBe(true);
    expect([slots.active.policy.origin, slots.policyToKeep]).toEqual(["package", null]);
  });

  test("a frame that the committed one was closed under is answered by its successor", async () => {
    const { slots, before, candidate } = world();
    let let_go: () => void = () => undefined;
    before.infer = () =>
      new Promise((_, reject) => {
        let_go = () => reject(new Failure("model-host-exited", "retry", "closed"));
      });
    const asked = ask(slots);
    slots.switchTo(candidate);
    slots.commit();
    let_go();
    expect(await asked).toEqual(["trial", true]);
  });
});
