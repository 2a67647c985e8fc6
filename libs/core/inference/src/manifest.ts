/** The model package's manifest: content-addressed files under one JSON document whose SHA-256 is the model's digest. A file's
 * path stays inside the package: relative, `/` between plain names, no `.` or `..`.
 *
 * M1. A manifest with a key we do not know, or without one we need, is refused: every wrong key is named at once.
 * M3. No name reaches what every object inherits: `__proto__` is no name, and `constructor` is in a package only if it is
 *     listed. */
import { type Digest, isDigest } from "@tributary/kernel";
import { isJsonObject, type JsonObject, objectOr, Problems } from "./problems.ts";

/** Of every kind of package. */
export type PackageManifest = {
  readonly formatVersion: 1;
  readonly name: string;
  readonly version: string;
  /** Every file of the package, by path relative to the manifest. */
  readonly files: Readonly<Record<string, PackageFile>>;
  readonly hardwareClass: string;
  /** Measured on the validation split, e.g. accuracy, ece. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Where it came from: data set, splits, training command, parent digests. */
  readonly lineage: Readonly<Record<string, string>>;
};

/** Of a classifier. */
export type ModelManifest = PackageManifest & {
  /** Who preprocesses: `jpeg`, the runtime; `tensor`, the caller. */
  readonly input: "jpeg" | "tensor";
  readonly tensors: { readonly input: string; readonly logits: string; readonly features: string | null };
  readonly latencyBudgetMs: number;
};

/** Of a world model, which is a table: world.json (@tributary/world). */
export type WorldManifest = PackageManifest & { readonly kind: "world" };

export type PackageFile = { readonly sha256: Digest; readonly bytes: number };

/** Fixed names inside a package; `policy.json` only in edge packages, `reference_sketch_v2.json` not in old ones. */
export const packageFiles = {
  manifest: "manifest.json",
  model: "model.onnx",
  preprocessor: "preprocessor_config.json",
  labels: "labels.json",
  calibration: "calibration.json",
  policy: "policy.json",
  referenceSketch: "reference_sketch.json",
  referenceSketchV2: "reference_sketch_v2.json",
  goldenIndex: "golden/index.json",
  faults: "golden/faults.json",
  cameraFaults: "golden/camera_faults.json",
  confusion: "confusion.json",
  /** Of a world model; the only file beside its manifest. */
  world: "world.json",
} as const;

/** Files no classifier's package goes without. */
export const packageFilesRequired: readonly string[] = [
  packageFiles.model,
  packageFiles.preprocessor,
  packageFiles.labels,
  packageFiles.calibration,
  packageFiles.referenceSketch,
  packageFiles.goldenIndex,
];

export const packageLimits = {
  manifestBytesMax: 1 << 20,
  filesMax: 4_096,
  fileBytesMax: 1 << 30,
  packageBytesMax: 2 ** 31,
} as const;

const CODE = "package-manifest-invalid";
const KEYS = [
  "formatVersion",
  "name",
  "version",
  "input",
  "files",
  "tensors",
  "hardwareClass",
  "latencyBudgetMs",
  "metrics",
  "lineage",
] as const satisfies readonly (keyof ModelManifest)[];

export function parseManifest(json: unknown): ModelManifest {
  const root = objectOr(json, CODE, packageFiles.manifest);
  const problems = new Problems();
  problems.unknownKeys(root, KEYS);
  const common = commonPart(problems, root, packageFilesRequired);
  const tensors = problems.object(root, "tensors");
  problems.unknownKeys(tensors, ["input", "logits", "features"], "tensors.");
  const manifest: ModelManifest = {
    formatVersion: 1,
    name: common.name,
    version: common.version,
    input: problems.oneOf(root, "input", ["jpeg", "tensor"]),
    files: common.files,
    tensors: {
      input: problems.text(tensors, "input", "tensors."),
      logits: problems.text(tensors, "logits", "tensors."),
      features: tensors.features === null ? null : problems.text(tensors, "features", "tensors."),
    },
    hardwareClass: common.hardwareClass,
    latencyBudgetMs: problems.number(root, "latencyBudgetMs", { min: 0, max: 3_600_000 }),
    metrics: common.metrics,
    lineage: common.lineage,
  };
  problems.throwAs(CODE, packageFiles.manifest);
  return manifest;
}

const WORLD_KEYS = [
  "formatVersion",
  "kind",
  "name",
  "version",
  "files",
  "hardwareClass",
  "metrics",
  "lineage",
] as const satisfies readonly (keyof WorldManifest)[];

/** Of either kind. */
export function parseAnyManifest(json: unknown): ModelManifest | WorldManifest {
  const root = objectOr(json, CODE, packageFiles.manifest);
  if (root.kind === undefined) return parseManifest(json);
  const problems = new Problems();
  problems.oneOf(root, "kind", ["world"]);
  problems.unknownKeys(root, WORLD_KEYS);
  const manifest: WorldManifest = { kind: "world", ...commonPart(problems, root, [packageFiles.world]) };
  problems.throwAs(CODE, packageFiles.manifest);
  return manifest;
}

export const isWorld = (manifest: PackageManifest): manifest is WorldManifest => "kind" in manifest;

function commonPart(problems: Problems, root: JsonObject, required: readonly string[]): PackageManifest {
  problems.oneOf(root, "formatVersion", [1]);
  return {
    formatVersion: 1,
    name: named(problems, root, "name"),
    version: named(problems, root, "version"),
    files: files(problems, problems.object(root, "files"), required),
    hardwareClass: problems.text(root, "hardwareClass"),
    metrics: metrics(problems, problems.object(root, "metrics")),
    lineage: lineage(problems, problems.object(root, "lineage")),
  };
}

/** An object that inherits nothing (M3). */
const bare = <V>(): Record<string, V> => Object.create(null);

const PROTOTYPE = "__proto__";

export const isPackagePath = (path: string): boolean =>
  path.length <= 256 &&
  path !== packageFiles.manifest &&
  path.split("/").every((part) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(part) && part !== PROTOTYPE);

function named(problems: Problems, root: JsonObject, key: "name" | "version"): string {
  const value = root[key];
  if (typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value)) return value;
  problems.report(key, "letters, digits, '.', '_' or '-', at most 64", value);
  return "";
}

function files(
  problems: Problems,
  object: JsonObject,
  required: readonly string[],
): Readonly<Record<string, PackageFile>> {
  const entries = Object.entries(object);
  if (entries.length > packageLimits.filesMax) {
    problems.report("files", `at most ${packageLimits.filesMax} files`, entries.length);
    return {};
  }
  const parsed = bare<PackageFile>();
  let bytesTotal = 0;
  for (const [path, entry] of entries) {
    const at = `files["${path}"].`;
    if (!isPackagePath(path)) problems.report(`files["${path}"]`, "a plain path inside the package", path);
    if (!isJsonObject(entry)) {
      problems.report(`files["${path}"]`, "an object", entry);
      continue;
    }
    problems.unknownKeys(entry, ["sha256", "bytes"], at);
    const sha256 = entry.sha256;
    const isGood = typeof sha256 === "string" && isDigest(sha256);
    if (!isGood) problems.report(`${at}sha256`, "64 lower-case hex digits", sha256);
    const bytes = problems.number(entry, "bytes", { min: 0, max: packageLimits.fileBytesMax, whole: true }, at);
    bytesTotal += bytes;
    parsed[path] = { sha256: isGood ? sha256 : "", bytes };
  }
  if (bytesTotal > packageLimits.packageBytesMax) {
    problems.report("files", `at most ${packageLimits.packageBytesMax} bytes in all`, bytesTotal);
  }
  for (const path of required) {
    if (!Object.hasOwn(object, path))
      problems.report(`files["${path}"]`, "an entry (every package has this file)", undefined);
  }
  return parsed;
}

function metrics(problems: Problems, object: JsonObject): Readonly<Record<string, number>> {
  const parsed = bare<number>();
  for (const [name, value] of Object.entries(object)) {
    if (typeof value === "number" && Number.isFinite(value)) parsed[name] = value;
    else problems.report(`metrics.${name}`, "a finite number", value);
  }
  return parsed;
}

function lineage(problems: Problems, object: JsonObject): Readonly<Record<string, string>> {
  const parsed = bare<string>();
  for (const key of Object.keys(object)) parsed[key] = problems.text(object, key, "lineage.", 1_024);
  return parsed;
}
