import { describe, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import type { Desired } from "@tributary/updates";
import { Updater, type UpdateWorks } from "./updater.ts";

const factory = { digest: "a".repeat(64), name: "m", version: "1" };
const other = { digest: "b".repeat(64), name: "m", version: "2" };
const desired = (generation: bigint, ref = other): Desired => ({
  generation,
  wanted: { ...ref, shadowFrames: 0, probationFrames: 2, condition: "ANY", windows: [] },
});

function updaterOf(change: Partial<UpdateWorks> = {}) {
  const ran: string[] = [];
  const done = async () => {};
  const works: UpdateWorks = {
    ...{ fetch: done, prove: done, shadow: done, unload: done, wait: done, told: () => {} },
    switchTo: async ({ version }) => void ran.push(version),
    restore: async () => void ran.push("the one before"),
    commit: async () => void ran.push("for good"),
    ...change,
  };
  return { updater: new Updater(factory, works, () => 0.5), ran };
}
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("a light device's updates", () => {
  test("fetched, proved, switched to, and committed after its probation", async () => {
    const { updater, ran } = updaterOf();
    updater.desired(desired(5n));
    await settled();
    expect([ran, updater.said?.phase]).toEqual([["2"], "PROBATION"]);
    updater.answered(false);
    updater.answered(false);
    await settled();
    expect(ran).toEqual(["2", "for good"]);
    expect([updater.running, updater.said?.phase, updater.generation]).toEqual([other, "COMMITTED", 5n]);
    updater.desired(desired(4n, factory)); // older than one that it has seen
    await settled();
    expect(updater.running).toEqual(other);
  });

  test("one that crashes in probation is left, and the device says why", async () => {
    const { updater, ran } = updaterOf();
    updater.desired(desired(1n));
    await settled();
    updater.failing("model-crashed", "its process ended");
    await settled();
    expect([ran, updater.said?.phase, updater.said?.code]).toEqual([
      ["2", "the one before"],
      "REVERTED",
      "model-crashed",
    ]);
  });

  test("one that is too slow when proved never runs", async () => {
    const { updater, ran } = updaterOf({
      prove: () => Promise.reject(new Failure("model-too-slow", "give-up", "400 ms")),
    });
    updater.desired(desired(1n));
    await settled();
    expect([ran, updater.said?.phase, updater.said?.code]).toEqual([[], "REFUSED", "model-too-slow"]);
  });
});
