/** What a manifest declares (name, version, hardware class, bytes) is what signed metadata lists. */
import {
  fitsHardware,
  type ListedModel,
  listedPartOf,
  type PackageManifest,
  parseAnyManifest,
} from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { sha256 } from "../digest.ts";

/** The manifest, if `bytes` are what the verified metadata lists under `modelDigest` and it is for this hardware. Throws
 * Failure `package-digest-mismatch`, `package-manifest-invalid`, `package-listing-mismatch` or `package-hardware-mismatch`. */
export function verifyManifest(
  bytes: Uint8Array,
  modelDigest: Digest,
  listed: ListedModel,
  hardwareClass?: string,
): PackageManifest {
  const digest = sha256(bytes);
  if (bytes.length !== listed.manifestBytes || digest !== modelDigest) {
    throw new Failure(
      "package-digest-mismatch",
      "give-up",
      `manifest of ${modelDigest}: ${bytes.length} bytes with SHA-256 ${digest}, listed are ${listed.manifestBytes} bytes`,
    );
  }
  const manifest = manifestOf(bytes, modelDigest);
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

/** Throws Failure `package-manifest-invalid`. */
export const manifestOf = (bytes: Uint8Array, modelDigest: Digest): PackageManifest =>
  parseAnyManifest(parseJson(bytes, modelDigest));

function parseJson(bytes: Uint8Array, modelDigest: Digest): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const what = `manifest of ${modelDigest} is not JSON: ${reasonOf(error)}`;
    throw new Failure("package-manifest-invalid", "give-up", what, { cause: error });
  }
}
