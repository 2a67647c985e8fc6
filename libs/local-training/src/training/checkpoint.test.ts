import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { type Checkpoint, checkpointStep, readCheckpoint, removeCheckpoint, writeCheckpoint } from "./checkpoint.ts";

const dir = tempDir("checkpoint");
afterAll(() => dir.remove());

function someCheckpoint(seed: number): Checkpoint {
  const random = seededRandom(seed);
  const lengths = Array.from({ length: 1 + Math.floor(random() * 5) }, () => 1 + Math.floor(random() * 50));
  const values = () =>
    new Map(lengths.map((length, i) => [`layer.${i}`, Float32Array.from({ length }, () => random() - 0.5)]));
  return {
    parameters: values(),
    adam: { step: seed, first: values(), second: values() },
    loss: random(),
    spent: { cpuSeconds: random(), wallSeconds: random() },
  };
}

test.each([1, 2, 3, 4])(
  "seed %i: what was written is read bit by bit, and no part of it can be damaged unseen",
  async (seed) => {
    const checkpoint = someCheckpoint(seed);
    await writeCheckpoint(dir.path, "key", checkpoint);
    expect(await readCheckpoint(dir.path, "key")).toEqual(checkpoint);
    expect(await checkpointStep(dir.path)).toBe(seed);
    expect(await readCheckpoint(dir.path, "other key")).toMatch(/of another job or dataset/);

    const path = join(dir.path, "checkpoint.bin");
    const bytes = await readFile(path);
    const random = seededRandom(seed);
    for (let i = 0; i < 10; i++) {
      const cut = bytes.subarray(0, Math.floor(random() * bytes.length));
      const flipped = Buffer.from(bytes);
      const headerLength = 4 + bytes.readUInt32LE(0);
      const at = headerLength + Math.floor(random() * (bytes.length - headerLength));
      flipped[at] = (flipped[at] as number) ^ 0x10;
      for (const damaged of [cut, flipped]) {
        await writeFile(path, damaged);
        expect(await readCheckpoint(dir.path, "key")).toMatch(/damaged/);
      }
    }
  },
);

test("without a checkpoint there is nothing to resume from", async () => {
  await removeCheckpoint(dir.path);
  expect(await readCheckpoint(dir.path, "key")).toBeNull();
  expect(await checkpointStep(dir.path)).toBe(0);
});
