/** tuf-js' errors as Failures of ours. Its classes come from two packages and are distinguished by name. */
import { Failure, reasonOf } from "@tributary/kernel";

/** `retry`: a better network or a later time may cure it. `ask-a-person`: a wrong signature or an attack; a device retries all
 * the same, which is harmless. */
const advice = {
  "tuf-unavailable": "retry",
  "tuf-slow": "retry",
  "tuf-too-large": "retry",
  "tuf-expired": "retry",
  "tuf-storage": "retry",
  "tuf-signature": "ask-a-person",
  "tuf-rollback": "ask-a-person",
  "tuf-mix-and-match": "ask-a-person",
  "tuf-signed-ahead": "ask-a-person",
  "tuf-malformed": "ask-a-person",
  "tuf-root-invalid": "ask-a-person",
} as const;
export type TufCode = keyof typeof advice;

export const tufFailure = (code: TufCode, message: string, cause?: unknown): Failure =>
  new Failure(code, advice[code], message, cause === undefined ? undefined : { cause });

/** `onBadVersion`: what a version that does not fit means at this step. */
export function tufFailureOf(error: unknown, file: string, onBadVersion: TufCode): Failure {
  if (error instanceof Failure) return error;
  return tufFailure(codeOf(error, onBadVersion), `${file}: ${reasonOf(error)}`, error);
}

function codeOf(error: unknown, onBadVersion: TufCode): TufCode {
  switch (nameOf(error)) {
    case "ExpiredMetadataError":
      return "tuf-expired";
    case "BadVersionError":
    case "EqualVersionError":
      return onBadVersion;
    case "UnsignedMetadataError":
      return "tuf-signature";
    case "LengthOrHashMismatchError":
      return "tuf-mix-and-match";
    case "RepositoryError":
      return "tuf-rollback"; // A snapshot that no longer names targets.json; each other use is a wrong type, caught while parsing.
    default:
      return "tuf-malformed"; // Not JSON, not of the form, nested too deep.
  }
}

/** Local files go through the same checks; these outcomes only mean that they are outdated. */
export const isOutdated = (error: unknown): boolean =>
  ["ExpiredMetadataError", "BadVersionError", "EqualVersionError", "LengthOrHashMismatchError"].includes(nameOf(error));

export const isEqualVersion = (error: unknown): boolean => nameOf(error) === "EqualVersionError";

const nameOf = (error: unknown): string => (error instanceof Object ? error.constructor.name : "");
