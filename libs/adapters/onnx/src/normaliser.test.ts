import { expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import { Normaliser, pictureStatistics } from "./normaliser.ts";

const mean = [0.5, 0.4, 0.3];
const std = [0.2, 0.25, 0.3];
const config = { do_resize: false, image_mean: mean, image_std: std };

test.each(["channels_first", "channels_last"])("%s, RGB and BGR: as the formula gives (seeds)", (layout) => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(seed);
    const area = 12;
    const rgb = Uint8Array.from({ length: area * 3 }, () => Math.floor(random() * 256));
    for (const order of ["RGB", "BGR"]) {
      const normaliser = new Normaliser(parsePreprocessing({ ...config, data_format: layout, channel_order: order }));
      const tensor = new Float32Array(2 * area * 3);
      normaliser.write(normaliser.channels(rgb), tensor, area * 3);
      for (let i = 0; i < area; i++) {
        for (let channel = 0; channel < 3; channel++) {
          const at = layout === "channels_first" ? channel * area + i : i * 3 + channel;
          const pixel = rgb[i * 3 + (order === "RGB" ? channel : 2 - channel)] as number;
          const expected = (pixel / 255 - (mean[channel] as number)) / (std[channel] as number);
          expect(tensor[area * 3 + at]).toBeCloseTo(expected, 5);
        }
      }
      expect(tensor.subarray(0, area * 3).every((value) => value === 0)).toBe(true);
    }
  }
});

test("grey is Pillow's luma", () => {
  const grey = new Normaliser(parsePreprocessing({ ...config, channel_order: "L", image_mean: 0, image_std: 1 }));
  expect([...grey.channels(Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30]))]).toEqual([76, 150, 29, 18]);
});

test("statistics of a picture are on [0, 1]", () => {
  const rgb = Uint8Array.from([0, 51, 255, 255, 51, 255]);
  const { channelMeans, channelSds, luminance } = pictureStatistics(rgb, 2, 1, {
    bitsPerPixel: 8,
    encoder: "",
    quality: 90,
  });
  for (const [i, value] of [0.5, 0.2, 1].entries()) expect(channelMeans[i]).toBeCloseTo(value, 12);
  for (const [i, value] of [0.5, 0, 0].entries()) expect(channelSds[i]).toBeCloseTo(value, 12);
  expect(luminance).toBeCloseTo(0.299 * 0.5 + 0.587 * 0.2 + 0.114, 12);
});
