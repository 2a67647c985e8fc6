import { expect, test } from "@jest/globals";
import type { DatasetFrame } from "../job.ts";
import { tunedPhotos } from "./base-splits.ts";
import type { FrameLabel, LabelledFrame } from "./candidate.ts";
import { datasetDifference } from "./difference.ts";
import { frameFile, manifestText, parseDatasetManifest } from "./manifest.ts";
import { differenceHashOf } from "./picture-hash.ts";
import { datasetContents } from "./record.ts";
import { usableFrames } from "./usable-labels.ts";

const label = (label: string | null, more: Partial<FrameLabel> = {}): FrameLabel => ({
  label,
  source: "PERSON",
  by: "ada",
  confidence: null,
  ...more,
});
const cloud = (name: string, confidence: number) => label(name, { source: "CLOUD", by: "cloud", confidence });

test("people's labels hold, the cloud's only where it is allowed, and who disagrees is left out (usable-labels.ts L1, L2)", () => {
  const outcome = (labels: readonly FrameLabel[], floor: number | null = 0.9) => {
    const frame: LabelledFrame = {
      frameId: "cam-1:1:front:1",
      deviceId: "cam-1",
      digest: "ab".repeat(32),
      receivedAt: 0,
      sampleDrawn: true,
      samplePropensity: 0.1,
      labels,
    };
    const rules = { classes: ["cat", "dog"], cloud: floor === null ? null : { floor } };
    const { frames, leftOut } = usableFrames([frame], rules);
    return frames[0] === undefined ? Object.keys(leftOut)[0] : `${frames[0].source} ${frames[0].label}`;
  };
  expect(outcome([label("cat")])).toBe("PERSON cat");
  expect(outcome([label("cat"), label("dog")])).toBe("PERSON dog");
  expect(outcome([label("cat"), label("dog", { by: "bob" })])).toBe("labels-contradict");
  expect(outcome([label("cat"), label("dog", { by: "bob" }), label("cat", { by: "bob" })])).toBe("PERSON cat");
  expect(outcome([label("cat"), label(null, { by: "bob" })])).toBe("labels-contradict");
  expect(outcome([label(null)])).toBe("cannot-be-labelled");
  expect(outcome([label("frog")])).toBe("class-unknown");
  expect(outcome([cloud("dog", 0.99), label("cat", { source: "MEASUREMENT" })])).toBe("MEASUREMENT cat");
  expect(outcome([cloud("dog", 0.95)])).toBe("CLOUD dog");
  expect(outcome([cloud("dog", 0.85)])).toBe("cloud-unsure");
  expect(outcome([cloud("dog", 0.95)], null)).toBe("unlabelled");
  expect(outcome([])).toBe("unlabelled");
});

test("a picture's hash changes little with its light, and much with what it shows", () => {
  const picture = (value: (x: number, y: number) => number) =>
    differenceHashOf(
      Uint8Array.from({ length: 9 * 8 * 3 }, (_, i) => value(Math.floor(i / 3) % 9, Math.floor(i / 27))),
    );
  const slope = picture((x) => 200 - 20 * x);
  expect(slope).toBe("f".repeat(16));
  expect(picture((x) => 100 - 10 * x)).toBe(slope);
  expect(picture((x) => 20 * x)).toBe("0".repeat(16));
  expect(picture((x, y) => (y < 4 ? 200 - 20 * x : 20 * x))).toBe("ffffffff00000000");
});

const frame = (i: number, more: Partial<DatasetFrame> = {}): DatasetFrame => {
  const sha256 = i.toString(16).padStart(64, "0");
  const base = { file: frameFile(sha256), sha256, label: "cat", labelSource: "PERSON", slice: "site=north" };
  return { ...base, split: "TRAIN", frameId: "", deviceId: "cam-1", samplePropensity: null, ...more };
};

test("a manifest is the same bytes for the same frames, and one that is wrong is refused by its line", () => {
  const frames = [frame(2, { samplePropensity: 0.25 }), frame(1)];
  const text = manifestText(frames);
  expect(manifestText([...frames].reverse())).toBe(text);
  expect(parseDatasetManifest(text)).toEqual([frames[1], frames[0]]);
  for (const [wrong, message] of [
    [text.slice(0, -1), "it ends within a line"],
    [`${text}{"file":1}\n`, "line 3 is no frame"],
    [text + text, "is named twice"],
    [text.replaceAll("frames/0", "../frames/0"), "line 1 is no frame"],
    [text.replace("TRAIN", "TEST"), "line 1 is no frame"],
  ] as const) {
    expect(() => parseDatasetManifest(wrong)).toThrow(message);
  }
});

test("the difference of two versions counts added, removed and relabelled frames, by class and slice", () => {
  const before = [frame(1), frame(2), frame(3, { label: "dog" }), frame(4)];
  const after = [frame(1), frame(2, { label: "dog" }), frame(4, { split: "GATE" }), frame(5, { slice: "base" })];
  expect(datasetDifference(before, after)).toEqual({
    added: 1,
    removed: 1,
    relabelled: 1,
    same: 2,
    moved: 1,
    classes: {
      cat: { added: 1, removed: 0, relabelled: 0 },
      dog: { added: 0, removed: 1, relabelled: 1 },
    },
    slices: { base: { added: 1, removed: 0, relabelled: 0 }, "site=north": { added: 0, removed: 1, relabelled: 1 } },
    relabelledFrames: [{ sha256: frame(2).sha256, from: "cat", to: "dog" }],
  });
  expect(datasetContents(after)).toEqual({
    frames: 4,
    parts: [
      { slice: "base", split: "TRAIN", frames: 1, classes: { cat: 1 } },
      { slice: "site=north", split: "GATE", frames: 1, classes: { cat: 1 } },
      { slice: "site=north", split: "TRAIN", frames: 2, classes: { cat: 1, dog: 1 } },
    ],
    labelSources: { PERSON: 4 },
    devices: 1,
  });
});

test("a tenth of a base set is tuned on, none of which looks like what is trained on", () => {
  const photos = Array.from({ length: 1_000 }, (_, i) => ({
    digest: frame(i).sha256,
    pictureHash: (BigInt(Math.floor(i / 2)) * 0x9e3779b97f4a7c15n).toString(16).slice(-16).padStart(16, "0"),
  }));
  expect(tunedPhotos(photos, 3).size).toBe(0);
  const distinct = photos.filter((_, i) => i % 2 === 0);
  const tuned = tunedPhotos(distinct, 3);
  expect(tuned.size).toBe(50);
  const more = tunedPhotos([...distinct, ...photos.slice(1, 3)].slice(2), 3);
  expect([...tuned].filter((digest) => more.has(digest)).length).toBeGreaterThan(45);
});
