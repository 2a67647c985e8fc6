/** Tensors of a training program with Pillow, of pictures that become up to ten times smaller. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { python } from "../../../../tools/peers.mjs";
import { checkTrainerTensors, readTrainerFrames } from "./golden-tensors.ts";
import { otherReadings } from "./readings.ts";

const PROGRAM = fileURLToPath(new URL("../../fixtures/trainer.py", import.meta.url));
const FRAMES = 8;
const dir = tempDir("trainer");
afterAll(() => dir.remove());

describe.each([
  ["9.4", 1_504, 1_128, 160, 2],
  ["4.7", 752, 564, 160, 3],
  ["4.7", 752, 564, 160, 1],
  ["2.5", 160, 120, 64, 5],
] as const)("pictures that become %s times smaller, %i x %i to %i, by Pillow's kernel %i", (...size) => {
  const [, width, height, side, resample] = size;
  const folder = join(dir.path, size.join("-"));
  const config = { size: { width: side, height: side }, resample, image_mean: 0.5, image_std: 0.25 };
  const check = async (change: object) => {
    const described = { ...config, ...change };
    const readings = otherReadings(described);
    const load = () => Promise.reject(new Error("no model here"));
    return checkTrainerTensors({ config: described, readings, path: "p.json" }, await readTrainerFrames(folder), load);
  };

  test("the exact description is accepted", async () => {
    execFileSync(python("pillow"), [PROGRAM, folder, ...[FRAMES, width, height, side, resample].map(String)]);
    await expect(check({ image_library: "pillow" })).resolves.toBeUndefined();
  });

  test("as libvips resizes them, the tensors are others", async () => {
    await expect(check(resample > 3 ? { resample: 2 } : {})).rejects.toThrow();
  });
});
