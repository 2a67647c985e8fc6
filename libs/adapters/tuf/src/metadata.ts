/** Shared by both sides of our TUF repository: names of files and roles, and one field of ours. */
import type { Instant } from "@tributary/kernel";

export const roles = ["root", "timestamp", "snapshot", "targets"] as const;
export type Role = (typeof roles)[number];

/** The parts of TUF's `signed` that every role has. */
export type SignedPart = {
  readonly version: number;
  readonly expires: string;
  readonly unrecognizedFields: { readonly [key: string]: unknown };
};

/** Ours, in the signed part of every role: when it was signed (ISO 8601, UTC). TUF knows only when metadata ends, and a
 * device without a clock learns from this field that it is at least so late. Others' verifiers pass over it. */
export const SIGNED_AT = "x-signed-at";

/** Milliseconds since 1970, or undefined where the field is missing or no time. */
export function signedAt(signed: SignedPart): Instant | undefined {
  const text = signed.unrecognizedFields[SIGNED_AT];
  const instant = typeof text === "string" ? Date.parse(text) : Number.NaN;
  return Number.isNaN(instant) ? undefined : instant;
}

export const expiresAt = (signed: SignedPart): Instant => Date.parse(signed.expires);

/** TUF's form: seconds, UTC. */
export const timeText = (instant: Instant): string => `${new Date(instant).toISOString().slice(0, 19)}Z`;

/** Snapshots are consistent: every version keeps its own name, only `timestamp.json` is overwritten. */
export const fileOf = (role: Role, version: number): string =>
  role === "timestamp" ? "timestamp.json" : `${version}.${role}.json`;

/** Bytes of each role's file. The repository signs nothing larger and a device reads nothing larger. That of `targets` is about
 * 900 models; beyond that tuf-js, whose parsing is quadratic in their number, would hold a small device up. */
export const metadataBytesMax: Readonly<Record<Role, number>> = {
  root: 64 << 10,
  timestamp: 8 << 10,
  snapshot: 16 << 10,
  targets: 256 << 10,
};
