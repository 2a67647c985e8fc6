import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import { checkTrainerTensors, type TrainerFrame } from "./golden-tensors.ts";
import { rightPipeline } from "./pipeline-faults.ts";
import { type Json, otherReadings } from "./readings.ts";

const GOLDEN = new URL("../../../../models/edge-resnet8/golden/", import.meta.url);
const jpegs = readdirSync(GOLDEN)
  .filter((file) => file.endsWith(".jpg"))
  .slice(0, 3)
  .map((file) => readFileSync(new URL(file, GOLDEN)));
const config: Json = {
  image_library: "pillow",
  size: { width: 64, height: 64 },
  resample: 3,
  image_mean: [0.5, 0.5, 0.5],
  image_std: [0.5, 0.25, 0.2],
};

/** What a trainer with this file saves; values up to `noise` of 255 off, as of another decoder. */
async function framesOf(trainers: Json, noise = 0): Promise<readonly TrainerFrame[]> {
  const random = seededRandom(7);
  const preprocessing = parsePreprocessing(trainers);
  const tensorOf = rightPipeline(preprocessing);
  return Promise.all(
    jpegs.map(async (jpeg, i) => {
      const tensor = await tensorOf(jpeg);
      const step = preprocessing.scale[0] as number;
      const off = () => step * Math.round((2 * random() - 1) * noise);
      return { name: `${i}.jpg`, jpeg, tensor: noise === 0 ? tensor : tensor.map((value) => value + off()) };
    }),
  );
}

async function refusal(described: Json, frames: readonly TrainerFrame[]): Promise<string> {
  const readings = otherReadings(described);
  const model = { inferTensors: async () => [], close: async () => {} };
  const check = checkTrainerTensors(
    { config: described, readings, path: "p.json" },
    frames,
    async () => model as never,
  );
  return check.then(
    () => "",
    (error: Error) => error.message,
  );
}

test("the trainer's own file is accepted, also where another decoder's values are one off", async () => {
  expect(await refusal(config, await framesOf(config))).toBe("");
  expect(await refusal(config, await framesOf(config, 1))).toBe("");
});

describe("within the tolerance, but another file makes exactly the trainer's tensors", () => {
  test.each([
    ["another kernel", { resample: 1 }, '"resample": 3'],
    ["a mean that is a little off", { image_mean: [0.5, 0.502, 0.5] }, '"image_mean": [0.5,0.5,0.5]'],
  ])("%s", async (_name, wrong, cure) => {
    const message = await refusal({ ...config, ...wrong }, await framesOf(config));
    expect(message).toContain("within the tolerance");
    expect(message).toContain(`${cure}: write that in p.json`);
  });
});

describe("mean, deviation and scale are named with the values that fit", () => {
  test.each([
    [
      "a mean",
      { image_mean: [0.7, 0.5, 0.5] },
      "image_mean of channel 1 is 0.7 here, 0.5 in the trainer's tensors. ",
      '"image_mean": [0.5,0.5,0.5]',
    ],
    [
      "deviations",
      { image_std: [0.5, 0.4, 0.4] },
      "image_std of channel 2 is 0.4 here, 0.25 in the trainer's tensors; image_std of channel 3 is 0.4 here, 0.2 in the",
      '"image_std": [0.5,0.25,0.2]',
    ],
    [
      "mean and deviation",
      { image_mean: [0.5, 0.5, 0.1], image_std: [0.5, 0.25, 0.9] },
      "image_mean of channel 3 is 0.1 here, 0.5 in the trainer's tensors; image_std of channel 3 is 0.9 here, 0.2 in the",
      '"image_mean": [0.5,0.5,0.5], "image_std": [0.5,0.25,0.2]',
    ],
    [
      "the scale",
      { rescale_factor: 1 / 128 },
      "pixels are multiplied by 1/128 here, by 1/255 in the trainer's tensors",
      '"do_rescale": true, "rescale_factor": 0.00392157',
    ],
    [
      "no normalisation",
      { do_normalize: false, image_mean: undefined, image_std: undefined },
      "image_std of channel 2 is 1 here, 0.25 in the trainer's tensors",
      '"do_normalize": true, "image_mean": [0.5,0.5,0.5], "image_std": [0.5,0.25,0.2]',
    ],
  ])("%s", async (_name, wrong, differences, cure) => {
    const message = await refusal({ ...config, ...wrong }, await framesOf(config));
    expect(message).toContain(differences);
    expect(message).toContain(`${cure}: write that in p.json`);
  });

  test("nearly, where another decoder's values are one off", async () => {
    const message = await refusal({ ...config, image_mean: [0.7, 0.5, 0.5] }, await framesOf(config, 1));
    expect(message).toMatch(
      /image_mean of channel 1 is 0\.7 here, (0\.5|0\.49\d\d|0\.50\d\d) in the trainer's tensors\./,
    );
  });

  test("nothing fits tensors of other pixels", async () => {
    const frames = await framesOf({ ...config, resample: 0 });
    const tiled = frames.map((frame) => ({ ...frame, tensor: frame.tensor.map((_, i, all) => all[i ^ 1] ?? 0) }));
    expect(await refusal(config, tiled)).toContain("No single fault explains it");
  });
});
