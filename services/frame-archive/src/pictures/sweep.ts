/**
 * Removes pictures that no frame of the archive names: expired ones, those beyond the archive's bound, and those whose record was
 * never written.
 *
 * S1. The index has every record of Kafka when a sweep starts, or nothing is removed: what another instance wrote would seem
 *     unnamed.
 * S2. What was stored recently stays: its record may be on its way.
 */
import type { BlobStore } from "@tributary/blob-store";
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { picturesSwept } from "../events.ts";
import type { ArchiveIndex } from "../tables/archive-index.ts";

export type SweepOptions = {
  readonly blobs: Pick<BlobStore, "list" | "remove">;
  readonly index: Pick<ArchiveIndex, "prune" | "isNamed">;
  readonly isCurrent: () => Promise<boolean>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly unusedMsMax: number;
};

export async function sweep({ blobs, index, isCurrent, clock, telemetry, unusedMsMax }: SweepOptions): Promise<void> {
  const before = clock.now() - unusedMsMax; // S2: as of the time that the index is compared with
  if (!(await isCurrent())) return; // S1
  index.prune(clock.now());
  let [pictures, bytes] = [0, 0];
  for await (const blob of blobs.list()) {
    if (blob.storedAt > before || index.isNamed(blob.digest)) continue;
    await blobs.remove(blob.digest);
    pictures++;
    bytes += blob.bytes;
  }
  if (pictures > 0) telemetry.emit(picturesSwept, { pictures, bytes });
}
