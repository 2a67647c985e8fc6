import { join } from "node:path";
import { type BlobStore, FolderBlobStore, openS3BlobStore } from "@tributary/blob-store";
import type { FrameArchiveConfig } from "../config.ts";

/** BlobStore: the pictures, by their digests. */
export const BLOBS = Symbol("BlobStore");

export function blobStoreOf({ blobs, dataDir, keep }: FrameArchiveConfig): Promise<BlobStore> {
  if (blobs.s3 === undefined) {
    return FolderBlobStore.open({ dir: join(dataDir, "blobs"), bytesTotalMax: keep.bytesTotalMax });
  }
  const { endpointUrl, ...s3 } = blobs.s3;
  return openS3BlobStore({
    ...s3,
    spoolDir: join(dataDir, "spool"),
    ...(endpointUrl !== undefined && { endpointUrl }),
  });
}
