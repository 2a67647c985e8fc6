/** Pillow itself, on pictures that are drawn anew. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { python } from "../../../../tools/peers.mjs";
import { type ResizeCase, resizedHash } from "./resize.test-kit.ts";

const PROGRAM = fileURLToPath(new URL("../fixtures/pillow.py", import.meta.url));
const dir = tempDir("pillow");
afterAll(() => dir.remove());

test.each([1, 2, 3])("each of 200 pictures is Pillow's, byte by byte (seed %i)", async (seed) => {
  const random = seededRandom(seed);
  const whole = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  // Sides up to 20 times smaller and 4 times larger, each by its own ratio; some of a single pixel.
  const sides = () => {
    const to = random() < 0.1 ? 1 : whole(1, 48);
    return [Math.max(1, Math.round(to * (random() < 0.3 ? whole(1, 4) / 4 : 1 + 19 * random()))), to] as const;
  };
  const cases = Array.from({ length: 200 }, (_, i): ResizeCase => {
    const [[width, toWidth], [height, toHeight]] = [sides(), sides()];
    return [width, height, toWidth, toHeight, i % 6, whole(0, 1_000)];
  });
  const file = join(dir.path, `${seed}.json`);
  writeFileSync(file, JSON.stringify(cases));
  const hashes = JSON.parse(execFileSync(python("pillow"), [PROGRAM, file], { encoding: "utf8" })) as string[];
  const others = [];
  for (const [i, one] of cases.entries()) if ((await resizedHash(one)) !== hashes[i]) others.push(one);
  expect(others).toEqual([]);
});
