/** The contract of every blob store. */
import { createHash } from "node:crypto";
import { expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { type BlobStore, bytesOf } from "./port.ts";

export const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: unknown) => (error instanceof Failure ? error.code : String(error)),
  );
export async function* chunksOf(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
const collected = async (bytes: AsyncIterable<Uint8Array>) => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks);
};

export function keepsTheContract(store: () => BlobStore): void {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
  const digest = digestOf(bytes);
  const limits = { bytesMax: 1 << 20 };

  test("bytes come back as they went in, from any byte, and twice the same is once", async () => {
    const blobs = store();
    expect(await blobs.has(digest)).toBe(false);
    expect(await blobs.size(digest)).toBeUndefined();
    expect(await codeOf(collected(blobs.get(digest)))).toBe("blob-unknown");
    for (const expected of [digest, digest]) {
      expect(await blobs.put(chunksOf(bytes), { ...limits, expected })).toEqual({ digest, bytes: bytes.length });
    }
    expect(await blobs.put(chunksOf(bytes), limits)).toEqual({ digest, bytes: bytes.length });
    expect(await blobs.has(digest)).toBe(true);
    expect(await blobs.size(digest)).toBe(bytes.length);
    expect((await collected(blobs.get(digest))).equals(bytes)).toBe(true);
    const [from, to] = [123_456, 250_000];
    expect((await collected(blobs.get(digest, { from, to }))).equals(bytes.subarray(from, to + 1))).toBe(true);
    expect((await bytesOf(blobs, digest, 1 << 20)).equals(bytes)).toBe(true);
    expect(await codeOf(bytesOf(blobs, digest, 10))).toBe("blob-too-large");
  });

  test("other bytes, too many, and a stream that breaks are refused and leave nothing (port.ts B1, B2, B3)", async () => {
    const blobs = store();
    const other = Buffer.from("something else");
    expect(await codeOf(blobs.put(chunksOf(other), { ...limits, expected: digestOf(Buffer.from("x")) }))).toBe(
      "blob-digest-mismatch",
    );
    expect(await codeOf(blobs.put(chunksOf(Buffer.alloc(2_000)), { bytesMax: 1_999 }))).toBe("blob-too-large");
    const flipped = Buffer.from(other);
    flipped[3] = (flipped[3] as number) ^ 4;
    expect(await codeOf(blobs.put(chunksOf(flipped), { ...limits, expected: digestOf(other) }))).toBe(
      "blob-digest-mismatch",
    );
    async function* broken() {
      yield other;
      throw new Error("the line is cut");
    }
    expect(await codeOf(blobs.put(broken(), { ...limits, expected: digestOf(other) }))).toContain("the line is cut");
    expect(await blobs.has(digestOf(other))).toBe(false);
    expect(await blobs.has(digestOf(flipped))).toBe(false);
  });

  test("a blob that is put again counts as stored then, so that it is not deleted as unused", async () => {
    const blobs = store();
    const storedAt = async () => {
      for await (const blob of blobs.list()) if (blob.digest === digest) return blob.storedAt;
      return Number.NaN;
    };
    const before = await storedAt();
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // S3 counts seconds.
    await blobs.put(chunksOf(bytes), limits);
    expect(await storedAt()).toBeGreaterThan(before);
  });

  test("a name that is no digest reaches nothing", async () => {
    for (const name of ["", "../../etc/passwd", digest.toUpperCase(), `${digest}0`]) {
      expect(await codeOf(store().has(name))).toBe("blob-digest-malformed");
    }
  });

  test("an empty blob is valid, and a removed one is unknown", async () => {
    const blobs = store();
    const empty = digestOf(new Uint8Array());
    expect(await blobs.put(chunksOf(new Uint8Array()), { ...limits, expected: empty })).toEqual({
      digest: empty,
      bytes: 0,
    });
    const all: string[] = [];
    for await (const { digest: found, storedAt } of blobs.list()) {
      all.push(found);
      expect(Math.abs(storedAt - Date.now())).toBeLessThan(60_000);
    }
    expect(all.sort()).toEqual([digest, empty].sort());
    await blobs.remove(empty);
    await blobs.remove(empty);
    expect(await blobs.has(empty)).toBe(false);
  });
}
