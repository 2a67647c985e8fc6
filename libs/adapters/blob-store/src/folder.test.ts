import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { chunksOf, codeOf, digestOf, keepsTheContract } from "./contract.test-kit.ts";
import { FolderBlobStore } from "./folder.ts";

const dir = mkdtempSync(join(tmpdir(), "tributary-blobs-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("a folder of blobs", () => {
  let store: FolderBlobStore;
  beforeAll(async () => {
    store = await FolderBlobStore.open({ dir: join(dir, "one") });
  });
  keepsTheContract(() => store);
  test("nothing half-written stays behind", () => expect(readdirSync(join(dir, "one/incoming"))).toEqual([]));
});

test("partial uploads of a crash are removed at the start, and blobs are found again (folder.ts D1)", async () => {
  const at = join(dir, "two");
  mkdirSync(join(at, "incoming"), { recursive: true });
  writeFileSync(join(at, "incoming/half"), "half a blob");
  const bytes = Buffer.from("whole");
  const first = await FolderBlobStore.open({ dir: at });
  expect(existsSync(join(at, "incoming/half"))).toBe(false);
  await first.put(chunksOf(bytes), { bytesMax: 100 });
  const second = await FolderBlobStore.open({ dir: at });
  expect(await second.has(digestOf(bytes))).toBe(true);
  expect(second.bytesTotal).toBe(bytes.length);
  await second.put(chunksOf(bytes), { bytesMax: 100 });
  expect(second.bytesTotal).toBe(bytes.length);
});

test("a full folder reports it, and takes blobs that still fit (folder.ts D2)", async () => {
  const store = await FolderBlobStore.open({ dir: join(dir, "three"), bytesTotalMax: 1_000 });
  await store.put(chunksOf(Buffer.alloc(600, 1)), { bytesMax: 900 });
  expect(await codeOf(store.put(chunksOf(Buffer.alloc(500, 2)), { bytesMax: 900 }))).toBe("blob-store-full");
  expect(await codeOf(store.put(chunksOf(Buffer.alloc(950, 3)), { bytesMax: 900 }))).toBe("blob-store-full");
  expect(await codeOf(store.put(chunksOf(Buffer.alloc(400, 4)), { bytesMax: 900 }))).toBe("done");
  await store.remove(digestOf(Buffer.alloc(600, 1)));
  expect(await codeOf(store.put(chunksOf(Buffer.alloc(500, 2)), { bytesMax: 900 }))).toBe("done");
});
