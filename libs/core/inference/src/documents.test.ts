import { describe, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { isPackagePath, parseManifest } from "./manifest.ts";
import { parseCalibration, parseConfusion, parseFaults, parseGoldenIndex, parseLabels } from "./package-documents.ts";
import { packagedPreprocessing, parsePreprocessing, repackedPreprocessing } from "./preprocessing.ts";

const file = { sha256: "a".repeat(64), bytes: 1 };
const manifest = {
  formatVersion: 1,
  name: "edge-resnet8",
  version: "1.0.0",
  input: "jpeg",
  files: {
    "model.onnx": file,
    "preprocessor_config.json": file,
    "labels.json": file,
    "calibration.json": file,
    "reference_sketch.json": file,
    "golden/index.json": file,
  },
  tensors: { input: "input", logits: "logits", features: null },
  hardwareClass: "pi-4",
  latencyBudgetMs: 50,
  metrics: { accuracy: 0.85 },
  lineage: { data: "CIFAR-10" },
};
const preprocessor = {
  do_resize: true,
  size: { height: 24, width: 32 },
  resample: 3,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.5, 0.4, 0.3],
  image_std: [0.2, 0.25, 0.3],
};

function failureOf(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("manifest", () => {
  test("a valid one is parsed without loss", () => {
    expect(parseManifest(manifest)).toEqual(manifest);
  });

  test("every wrong key is named at once (manifest.ts M1)", () => {
    const { "model.onnx": _, ...rest } = manifest.files;
    const wrong = {
      ...manifest,
      versoin: "1",
      latencyBudgetMs: -1,
      metrics: { accuracy: "high" },
      tensors: { ...manifest.tensors, extra: 1 },
      files: { ...rest, "../evil": file, "labels.json": { sha256: "XYZ", bytes: 1e15 } },
    };
    const failure = failureOf(() => parseManifest(wrong));
    expect(failure.code).toBe("package-manifest-invalid");
    const named = ["versoin: unknown key", "latencyBudgetMs", "metrics.accuracy", "tensors.extra: unknown key"];
    named.push('files["../evil"]', 'files["labels.json"].sha256', 'files["labels.json"].bytes', 'files["model.onnx"]');
    for (const key of named) expect(failure.message).toContain(key);
  });

  test.each([
    "",
    "/etc/passwd",
    "a/../b",
    "..",
    "./a",
    "a//b",
    "a/",
    "C:\\x",
    ".hidden",
    "a\0b",
    "manifest.json",
    "__proto__",
    "a/__proto__",
  ])("no path of a package: %j (M2)", (path) => expect(isPackagePath(path)).toBe(false));

  test("a file called as what objects inherit is refused, or one as any other (manifest.ts M3)", () => {
    const files = (name: string) => JSON.parse(`{"${name}": ${JSON.stringify(file)}}`);
    const withFile = (name: string) => ({ ...manifest, files: Object.assign(files(name), manifest.files) });
    const named = JSON.parse(
      JSON.stringify(manifest).replace('"model.onnx"', `"__proto__":${JSON.stringify(file)},"model.onnx"`),
    );
    expect(failureOf(() => parseManifest(named)).message).toContain('files["__proto__"]');
    for (const name of ["constructor", "toString", "hasOwnProperty"]) {
      expect(parseManifest(withFile(name)).files[name]).toEqual(file);
      expect(parseManifest(manifest).files[name]).toBeUndefined();
    }
  });

  test.each([null, [], "x", 7, {}])("not a manifest: %j", (json) => {
    expect(failureOf(() => parseManifest(json)).code).toBe("package-manifest-invalid");
  });
});

describe("preprocessor_config.json", () => {
  test("becomes one multiplication and addition per channel", () => {
    const parsed = parsePreprocessing(preprocessor);
    expect(parsed).toMatchObject({
      resize: { width: 32, height: 24, kernel: "bicubic" },
      channelOrder: "RGB",
      layout: "channels_first",
    });
    for (const [channel, pixel] of [0, 128, 255].entries()) {
      const expected = (pixel / 255 - (preprocessor.image_mean[channel] ?? 0)) / (preprocessor.image_std[channel] ?? 1);
      expect(pixel * (parsed.scale[channel] ?? 0) + (parsed.offset[channel] ?? 0)).toBeCloseTo(expected, 12);
    }
  });

  test("what is switched off is not done", () => {
    const parsed = parsePreprocessing({ do_resize: false, do_rescale: false, do_normalize: false });
    expect(parsed).toMatchObject({ resize: null, scale: [1, 1, 1], offset: [-0, -0, -0] });
  });

  test("grey takes one channel", () => {
    const grey = { ...preprocessor, channel_order: "L", image_mean: 0.5, image_std: [0.25] };
    expect(parsePreprocessing(grey)).toMatchObject({ scale: [1 / 255 / 0.25], offset: [-2] });
  });

  test("do_convert_rgb may be null, as Hugging Face writes it where nobody chose; other flags may not", () => {
    expect(parsePreprocessing({ ...preprocessor, do_convert_rgb: null })).toEqual(parsePreprocessing(preprocessor));
    const grey = { ...preprocessor, channel_order: "L", image_mean: 0.5, image_std: 0.25 };
    expect(parsePreprocessing({ ...grey, do_convert_rgb: null })).toEqual(parsePreprocessing(grey));
  });

  test("packing names Pillow, whose kernels are then all known; what names none was measured with libvips", () => {
    const packaged = packagedPreprocessing({ ...preprocessor, resample: 0 });
    expect(packaged).toEqual({ ...preprocessor, resample: 0, image_library: "pillow" });
    expect(parsePreprocessing(packaged)).toMatchObject({ library: "pillow", resize: { kernel: "nearest" } });
    expect(packagedPreprocessing(packaged)).toEqual(packaged);
    expect(parsePreprocessing(preprocessor).library).toBe("libvips");
    // Agents that do not know the key refuse a package that has it.
    expect(packagedPreprocessing(repackedPreprocessing(preprocessor))).toEqual(preprocessor);
    expect(packagedPreprocessing(repackedPreprocessing(packaged))).toEqual(packaged);
    expect(packagedPreprocessing({ ...preprocessor, image_library: "libvips" })).toEqual(preprocessor);
  });

  test.each([
    [{ do_normalize: null }, "do_normalize"],
    [{ resample: 0 }, '"image_library": "pillow"'],
    [{ image_library: "opencv" }, "image_library"],
    [{ resample: 7 }, "resample"],
    [{ size: { shortest_edge: 32 } }, "size.shortest_edge: unknown key"],
    [{ do_center_crop: true }, "do_center_crop: unknown key"],
    [{ image_std: [0, 1, 1] }, "image_std"],
    [{ image_mean: [0.5] }, "image_mean"],
    [{ channel_order: "GBR" }, "channel_order"],
    [{ data_format: "NCHW" }, "data_format"],
    [{ do_resize: "yes" }, "do_resize"],
    [{ channel_order: "L", do_convert_rgb: true, image_mean: 0, image_std: 1 }, "do_convert_rgb"],
  ])("%j is refused, naming %s", (change, named) => {
    const failure = failureOf(() => parsePreprocessing({ ...preprocessor, ...change }));
    expect(failure.code).toBe("package-preprocessor-invalid");
    expect(failure.message).toContain(named);
  });
});

test("labels, calibration and golden frames are checked", () => {
  expect(parseLabels(["cat", "dog"])).toEqual(["cat", "dog"]);
  expect(failureOf(() => parseLabels(["cat", "cat"])).code).toBe("package-labels-invalid");
  expect(failureOf(() => parseLabels(["cat", 2])).code).toBe("package-labels-invalid");
  expect(parseLabels(["x".repeat(128), "y"])).toHaveLength(2);
  expect(failureOf(() => parseLabels(["\u4e2d".repeat(43), "y"])).code).toBe("package-labels-invalid");
  expect(failureOf(() => parseCalibration({ method: "temperature", temperature: 0 })).message).toContain("temperature");
  const frame = { jpeg: "golden/a.jpg", pixels: "golden/a.rgb", tensorDigest: "b".repeat(64), logits: [1, 2] };
  expect(parseGoldenIndex({ formatVersion: 1, frames: [frame] }, 2).frames).toEqual([frame]);
  const tooShort = failureOf(() => parseGoldenIndex({ formatVersion: 1, frames: [frame] }, 3));
  expect(tooShort.message).toContain("frames[0].logits: expected 3");
});

describe("golden/faults.json", () => {
  const faults = {
    formatVersion: 1,
    frames: 1,
    pipeline: [{ name: "greyscale", logits: [[1, 2]] }],
    camera: [{ name: "dark", shifts: { luminance: -0.4, "label:cat": 0.1, a_later_feature: 0.5 } }],
  };
  test("is read without loss, whatever faults and features it names", () => {
    expect(parseFaults(faults, 2, 16)).toEqual(faults);
    const none = { ...faults, frames: 0, pipeline: [] };
    expect(parseFaults(none, 2, 16)).toEqual(none);
    const withNoise = { ...faults, pipeline: [{ name: "greyscale", logits: [[1, 2]], noise: 0.02 }] };
    expect(parseFaults(withNoise, 2, 16)).toEqual(withNoise);
  });

  test.each([
    [{ frames: 2 }, "pipeline[0].logits: expected 2 x 2"],
    [{ frames: 9 }, "frames: expected a whole number in [0, 8]"],
    [{ pipeline: [{ name: "greyscale", logits: [[1, null]] }] }, "pipeline[0].logits"],
    [{ pipeline: [...faults.pipeline, ...faults.pipeline] }, "pipeline[1].name: expected each fault once"],
    [{ pipeline: [{ name: "greyscale", logits: [[1, 2]], noise: -1 }] }, "pipeline[0].noise"],
    [{ pipeline: {} }, "pipeline"],
    [{ camera: [{ name: "dark", shifts: { luminance: -2 } }] }, "camera[0].shifts.luminance"],
    [{ camera: ["dark"] }, "camera[0].name"],
    [{ formatVersion: 2 }, "formatVersion"],
    [{ video: [] }, "video: unknown key"],
  ])("%j is refused, naming %s", (change, named) => {
    const failure = failureOf(() => parseFaults({ ...faults, ...change }, 2, 16));
    expect(failure.code).toBe("package-faults-invalid");
    expect(failure.message).toContain(named);
  });
});

describe("confusion.json", () => {
  const confusion = {
    formatVersion: 1,
    counts: [
      [9, 1],
      [0, 4],
    ],
    means: { luminance: [0.4, 0.6] },
  };
  test("is read without loss", () => expect(parseConfusion(confusion, 2)).toEqual(confusion));

  test.each([
    [{ counts: [[9, 1]] }, "counts: expected 2 x 2"],
    [
      {
        counts: [
          [9, 1],
          [0, -4],
        ],
      },
      "counts",
    ],
    [
      {
        counts: [
          [9, 1],
          [0, 0.5],
        ],
      },
      "counts",
    ],
    [{ means: { luminance: [0.4] } }, "means.luminance: expected 2"],
    [{ means: { luminance: [0.4, 1.5] } }, "means.luminance"],
    [{ extra: 1 }, "extra: unknown key"],
  ])("%j is refused, naming %s", (change, named) => {
    const failure = failureOf(() => parseConfusion({ ...confusion, ...change }, 2));
    expect(failure.code).toBe("package-confusion-invalid");
    expect(failure.message).toContain(named);
  });
});
