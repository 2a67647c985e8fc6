/**
 * Removes blobs that no model names: uploads that never became a model.
 *
 * W1. What a model names, listed or revoked, stays, and so do the reports of its gate.
 * W2. What is young stays: a push may be under way.
 */
import type { BlobStore } from "@tributary/blob-store";
import { type Clock, type Digest, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { blobRefused, blobsSwept } from "../events.ts";
import type { ModelTable } from "../models/model-table.ts";
import type { Packages } from "../models/packages.ts";

export type SweepOptions = {
  readonly blobs: BlobStore;
  readonly packages: Packages;
  readonly table: ModelTable;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly unusedMsMax: number;
};

export async function sweep({ blobs, packages, table, clock, telemetry, unusedMsMax }: SweepOptions): Promise<void> {
  const used = new Set<Digest>();
  for (const { modelDigest, gate } of table.list()) {
    used.add(modelDigest);
    for (const digest of [gate?.reportDigest, gate?.pageDigest]) if (digest) used.add(digest);
    const { manifest } = await packages.manifest(modelDigest); // W1: unreadable, nothing is removed
    for (const { sha256 } of Object.values(manifest.files)) used.add(sha256);
  }
  let [count, bytes] = [0, 0];
  for await (const blob of blobs.list()) {
    if (used.has(blob.digest) || clock.now() - blob.storedAt < unusedMsMax) continue; // W2
    await blobs.remove(blob.digest).catch((error: unknown) => {
      telemetry.emit(blobRefused, { digest: blob.digest, code: "blob-not-removed", reason: reasonOf(error) });
    });
    count += 1;
    bytes += blob.bytes;
  }
  if (count > 0) telemetry.emit(blobsSwept, { count, bytes });
}
