/**
 * Bytes under keys that their writer chooses, in folders of a bucket or of a disk: for layouts that other programs read, as DVC's. What
 * may be named by its digest alone goes to a `BlobStore` (port.ts).
 *
 * K1. An object is there whole or not at all, also after a crash in the middle of a `put`.
 * K2. A key never leads out of its store: it consists of names, which begin with a letter or digit.
 * K3. Sizes are bounded, of objects that are put and that are read (G9).
 */
import { Failure } from "@tributary/kernel";
import { UNAVAILABLE } from "./port.ts";

export type StoredObject = { readonly key: string; readonly bytes: number };

export interface ObjectStore {
  /** Replaces what was there. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** Throws `object-unknown`. */
  get(key: string): Promise<Uint8Array>;
  has(key: string): Promise<boolean>;
  /** Objects whose keys begin so, in no order; of `""` all. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** Resolves also if there is no such object. */
  remove(key: string): Promise<void>;
  /** `file://` or `s3://`, as other programs are given it; of `""` the store's own. */
  uri(key: string): string;
}

/** A model's file is the largest. */
export const OBJECT_BYTES_MAX = 1 << 30;
const KEY_LENGTH_MAX = 512;

export const objectUnknown = (key: string) => new Failure("object-unknown", "give-up", `there is no object ${key}`);

/** K2. */
export function checkedKey(key: string): string {
  const isKey =
    key.length <= KEY_LENGTH_MAX && /^[A-Za-z0-9][A-Za-z0-9._=-]*(\/[A-Za-z0-9][A-Za-z0-9._=-]*)*$/.test(key);
  if (isKey) return key;
  const message = `"${key.slice(0, 80)}" is no key of an object: names of letters, digits and . _ = -, separated by /`;
  throw new Failure("object-key-malformed", "give-up", message);
}

/** K2. */
export function checkedPrefix(prefix: string): string {
  if (prefix !== "") checkedKey(prefix.replace(/\/$/, ""));
  return prefix;
}

/** K3. */
export function checkedSize(key: string, bytes: number): void {
  if (bytes <= OBJECT_BYTES_MAX) return;
  const message = `${key} has ${bytes} bytes; an object may have ${OBJECT_BYTES_MAX}`;
  throw new Failure("object-too-large", "give-up", message);
}

export const objectsUnavailable = (error: unknown): never => {
  if (error instanceof Failure) throw error;
  const reason = error instanceof Error ? error.message : String(error);
  throw new Failure(UNAVAILABLE, "retry", `objects cannot be stored or read: ${reason}`, { cause: error });
};
