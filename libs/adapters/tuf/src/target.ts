/** A target of ours is a package's manifest. The manifest lists every other file by SHA-256, so one signature covers all.
 *
 * P1. A target's path, its SHA-256 and the model's digest are one and the same; an entry that differs is no target.
 * P2. What a manifest declares (name, version, hardware class, bytes) is what was listed. */
import { createHash } from "node:crypto";
import { fitsHardware, type PackageManifest, packageLimits, parseAnyManifest } from "@tributary/inference";
import { type Digest, Failure, isDigest, reasonOf } from "@tributary/kernel";

export type ListedModel = {
  readonly name: string;
  readonly version: string;
  readonly hardwareClass: string;
  /** Of all listed files, without the manifest. */
  readonly packageBytes: number;
  readonly manifestBytes: number;
};

/** As TUF's models have it. */
type TargetEntry = {
  readonly length: number;
  readonly hashes: { readonly [algorithm: string]: string };
  readonly custom: { readonly [key: string]: unknown };
};

export const targetPath = (modelDigest: Digest): string => `${modelDigest}.json`;

/** P1. Undefined: not a target of ours. */
export function listedModelOf(path: string, entry: TargetEntry): [Digest, ListedModel] | undefined {
  const digest = path.slice(0, -".json".length);
  if (path !== targetPath(digest) || !isDigest(digest) || entry.hashes.sha256 !== digest) return undefined;
  const { name, version, hardwareClass, packageBytes } = entry.custom;
  if (!isText(name) || !isText(version) || !isText(hardwareClass)) return undefined;
  if (!isCount(packageBytes, packageLimits.packageBytesMax)) return undefined;
  if (!isCount(entry.length, packageLimits.manifestBytesMax)) return undefined;
  return [digest, { name, version, hardwareClass, packageBytes, manifestBytes: entry.length }];
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= 256;
const isCount = (value: unknown, max: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max;

/** The manifest, if `bytes` are what the verified metadata lists under `modelDigest` and it is for this hardware. Throws
 * Failure `package-digest-mismatch`, `package-manifest-invalid`, `package-listing-mismatch` or `package-hardware-mismatch`. */
export function verifyManifest(
  bytes: Uint8Array,
  modelDigest: Digest,
  listed: ListedModel,
  hardwareClass?: string,
): PackageManifest {
  const digest = createHash("sha256").update(bytes).digest("hex");
  if (bytes.length !== listed.manifestBytes || digest !== modelDigest) {
    throw new Failure(
      "package-digest-mismatch",
      "give-up",
      `manifest of ${modelDigest}: ${bytes.length} bytes with SHA-256 ${digest}, listed are ${listed.manifestBytes} bytes`,
    );
  }
  const manifest = parseAnyManifest(parseJson(bytes, modelDigest));
  const declared = { ...listedPartOf(manifest), manifestBytes: bytes.length };
  for (const key of Object.keys(listed) as (keyof ListedModel)[]) {
    if (declared[key] === listed[key]) continue;
    const what = `${key} is ${JSON.stringify(declared[key])}, listed as ${JSON.stringify(listed[key])}`;
    throw new Failure("package-listing-mismatch", "give-up", `manifest of ${modelDigest}: ${what}`);
  }
  if (hardwareClass !== undefined && !fitsHardware(manifest.hardwareClass, hardwareClass)) {
    const what = `is for hardware "${manifest.hardwareClass}", this device is "${hardwareClass}"`;
    throw new Failure("package-hardware-mismatch", "give-up", `model ${modelDigest} ${what}`);
  }
  return manifest;
}

/** What a repository lists of a manifest, without the manifest's own length. */
export function listedPartOf(manifest: PackageManifest): Omit<ListedModel, "manifestBytes"> {
  const { name, version, hardwareClass, files } = manifest;
  return {
    name,
    version,
    hardwareClass,
    packageBytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function parseJson(bytes: Uint8Array, modelDigest: Digest): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const what = `manifest of ${modelDigest} is not JSON: ${reasonOf(error)}`;
    throw new Failure("package-manifest-invalid", "give-up", what, { cause: error });
  }
}
