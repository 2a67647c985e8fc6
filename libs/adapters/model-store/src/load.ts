/** Reads a model package from a folder. Sizes are checked before anything is read (G9).
 *
 * L1. Every file is what the manifest lists, byte for byte, and nothing else is in the folder (G6): no file more, none less,
 *     no symbolic link. The manifest's own SHA-256 is the package's digest.
 * L2. The parsed bytes are the hashed ones, not a second reading of the file. */
import { lstat, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  isWorld,
  type ModelManifest,
  type ModelPackage,
  type PackageFile,
  type PackageManifest,
  packageFiles,
  packageLimits,
  parseAnyManifest,
  parseCalibration,
  parseCameraFaults,
  parseConfusion,
  parseFaults,
  parseGoldenIndex,
  parseLabels,
  parsePreprocessing,
  parseReferenceSketch,
  type WorldManifest,
} from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { parseWorldTable, type WorldTable } from "@tributary/world";
import { hashFile, sha256 } from "./digest.ts";

/** Larger JSON documents than this are no labels, calibration, policy or sketch. */
const DOCUMENT_BYTES_MAX = 16 << 20;

export type LoadPackageOptions = {
  /** Refuses the package when its digest is another one. */
  readonly digest?: Digest;
};

/** A world model, as read from its folder. */
export type WorldPackage = {
  readonly dir: string;
  readonly digest: Digest;
  readonly manifest: WorldManifest;
  readonly table: WorldTable;
};

export async function loadPackage(folder: string, options: LoadPackageOptions = {}): Promise<ModelPackage> {
  const { dir, digest, manifest } = await openFolder(folder, options);
  if (isWorld(manifest))
    throw new Failure("package-other-kind", "give-up", `${dir} is a world model, and no classifier`);
  return classifierOf(dir, digest, manifest);
}

export async function loadWorld(folder: string, options: LoadPackageOptions = {}): Promise<WorldPackage> {
  const { dir, digest, manifest } = await openFolder(folder, options);
  if (!isWorld(manifest))
    throw new Failure("package-other-kind", "give-up", `${dir} is a classifier, and no world model`);
  return { dir, digest, manifest, table: parseWorldTable(await documentOf(dir, manifest, packageFiles.world)) };
}

/** Checks a package of either kind, as `loadPackage` and `loadWorld` do. */
export async function checkPackage(
  folder: string,
  options: LoadPackageOptions = {},
): Promise<{ readonly manifest: PackageManifest; readonly digest: Digest }> {
  const { dir, digest, manifest } = await openFolder(folder, options);
  if (isWorld(manifest)) parseWorldTable(await documentOf(dir, manifest, packageFiles.world));
  else await classifierOf(dir, digest, manifest);
  return { manifest, digest };
}

/** L1. */
async function openFolder(folder: string, options: LoadPackageOptions) {
  const dir = resolve(folder);
  const bytes = await readManifest(dir);
  const digest = sha256(bytes);
  if (options.digest !== undefined && options.digest !== digest) {
    throw mismatch(dir, packageFiles.manifest, `SHA-256 is ${digest}, wanted ${options.digest}`);
  }
  const manifest = parseAnyManifest(parseJson(bytes, packageFiles.manifest, "package-manifest-invalid"));
  await checkListing(dir, manifest);
  for (const [path, file] of Object.entries(manifest.files)) await checkFile(dir, path, file);
  return { dir, digest, manifest };
}

async function documentOf(dir: string, manifest: PackageManifest, path: string): Promise<unknown> {
  if ((manifest.files[path]?.bytes ?? 0) > DOCUMENT_BYTES_MAX) {
    throw new Failure("package-file-too-large", "give-up", `${join(dir, path)}: at most ${DOCUMENT_BYTES_MAX} bytes`);
  }
  return parseJson(await readPackageFile({ dir, manifest }, path), path, "package-document-invalid");
}

async function classifierOf(dir: string, digest: Digest, manifest: ModelManifest): Promise<ModelPackage> {
  const document = (path: string) => documentOf(dir, manifest, path);
  const isListed = (path: string) => Object.hasOwn(manifest.files, path);
  const labels = parseLabels(await document(packageFiles.labels));
  const golden = checkGolden(parseGoldenIndex(await document(packageFiles.goldenIndex), labels.length), manifest);
  return {
    dir,
    digest,
    manifest,
    labels,
    calibration: parseCalibration(await document(packageFiles.calibration)),
    preprocessing: parsePreprocessing(await document(packageFiles.preprocessor)),
    preprocessingDigest: manifest.files[packageFiles.preprocessor]?.sha256 as Digest,
    policy: packageFiles.policy in manifest.files ? await document(packageFiles.policy) : null,
    referenceSketch: parseReferenceSketch(
      await document(
        isListed(packageFiles.referenceSketchV2) ? packageFiles.referenceSketchV2 : packageFiles.referenceSketch,
      ),
    ),
    golden,
    faults: isListed(packageFiles.faults)
      ? parseFaults(await document(packageFiles.faults), labels.length, golden.frames.length)
      : null,
    cameraFaults: isListed(packageFiles.cameraFaults)
      ? parseCameraFaults(await document(packageFiles.cameraFaults))
      : null,
    confusion: isListed(packageFiles.confusion)
      ? parseConfusion(await document(packageFiles.confusion), labels.length)
      : null,
  };
}

/** The bytes of one listed file, checked again at this reading. */
export async function readPackageFile(
  pkg: { readonly dir: string; readonly manifest: PackageManifest },
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = Object.hasOwn(pkg.manifest.files, path) ? pkg.manifest.files[path] : undefined;
  if (file === undefined) {
    throw new Failure("package-file-unlisted", "give-up", `${path} is not in the manifest of ${pkg.dir}`);
  }
  const bytes = new Uint8Array(await readFile(join(pkg.dir, path)));
  if (bytes.length !== file.bytes || sha256(bytes) !== file.sha256) {
    throw mismatch(pkg.dir, path, "the content differs from the manifest");
  }
  return bytes;
}

async function readManifest(dir: string): Promise<Uint8Array> {
  const path = join(dir, packageFiles.manifest);
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") {
      throw new Failure("package-file-missing", "give-up", `${path} does not exist: no model package`);
    }
    throw new Failure("package-unreadable", "retry", `${path}: ${reasonOf(error)}`, { cause: error });
  });
  if (!stat.isFile()) throw notPlain(path);
  if (stat.size > packageLimits.manifestBytesMax) {
    throw new Failure("package-file-too-large", "give-up", `${path}: at most ${packageLimits.manifestBytesMax} bytes`);
  }
  return readFile(path);
}

/** L1: the folder holds exactly the listed files. */
async function checkListing(dir: string, manifest: PackageManifest): Promise<void> {
  const present = new Set<string>();
  const walk = async (under: string): Promise<void> => {
    for (const entry of await readdir(join(dir, under), { withFileTypes: true })) {
      const path = under === "" ? entry.name : `${under}/${entry.name}`;
      if (present.size > packageLimits.filesMax) {
        throw new Failure("package-file-unlisted", "give-up", `${dir}: more than ${packageLimits.filesMax} files`);
      }
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile()) present.add(path);
      else throw notPlain(join(dir, path));
    }
  };
  await walk("");
  present.delete(packageFiles.manifest);
  const listed = Object.keys(manifest.files);
  const missing = listed.filter((path) => !present.has(path));
  if (missing.length > 0) {
    throw new Failure("package-file-missing", "give-up", `${dir} lacks ${named(missing)}, listed in its manifest`);
  }
  const unlisted = [...present].filter((path) => !Object.hasOwn(manifest.files, path));
  if (unlisted.length > 0) {
    throw new Failure("package-file-unlisted", "give-up", `${dir} has ${named(unlisted)}, not listed in its manifest`);
  }
}

async function checkFile(dir: string, path: string, file: PackageFile): Promise<void> {
  const { size } = await lstat(join(dir, path));
  if (size !== file.bytes) throw mismatch(dir, path, `${size} bytes, the manifest lists ${file.bytes}`);
  const digest = await hashFile(join(dir, path));
  if (digest !== file.sha256) throw mismatch(dir, path, `SHA-256 is ${digest}, the manifest lists ${file.sha256}`);
}

function checkGolden(golden: ModelPackage["golden"], manifest: ModelManifest): ModelPackage["golden"] {
  const missing = golden.frames
    .flatMap(({ jpeg, pixels }) => [jpeg, pixels])
    .filter((path) => !Object.hasOwn(manifest.files, path));
  if (missing.length === 0) return golden;
  throw new Failure("package-golden-invalid", "give-up", `golden frames name ${named(missing)}, not in the manifest`);
}

function parseJson(bytes: Uint8Array, path: string, code: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Failure(code, "give-up", `${path} is not JSON: ${reasonOf(error)}`, { cause: error });
  }
}

const mismatch = (dir: string, path: string, what: string) =>
  new Failure("package-digest-mismatch", "give-up", `${join(dir, path)}: ${what}`);

const notPlain = (path: string) =>
  new Failure("package-file-not-plain", "give-up", `${path} is a link or a special file, not a plain one`);

const named = (paths: readonly string[]): string =>
  paths.slice(0, 5).join(", ") + (paths.length > 5 ? ` and ${paths.length - 5} more` : "");
