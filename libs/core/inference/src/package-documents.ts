/** The small JSON documents of a package: labels, calibration, golden frames. */
import { type Digest, isDigest, LABEL_BYTES_MAX, utf8Length } from "@tributary/kernel";
import { isPackagePath } from "./manifest.ts";
import { isJsonObject, isNumbers, type JsonObject, objectOr, Problems } from "./problems.ts";

/** Classes in the order of the model's outputs. */
export function parseLabels(json: unknown): readonly string[] {
  const problems = new Problems();
  const isGood =
    Array.isArray(json) &&
    json.length >= 2 &&
    json.length <= 100_000 &&
    json.every((label): label is string => typeof label === "string" && label.length > 0 && isShort(label));
  if (!isGood) problems.report("labels", `2 to 100,000 texts of 1 to ${LABEL_BYTES_MAX} bytes`, json);
  else if (new Set(json).size !== json.length) problems.report("labels", "each label once", json);
  problems.throwAs("package-labels-invalid", "labels.json");
  return json as readonly string[];
}

const isShort = (label: string): boolean => utf8Length(label) <= LABEL_BYTES_MAX;

/** Temperature scaling (Guo et al. 2017): probabilities are softmax(logits / temperature). */
export type Calibration = { readonly method: "temperature"; readonly temperature: number };

export function parseCalibration(json: unknown): Calibration {
  const root = objectOr(json, "package-calibration-invalid", "calibration.json");
  const problems = new Problems();
  problems.unknownKeys(root, ["method", "temperature"]);
  problems.oneOf(root, "method", ["temperature"]);
  const temperature = problems.number(root, "temperature", { min: 1e-3, max: 1e3 });
  problems.throwAs("package-calibration-invalid", "calibration.json");
  return { method: "temperature", temperature };
}

/** Frames with known results, to show that this device preprocesses and infers as the package's maker did. */
export type GoldenIndex = { readonly formatVersion: 1; readonly frames: readonly GoldenFrame[] };

export type GoldenFrame = {
  /** A JPEG of the package. */
  readonly jpeg: string;
  /** A file of the package: the picture after decoding and resizing, interleaved 8-bit channels in the model's order. */
  readonly pixels: string;
  /** SHA-256 of the preprocessed tensor quantised at 1e-3. */
  readonly tensorDigest: Digest;
  readonly logits: readonly number[];
};

export function parseGoldenIndex(json: unknown, classes: number): GoldenIndex {
  const root = objectOr(json, "package-golden-invalid", "golden/index.json");
  const problems = new Problems();
  problems.unknownKeys(root, ["formatVersion", "frames"]);
  problems.oneOf(root, "formatVersion", [1]);
  const listed = Array.isArray(root.frames) ? root.frames : [];
  if (listed.length === 0 || listed.length > 256) problems.report("frames", "1 to 256 frames", listed.length);
  const frames = listed.map((entry, i): GoldenFrame => {
    const frame = isJsonObject(entry) ? entry : {};
    const at = `frames[${i}].`;
    problems.unknownKeys(frame, ["jpeg", "pixels", "tensorDigest", "logits"], at);
    const jpeg = problems.text(frame, "jpeg", at);
    const pixels = problems.text(frame, "pixels", at);
    for (const path of [jpeg, pixels]) if (!isPackagePath(path)) problems.report(at, "a path inside the package", path);
    const tensorDigest = problems.text(frame, "tensorDigest", at);
    if (!isDigest(tensorDigest)) problems.report(`${at}tensorDigest`, "64 lower-case hex digits", tensorDigest);
    const isLogits = isNumbers(frame.logits) && frame.logits.length === classes;
    if (!isLogits) problems.report(`${at}logits`, `${classes} finite number(s)`, frame.logits);
    return { jpeg, pixels, tensorDigest, logits: isLogits ? (frame.logits as readonly number[]) : [] };
  });
  problems.throwAs("package-golden-invalid", "golden/index.json");
  return { formatVersion: 1, frames };
}

export type PipelineExample = {
  readonly name: string;
  /** logits[frame][class] of the golden frames. */
  readonly logits: readonly (readonly number[])[];
  /** Root mean square by which the logits differ at most for pixels that differ as those of two decoders do. Earlier packages have none. */
  readonly noise?: number;
};

/** golden/faults.json: what the model answers, and how the sketch moves, under faults made on purpose when packing. */
export type FaultCodebook = {
  readonly formatVersion: 1;
  /** The first so many frames of golden/index.json: `goldenReportFrames` of them. */
  readonly frames: number;
  /** Faults of preprocessing. */
  readonly pipeline: readonly PipelineExample[];
  /** Faults of a camera in packages without golden/camera_faults.json: by how much each feature's mean of (bin + 1/2) / 32 changes on
   * validation frames. */
  readonly camera: readonly { readonly name: string; readonly shifts: Readonly<Record<string, number>> }[];
};

const FAULTS_MAX = 256;

/** `goldenFrames`: how many golden/index.json lists. */
export function parseFaults(json: unknown, classes: number, goldenFrames: number): FaultCodebook {
  const root = objectOr(json, "package-faults-invalid", "golden/faults.json");
  const problems = new Problems();
  problems.unknownKeys(root, ["formatVersion", "frames", "pipeline", "camera"]);
  problems.oneOf(root, "formatVersion", [1]);
  const max = goldenReportFrames(classes, goldenFrames);
  const frames = problems.number(root, "frames", { min: 0, max, whole: true });
  const pipeline = namedEntries(problems, root, "pipeline", ["logits", "noise"]).map(({ name, at, entry }) => {
    const isGood = isMatrix(entry.logits, frames, classes);
    if (!isGood) problems.report(`${at}logits`, `${frames} x ${classes} finite numbers`, entry.logits);
    const logits = isGood ? (entry.logits as PipelineExample["logits"]) : [];
    return {
      name,
      logits,
      ...("noise" in entry && { noise: problems.number(entry, "noise", { min: 0, max: Number.MAX_VALUE }, at) }),
    };
  });
  const camera = namedEntries(problems, root, "camera", ["shifts"]).map(({ name, at, entry }) => {
    return { name, shifts: shiftsOf(problems, entry, at) };
  });
  problems.throwAs("package-faults-invalid", "golden/faults.json");
  return { formatVersion: 1, frames, pipeline, camera };
}

/** Objects of a unique `name` and these keys. */
function namedEntries(problems: Problems, root: JsonObject, key: string, keys: readonly string[]) {
  const listed = Array.isArray(root[key]) ? root[key] : null;
  if (listed === null || listed.length > FAULTS_MAX) problems.report(key, `at most ${FAULTS_MAX} faults`, root[key]);
  const names = new Set<string>();
  return (listed ?? []).slice(0, FAULTS_MAX).map((one: unknown, i: number) => {
    const entry = isJsonObject(one) ? one : {};
    const at = `${key}[${i}].`;
    problems.unknownKeys(entry, ["name", ...keys], at);
    const name = problems.text(entry, "name", at, LABEL_BYTES_MAX);
    if (names.has(name)) problems.report(`${at}name`, "each fault once", name);
    names.add(name);
    return { name, at, entry };
  });
}

const isMatrix = (value: unknown, rows: number, columns: number): value is readonly (readonly number[])[] =>
  Array.isArray(value) && value.length === rows && value.every((row) => isNumbers(row) && row.length === columns);

/** How a fault of a camera, made on purpose when packing, changed validation frames. */
export type FaultExample = {
  readonly name: string;
  /** Whether it can be only in one camera, only in what all cameras of a site see, or either. */
  readonly place: "camera" | "site" | "both";
  /** By feature, the change of its mean of (bin + 1/2) / 32; by picture change (pictureChanges), the change itself. */
  readonly shifts: Readonly<Record<string, number>>;
};

export type FaultExamples = {
  readonly examples: readonly FaultExample[];
  /** By part of a shift (shiftParts), the standard deviation of what differs between frames without any fault. */
  readonly spread: Readonly<Record<string, number>>;
};

const EXAMPLES_MAX = 1_024;

/** golden/camera_faults.json. */
export function parseCameraFaults(json: unknown): FaultExamples {
  const root = objectOr(json, "package-faults-invalid", "golden/camera_faults.json");
  const problems = new Problems();
  problems.unknownKeys(root, ["formatVersion", "examples", "spread"]);
  problems.oneOf(root, "formatVersion", [1]);
  const listed = Array.isArray(root.examples) ? root.examples : null;
  if (listed === null || listed.length > EXAMPLES_MAX) {
    problems.report("examples", `at most ${EXAMPLES_MAX} examples`, root.examples);
  }
  const examples = (listed ?? []).slice(0, EXAMPLES_MAX).map((one: unknown, i: number): FaultExample => {
    const entry = isJsonObject(one) ? one : {};
    const at = `examples[${i}].`;
    problems.unknownKeys(entry, ["name", "place", "shifts"], at);
    const name = problems.text(entry, "name", at, LABEL_BYTES_MAX);
    const place = problems.oneOf(entry, "place", ["camera", "site", "both"] as const, at);
    return { name, place, shifts: shiftsOf(problems, entry, at) };
  });
  const spread = shiftsOf(problems, root, "", "spread");
  problems.throwAs("package-faults-invalid", "golden/camera_faults.json");
  return { examples, spread };
}

function shiftsOf(problems: Problems, entry: JsonObject, at: string, of = "shifts"): Readonly<Record<string, number>> {
  const given = problems.object(entry, of, at);
  return Object.fromEntries(
    Object.keys(given).map((key) => [key, problems.number(given, key, { min: -1, max: 1 }, `${at}${of}.`)]),
  );
}

/** confusion.json, of the validation set: counts[true][predicted], and each feature's mean of (bin + 1/2) / 32 by true class. */
export type Confusion = {
  readonly formatVersion: 1;
  readonly counts: readonly (readonly number[])[];
  readonly means: Readonly<Record<string, readonly number[]>>;
};

export const CONFUSION_CLASSES_MAX = 256;

export function parseConfusion(json: unknown, classes: number): Confusion {
  const root = objectOr(json, "package-confusion-invalid", "confusion.json");
  const problems = new Problems();
  problems.unknownKeys(root, ["formatVersion", "counts", "means"]);
  problems.oneOf(root, "formatVersion", [1]);
  if (classes > CONFUSION_CLASSES_MAX) problems.report("counts", `at most ${CONFUSION_CLASSES_MAX} classes`, classes);
  const counts = isMatrix(root.counts, classes, classes) ? root.counts : [];
  const isCounted = counts.length > 0 && counts.flat().every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!isCounted) problems.report("counts", `${classes} x ${classes} whole numbers from 0`, root.counts);
  const given = problems.object(root, "means");
  const means: Record<string, readonly number[]> = {};
  for (const feature of Object.keys(given)) {
    means[feature] = problems.numbers(given, feature, classes, "means.");
    if (means[feature].some((mean) => mean < 0 || mean > 1)) {
      problems.report(`means.${feature}`, "numbers in [0, 1]", given[feature]);
    }
  }
  problems.throwAs("package-confusion-invalid", "confusion.json");
  return { formatVersion: 1, counts, means };
}

/** Golden frames whose logits a device reports: as many as have at most 2,048 logits, at most 8; 0 when one has more. */
export function goldenReportFrames(classes: number, frames: number): number {
  return Math.min(8, frames, Math.floor(2_048 / classes));
}
