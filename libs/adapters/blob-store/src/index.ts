import type { S3BlobStore, S3BlobStoreOptions } from "./s3.ts";

export { FolderBlobStore } from "./folder.ts";
export { type BlobStore, type ByteRange, bytesOf, checkedDigest } from "./port.ts";
export type { S3BlobStore, S3BlobStoreOptions };

/** AWS' client is loaded where it is used. */
export const openS3BlobStore = async (options: S3BlobStoreOptions): Promise<S3BlobStore> =>
  (await import("./s3.ts")).S3BlobStore.open(options);
