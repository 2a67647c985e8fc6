import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type DurableState, emptyDurableState } from "@tributary/updates";
import { PackageStore } from "./package-store.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tributary-packages-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const ref = (letter: string) => ({ digest: letter.repeat(64), name: "m", version: letter });
const durableStateOf = (generation: bigint): DurableState => ({
  ...emptyDurableState,
  generation,
  good: ref("a"),
  previous: ref("b"),
});

describe("a package store", () => {
  test("an empty one has an empty durable state; a written state is read back", async () => {
    const packageStore = new PackageStore(dir);
    expect(packageStore.read()).toEqual({ durable: emptyDurableState, damaged: null });
    await packageStore.write(durableStateOf(7n));
    await packageStore.write(durableStateOf(2n ** 50n));
    expect(new PackageStore(dir).read()).toEqual({ durable: durableStateOf(2n ** 50n), damaged: null });
    expect(readdirSync(join(dir, "models"))).toEqual(["slots.json"]);
  });

  test("package-store.ts S1: ended at any byte of the writing, the durable state is the old one", async () => {
    const packageStore = new PackageStore(dir);
    await packageStore.write(durableStateOf(7n));
    const file = join(dir, "models/slots.json");
    await packageStore.write(durableStateOf(8n));
    const next = readFileSync(file);
    await packageStore.write(durableStateOf(7n));
    for (let bytes = 0; bytes <= next.length; bytes++) {
      writeFileSync(`${file}.new`, next.subarray(0, bytes));
      expect(packageStore.read().durable.generation).toBe(7n);
    }
  });

  test("package-store.ts S1: cut at any byte, or with any bit flipped, it is set aside and never used in part", async () => {
    const packageStore = new PackageStore(dir);
    await packageStore.write(durableStateOf(7n));
    const file = join(dir, "models/slots.json");
    const whole = readFileSync(file);
    for (let at = 0; at < whole.length - 1; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      for (const bytes of [whole.subarray(0, at), flipped]) {
        writeFileSync(file, bytes);
        const { durable, damaged } = packageStore.read();
        expect([at, durable.generation, damaged === null]).toEqual([at, 0n, false]);
      }
    }
    await packageStore.setAside();
    expect(existsSync(`${file}.damaged`)).toBe(true);
    expect(packageStore.read()).toEqual({ durable: emptyDurableState, damaged: null });
  });

  test("a folder that cannot be written to is a failure to retry", async () => {
    writeFileSync(join(dir, "models"), "in the way");
    await expect(new PackageStore(dir).write(emptyDurableState)).rejects.toMatchObject({
      code: "slots-unwritable",
      advice: "retry",
    });
  });
});
