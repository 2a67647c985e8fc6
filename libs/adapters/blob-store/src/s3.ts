/**
 * Blobs in a bucket of S3, or of a server with its API: `PREFIXsha256/abcd…`.
 *
 * An object's key is its digest, which is known at the end only: a blob waits in a local file, and is uploaded once its digest
 * is verified (port.ts B1). S3 gets the SHA-256 and refuses other bytes (port.ts B2). An existing blob is uploaded again, and
 * gets the time of this put. */
import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { type Digest, isDigest } from "@tributary/kernel";
import {
  type BlobStore,
  type ByteRange,
  blobUnknown,
  checkedDigest,
  type PutOptions,
  type StoredBlob,
} from "./port.ts";
import { isMissing, type S3Place, s3Client } from "./s3-client.ts";
import { spool, unavailable } from "./spool.ts";

export type S3BlobStoreOptions = S3Place & {
  /** Where a blob waits until it is verified; a folder of one process. */
  readonly spoolDir: string;
};

export class S3BlobStore implements BlobStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #spoolDir: string;

  private constructor(options: S3BlobStoreOptions) {
    this.#client = s3Client(options);
    this.#bucket = options.bucket;
    this.#prefix = `${options.prefix ?? ""}sha256/`;
    this.#spoolDir = options.spoolDir;
  }

  static async open(options: S3BlobStoreOptions): Promise<S3BlobStore> {
    await rm(options.spoolDir, { recursive: true, force: true });
    await mkdir(options.spoolDir, { recursive: true }).catch(unavailable);
    return new S3BlobStore(options);
  }

  async put(bytes: AsyncIterable<Uint8Array>, options: PutOptions): Promise<StoredBlob> {
    const path = join(this.#spoolDir, randomUUID());
    const blob = await spool(path, bytes, options);
    try {
      await this.#client
        .send(
          new PutObjectCommand({
            ...this.#at(blob.digest),
            Body: createReadStream(path),
            ContentLength: blob.bytes,
            ContentType: "application/octet-stream",
            ChecksumSHA256: Buffer.from(blob.digest, "hex").toString("base64"),
          }),
        )
        .catch(unavailable);
      return blob;
    } finally {
      await rm(path, { force: true });
    }
  }

  async *get(digest: Digest, range?: ByteRange): AsyncIterable<Uint8Array> {
    const within = range !== undefined && { Range: `bytes=${range.from}-${range.to}` };
    const { Body } = await this.#client
      .send(new GetObjectCommand({ ...this.#at(digest), ...within }))
      .catch((error: unknown) => {
        if (isMissing(error)) throw blobUnknown(digest);
        return unavailable(error);
      });
    const stream = Body as Readable;
    try {
      for await (const chunk of stream) yield chunk as Uint8Array;
    } catch (error) {
      unavailable(error);
    } finally {
      stream.destroy();
    }
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.size(digest)) !== undefined;
  }

  async size(digest: Digest): Promise<number | undefined> {
    try {
      return (await this.#client.send(new HeadObjectCommand(this.#at(digest)))).ContentLength;
    } catch (error) {
      return isMissing(error) ? undefined : unavailable(error);
    }
  }

  async *list(): AsyncIterable<StoredBlob & { readonly storedAt: number }> {
    for (let next: string | undefined; ; ) {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix,
        ContinuationToken: next,
      });
      const page = await this.#client.send(command).catch(unavailable);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        const digest = Key?.slice(this.#prefix.length) ?? "";
        if (isDigest(digest)) yield { digest, bytes: Size ?? 0, storedAt: LastModified?.getTime() ?? 0 };
      }
      next = page.NextContinuationToken;
      if (next === undefined) return;
    }
  }

  async remove(digest: Digest): Promise<void> {
    await this.#client.send(new DeleteObjectCommand(this.#at(digest))).catch(unavailable);
  }

  #at(digest: Digest): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + checkedDigest(digest) };
  }
}
