import { describe, expect, test } from "@jest/globals";
import { parsePreprocessing } from "@tributary/inference";
import { type Json, otherReadings } from "./readings.ts";

const HALVES = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
const IMAGENET = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };
const SIZED = { size: { height: 32, width: 32 }, resample: 3 };
const GREY = { ...SIZED, channel_order: "L", do_convert_rgb: false, image_mean: 0.5, image_std: 0.5 };
const tensorsOf = (config: Json) => JSON.stringify(parsePreprocessing(config));

describe("readings of a preprocessor_config.json", () => {
  test.each<[string, Json]>([
    ["ImageNet's", { ...SIZED, ...IMAGENET }],
    ["of a grey model", GREY],
    ["without a mean", { ...SIZED, do_rescale: false, do_normalize: false, data_format: "channels_last" }],
  ])("%s: each is another preprocessing, once", (_, config) => {
    const all = [config, ...otherReadings(config).map((reading) => reading.config)].map(tensorsOf);
    expect(new Set(all).size).toBe(all.length);
    expect(all.length).toBeGreaterThan(15);
  });

  test.each<[string, Json, Json]>([
    ["do_rescale", { do_rescale: false }, {}],
    ["do_normalize", { do_normalize: false }, {}],
    ["channel_order", { channel_order: "BGR" }, {}],
    ["data_format", { data_format: "channels_last" }, {}],
    ["resample", { resample: 2 }, {}],
    ["do_resize", { do_resize: false }, {}],
    ["size", { size: { height: 64, width: 64 } }, {}],
    ["rescale_factor", { rescale_factor: 1 / 127.5 }, {}],
    ["image_mean and image_std exchanged", { image_mean: IMAGENET.image_std, image_std: IMAGENET.image_mean }, {}],
    ["image_mean of another convention", HALVES, {}],
    ["a mean that was left out", { do_normalize: false, image_mean: undefined, image_std: undefined }, {}],
  ])("a fault of %s is undone by one of them", (_, fault, more) => {
    const truth: Json = { ...SIZED, do_rescale: true, rescale_factor: 1 / 255, ...IMAGENET, ...more };
    const faulty = JSON.parse(JSON.stringify({ ...truth, ...fault })) as Json;
    expect(otherReadings(faulty).map((reading) => tensorsOf(reading.config))).toContain(tensorsOf(truth));
  });

  test("what the model's input cannot take is not tried, and the keys to write are those that differ", () => {
    const config = { ...SIZED, ...IMAGENET, do_rescale: false, rescale_factor: 1 / 255 };
    const readings = otherReadings(config, ({ resize, layout }) => resize?.width === 32 && layout === "channels_first");
    expect(readings[0]).toMatchObject({ what: '"do_rescale": true', changes: 1 });
    expect(readings.every((reading) => parsePreprocessing(reading.config).resize?.width === 32)).toBe(true);
    expect(otherReadings(GREY).some(({ what }) => what.includes("BGR"))).toBe(false);
  });
});
