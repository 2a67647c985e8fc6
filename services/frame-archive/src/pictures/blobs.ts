import { join } from "node:path";
import { type BlobStore, FolderBlobStore, openS3BlobStore } from "@tributary/blob-store";
import type { Clock, Random } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { FrameArchiveConfig } from "../config.ts";
import { DiskWatch } from "./disk-watch.ts";

/** BlobStore: the pictures, by their digests. */
export const BLOBS = Symbol("BlobStore");

/** Where pictures are on the disk: for good, or until they are in S3. */
const diskDirOf = ({ blobs, dataDir }: FrameArchiveConfig): string =>
  join(dataDir, blobs.s3 === undefined ? "blobs" : "spool");

export function blobStoreOf(config: FrameArchiveConfig): Promise<BlobStore> {
  const { blobs, keep } = config;
  if (blobs.s3 === undefined) {
    return FolderBlobStore.open({ dir: diskDirOf(config), bytesTotalMax: keep.bytesTotalMax });
  }
  const { endpointUrl, ...s3 } = blobs.s3;
  return openS3BlobStore({
    ...s3,
    spoolDir: diskDirOf(config),
    ...(endpointUrl !== undefined && { endpointUrl }),
  });
}

export function diskWatchOf(
  config: FrameArchiveConfig,
  store: BlobStore,
  clock: Clock,
  random: Random,
  telemetry: Telemetry,
): DiskWatch {
  const probe = async (bytes: number): Promise<void> => {
    const zeros = async function* () {
      yield new Uint8Array(bytes);
    };
    const { digest } = await store.put(zeros(), { bytesMax: bytes });
    await store.remove(digest);
  };
  const waitMsMax = config.blobs.diskWaitMsMax;
  return new DiskWatch({ dir: diskDirOf(config), waitMsMax, probe, clock, random, telemetry });
}
