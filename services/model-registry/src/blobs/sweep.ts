/**
 * Removes blobs that no model names: uploads that never became a model.
 *
 * What a model names, listed or revoked, stays, and so do the reports of its gate and the frames of its validation set. The
 * frames of the slice that a version was trained for stay while its gate may be run: while it is listed and has an alias; they
 * are pictures of devices, so they do not stay as long as the package. What is recent stays, because an upload may be in progress. What a push in progress needs stays, however old it is: an upload
 * that was refused long ago may be pushed again.
 */
import type { BlobStore } from "@tributary/blob-store";
import { type Clock, type Digest, Failure, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { blobRefused, blobsSwept } from "../events.ts";
import { sliceFramesOf } from "../gating/automatic.ts";
import type { Packages } from "../models/packages.ts";
import type { Registry } from "../models/registry.ts";
import type { ValidationSets } from "../validation/validation-sets.ts";

export type SweepOptions = {
  readonly blobs: Pick<BlobStore, "list" | "remove">;
  readonly packages: Pick<Packages, "manifest">;
  readonly table: ModelTable;
  readonly registry: Pick<Registry, "holds">;
  readonly validation: Pick<ValidationSets, "manifest">;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly unusedMsMax: number;
};

/** Of versions whose gate may be run. */
const sliceSets = (table: ModelTable): readonly Digest[] =>
  table.list().flatMap((model) => {
    const isInUse = model.state === "LISTED" && table.aliasesOf(model).length > 0;
    return isInUse ? (sliceFramesOf(model) ?? []) : [];
  });

/** None where the manifest that a version's lineage names is missing or malformed: its gate reports that, and it keeps nothing. */
async function framesOf(digest: Digest, validation: SweepOptions["validation"]): Promise<readonly Digest[]> {
  try {
    return (await validation.manifest(digest)).frames.map(({ sha256 }) => sha256);
  } catch (error) {
    if (error instanceof Failure && error.advice !== "retry") return [];
    throw error; // If it is unreadable now, nothing is removed.
  }
}

export async function sweep(options: SweepOptions): Promise<void> {
  const { blobs, packages, table, registry, validation, clock, telemetry, unusedMsMax } = options;
  const used = new Set<Digest>();
  const seen = new Set<Digest>();
  /** Repeats until nothing is new: a version may be listed while manifests are read, and is then no longer held by its push. */
  const collectUsed = async (): Promise<void> => {
    for (let isNew = true; isNew; ) {
      isNew = false;
      for (const { modelDigest, gate } of table.list()) {
        for (const digest of [gate?.reportDigest, gate?.pageDigest]) if (digest) used.add(digest);
        if (seen.has(modelDigest)) continue;
        const { manifest } = await packages.manifest(modelDigest); // If it is unreadable, nothing is removed.
        for (const { sha256 } of Object.values(manifest.files)) used.add(sha256);
        used.add(modelDigest);
        seen.add(modelDigest);
        isNew = true;
      }
      for (const digest of sliceSets(table)) {
        if (seen.has(digest)) continue;
        for (const one of await framesOf(digest, validation)) used.add(one);
        used.add(digest);
        seen.add(digest);
        isNew = true;
      }
      for (const name of table.names()) {
        const set = table.validation(name);
        if (set === null || seen.has(set.digest)) continue;
        for (const { sha256 } of (await validation.manifest(set.digest)).frames) used.add(sha256);
        used.add(set.digest);
        seen.add(set.digest);
        isNew = true;
      }
    }
  };
  await collectUsed();
  let [count, bytes] = [0, 0];
  for await (const blob of blobs.list()) {
    if (used.has(blob.digest) || clock.now() - blob.storedAt < unusedMsMax) continue;
    await collectUsed();
    if (used.has(blob.digest) || registry.holds(blob.digest)) continue;
    await blobs.remove(blob.digest).catch((error: unknown) => {
      telemetry.emit(blobRefused, { digest: blob.digest, code: "blob-not-removed", reason: reasonOf(error) });
    });
    count += 1;
    bytes += blob.bytes;
  }
  if (count > 0) telemetry.emit(blobsSwept, { count, bytes });
}
