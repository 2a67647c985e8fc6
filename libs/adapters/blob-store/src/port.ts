/**
 * Bytes under their own SHA-256: the content of a digest never changes, so it may be kept, copied and cached forever.
 *
 * B1. What is stored under a digest has that digest: bytes are hashed while they are written, and others are refused.
 * B2. A blob is there whole or not at all, also after a crash in the middle of a `put`.
 * B3. The size of a blob is bounded, also that of a stream that does not end (G9).
 */
import { type Digest, Failure, isDigest } from "@tributary/kernel";

export type PutOptions = {
  /** Refuses other bytes with `blob-digest-mismatch`. */
  readonly expected?: Digest;
  /** Refuses more with `blob-too-large` (B3). */
  readonly bytesMax: number;
};

export type StoredBlob = { readonly digest: Digest; readonly bytes: number };

/** Both ends included, as in HTTP. */
export type ByteRange = { readonly from: number; readonly to: number };

export interface BlobStore {
  /** Idempotent; the later put sets the time. */
  put(bytes: AsyncIterable<Uint8Array>, options: PutOptions): Promise<StoredBlob>;
  /** From byte `range.from` to byte `range.to`; all of it by default. Throws `blob-unknown`. */
  get(digest: Digest, range?: ByteRange): AsyncIterable<Uint8Array>;
  has(digest: Digest): Promise<boolean>;
  /** In bytes; undefined where there is no such blob. */
  size(digest: Digest): Promise<number | undefined>;
  /** Every blob, with the time in ms since the epoch when it was stored. */
  list(): AsyncIterable<StoredBlob & { readonly storedAt: number }>;
  /** Resolves also if there is no such blob. */
  remove(digest: Digest): Promise<void>;
}

export const UNAVAILABLE = "blob-store-unavailable";

export const blobUnknown = (digest: Digest) =>
  new Failure("blob-unknown", "give-up", `no blob has the SHA-256 ${digest}`);

export const blobTooLarge = (bytesMax: number) =>
  new Failure("blob-too-large", "give-up", `a blob may have ${bytesMax} bytes at most`);

/** B1. A name that is no digest must never become a path or a key. */
export function checkedDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Failure(
    "blob-digest-malformed",
    "give-up",
    `"${text.slice(0, 80)}" is no SHA-256: 64 lower-case hex digits`,
  );
}

/** The whole of a blob that is small, e.g. a manifest. */
export async function bytesOf(
  store: Pick<BlobStore, "get" | "size">,
  digest: Digest,
  bytesMax: number,
): Promise<Buffer> {
  const size = await store.size(digest);
  if (size === undefined) throw blobUnknown(digest);
  if (size > bytesMax) throw blobTooLarge(bytesMax);
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.get(digest)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
