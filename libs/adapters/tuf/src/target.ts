/** A target of ours is a package's manifest. The manifest lists every other file by SHA-256, so one signature covers all.
 *
 * P1. A target's path, its SHA-256 and the model's digest are one and the same; an entry that differs is no target. */
import { type ListedModel, packageLimits } from "@tributary/inference";
import { type Digest, isDigest } from "@tributary/kernel";

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
