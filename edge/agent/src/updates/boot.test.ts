/** Which model a device starts with when golden frames fail at boot. */
import { expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { type DurableState, emptyDurableState } from "@tributary/updates";
import type { Slot } from "../slots.ts";
import { openSlot } from "./boot.ts";

const ref = (letter: string) => ({ digest: letter.repeat(64), name: "m", version: letter });
const durable: DurableState = { ...emptyDurableState, generation: 7n, good: ref("a"), previous: ref("b") };

/** By the first letter of their digests; "f" is the factory's. */
async function started(
  world: { readonly mismatch?: string; readonly broken?: string; readonly untried?: string },
  disk = durable,
) {
  const { mismatch = "", broken = "", untried = "" } = world;
  const reported: string[] = [];
  const open = new Set<string>();
  const slot = await openSlot(disk, {
    packageStore: { packageDir: (digest: string) => digest } as never,
    factoryDir: "f",
    open: async (dir) => {
      const letter = dir.charAt(0);
      if (broken.includes(letter)) throw new Failure("package-damaged", "give-up", "corrupted");
      open.add(letter);
      const runner = { close: async () => void open.delete(letter) };
      return { pkg: { digest: letter.repeat(64) }, runner, goldenPassed: null } as unknown as Slot;
    },
    mismatchOf: async ({ pkg }) => {
      const letter = pkg.digest.charAt(0);
      if (untried.includes(letter)) throw new Failure("model-crashed", "retry", "ended from outside");
      return mismatch.includes(letter) ? "2 of 16 golden frames are not reproduced" : null;
    },
    onUnusable: ({ modelDigest, code }) => reported.push(`${modelDigest.charAt(0)} ${code}`),
  });
  return { runs: slot.pkg.digest.charAt(0), goldenPassed: slot.goldenPassed, reported, open: [...open] };
}

test("the committed model runs, with its golden frames tested again", async () => {
  expect(await started({})).toEqual({ runs: "a", goldenPassed: true, reported: [], open: ["a"] });
});

test("where the factory's is the committed one, it runs, and the one before it only in its place", async () => {
  const back = { ...durable, good: null };
  expect(await started({}, back)).toMatchObject({ runs: "f", goldenPassed: true, open: ["f"] });
  expect(await started({ mismatch: "f" }, back)).toMatchObject({ runs: "b", reported: ["f golden-mismatch"] });
});

test("a committed model that fails them is reported and replaced by the one before it (boot.ts B1)", async () => {
  const reported = ["a golden-mismatch"];
  expect(await started({ mismatch: "a" })).toEqual({ runs: "b", goldenPassed: true, reported, open: ["b"] });
  const all = ["a golden-mismatch", "b package-damaged"];
  expect(await started({ mismatch: "a", broken: "b" })).toEqual({
    runs: "f",
    goldenPassed: true,
    reported: all,
    open: ["f"],
  });
});

test("where none reproduces them the first that loads runs, and reports that they fail (boot.ts B2)", async () => {
  const reported = ["a golden-mismatch", "b golden-mismatch", "f golden-mismatch"];
  expect(await started({ mismatch: "abf" })).toEqual({ runs: "a", goldenPassed: false, reported, open: ["a"] });
  expect(await started({ mismatch: "b", broken: "af" })).toMatchObject({ runs: "b", goldenPassed: false });
  await expect(started({ broken: "abf" })).rejects.toThrow("corrupted");
});

test("golden frames that could not be tried do not count against the model (boot.ts B3)", async () => {
  expect(await started({ untried: "a" })).toEqual({ runs: "a", goldenPassed: null, reported: [], open: ["a"] });
});
