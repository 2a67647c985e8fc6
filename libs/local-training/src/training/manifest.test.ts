import { expect, test } from "@jest/globals";
import { parseManifest } from "./manifest.ts";

const frame = { file: "frames/a.jpg", sha256: "a".repeat(64), label: "cat", slice: "site=north", split: "TRAIN" };
const parse = (...frames: unknown[]) =>
  parseManifest(Buffer.from(frames.map((one) => `${JSON.stringify(one)}\n`).join("")), "dataset");

test("keys for other readers are left alone", () => {
  expect(parse({ ...frame, deviceId: "edge-1", samplePropensity: 0.01 })).toEqual([frame]);
});

test.each([
  ["malformed JSON", () => parseManifest(Buffer.from("{\n"), "dataset"), /dataset\/manifest.jsonl: line 1: not JSON/],
  ["null", () => parse(null), /line 1: "file"/],
  ["a file outside of the folder", () => parse({ ...frame, file: "../a.jpg" }), /line 1: "file"/],
  ["no digest", () => parse({ ...frame, sha256: "A" }), /"sha256"/],
  ["no label", () => parse({ ...frame, label: "" }), /"label"/],
  ["another split", () => parse({ ...frame, split: "TEST" }), /"split" is not TRAIN, TUNE or GATE/],
  ["a file twice", () => parse(frame, frame), /line 2: frames\/a.jpg is named twice/],
  ["a picture in two splits", () => parse(frame, { ...frame, file: "b.jpg", split: "TUNE" }), /b.jpg is in TUNE, and/],
  [
    "a picture with two labels",
    () => parse(frame, { ...frame, file: "b.jpg", label: "dog" }),
    /labelled "cat" and "dog"/,
  ],
])("%s is refused by name", (_what, parsing, message) => {
  expect(parsing).toThrow(message);
});
