/** Beside what Pillow makes of the same pictures (fixtures/pillow.py). */
import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { decodePicture } from "./preprocess.ts";
import { hashOf, type ResizeCase, resizedHash } from "./resize.test-kit.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const pillows = JSON.parse(readFileSync(new URL("pillow.json", FIXTURES), "utf8")) as {
  readonly decoded: Readonly<Record<string, string>>;
  readonly decodedAndResized: Readonly<Record<string, string>>;
  readonly resized: readonly (readonly [ResizeCase, string])[];
};
const PLAIN = { do_rescale: false, do_normalize: false, image_library: "pillow" };
const RESIZED = parsePreprocessing({ ...PLAIN, size: { width: 16, height: 12 }, resample: 3 });
const AS_THEY_ARE = parsePreprocessing({ ...PLAIN, do_resize: false });

test("every kernel makes Pillow's bytes: up to 20 times smaller, 4 times larger, of odd sizes and single pixels", async () => {
  const others = [];
  for (const [picture, hash] of pillows.resized) if ((await resizedHash(picture)) !== hash) others.push(picture);
  expect(others).toEqual([]);
  expect(pillows.resized.length).toBeGreaterThan(150);
});

test.each(Object.keys(pillows.decoded))("%s is decoded, and then resized, to Pillow's bytes", async (file) => {
  const jpeg = readFileSync(new URL(file, FIXTURES));
  const hashes = [AS_THEY_ARE, RESIZED].map(async (preprocessing) => {
    const picture = await decodePicture(jpeg, preprocessing, 1e6);
    return picture.ok ? hashOf(picture.pixels) : picture.message;
  });
  expect(await Promise.all(hashes)).toEqual([pillows.decoded[file], pillows.decodedAndResized[file]]);
});
