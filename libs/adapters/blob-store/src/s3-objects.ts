/** Objects in a bucket of S3, or of a server with its API: `PREFIXkey`. S3 gets the SHA-256 of what is put, and refuses other bytes
 * (object-store.ts K1). */
import { createHash } from "node:crypto";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import {
  checkedKey,
  checkedPrefix,
  checkedSize,
  type ObjectStore,
  objectsUnavailable,
  objectUnknown,
  type StoredObject,
} from "./object-store.ts";
import { isMissing, type S3Place, s3Client } from "./s3-client.ts";

export class S3ObjectStore implements ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(place: S3Place) {
    this.#client = s3Client(place);
    this.#bucket = place.bucket;
    this.#prefix = place.prefix ?? "";
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const at = this.#at(key);
    checkedSize(key, bytes.length);
    const ChecksumSHA256 = createHash("sha256").update(bytes).digest("base64");
    const command = new PutObjectCommand({ ...at, Body: bytes, ContentLength: bytes.length, ChecksumSHA256 });
    await this.#client.send(command).catch(objectsUnavailable);
  }

  async get(key: string): Promise<Uint8Array> {
    const { Body, ContentLength } = await this.#client.send(new GetObjectCommand(this.#at(key))).catch((error) => {
      if (isMissing(error)) throw objectUnknown(key);
      return objectsUnavailable(error);
    });
    checkedSize(key, ContentLength ?? 0);
    return (await Body?.transformToByteArray().catch(objectsUnavailable)) ?? new Uint8Array();
  }

  async has(key: string): Promise<boolean> {
    try {
      await this.#client.send(new HeadObjectCommand(this.#at(key)));
      return true;
    } catch (error) {
      return isMissing(error) ? false : objectsUnavailable(error);
    }
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    checkedPrefix(prefix);
    for (let next: string | undefined; ; ) {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        ContinuationToken: next,
      });
      const page = await this.#client.send(command).catch(objectsUnavailable);
      for (const { Key = "", Size = 0 } of page.Contents ?? []) {
        yield { key: Key.slice(this.#prefix.length), bytes: Size };
      }
      next = page.NextContinuationToken;
      if (next === undefined) return;
    }
  }

  async remove(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand(this.#at(key))).catch(objectsUnavailable);
  }

  uri(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key === "" ? "" : checkedKey(key)}`.replace(/\/$/, "");
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + checkedKey(key) };
  }
}
