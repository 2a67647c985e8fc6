import type { ObjectStore } from "./object-store.ts";
import type { S3BlobStore, S3BlobStoreOptions } from "./s3.ts";
import type { S3Place } from "./s3-client.ts";

export { FolderBlobStore } from "./folder.ts";
export { FolderObjectStore } from "./folder-objects.ts";
export type { ObjectStore } from "./object-store.ts";
export { type BlobStore, type ByteRange, bytesOf, checkedDigest } from "./port.ts";
export type { S3BlobStore, S3BlobStoreOptions };

/** AWS' client is loaded where it is used. */
export const openS3BlobStore = async (options: S3BlobStoreOptions): Promise<S3BlobStore> =>
  (await import("./s3.ts")).S3BlobStore.open(options);

export const openS3ObjectStore = async (place: S3Place): Promise<ObjectStore> =>
  new (await import("./s3-objects.ts")).S3ObjectStore(place);
