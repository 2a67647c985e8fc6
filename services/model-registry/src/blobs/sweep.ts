/**
 * Removes blobs that no model names: uploads that never became a model.
 *
 * What a model names, listed or revoked, stays, and so do the reports of its gate and the frames of its validation set. What
 * is recent stays, because an upload may be in progress. What a push in progress needs stays, however old it is: an upload
 * that was refused long ago may be pushed again.
 */
import type { BlobStore } from "@tributary/blob-store";
import { type Clock, type Digest, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { blobRefused, blobsSwept } from "../events.ts";
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
