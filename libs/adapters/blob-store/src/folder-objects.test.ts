import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { codeOf } from "./contract.test-kit.ts";
import { FolderObjectStore } from "./folder-objects.ts";
import { keepsTheContractOfObjects } from "./objects.test-kit.ts";

const dir = mkdtempSync(join(tmpdir(), "tributary-objects-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("a folder of objects", () => {
  let store: FolderObjectStore;
  beforeAll(async () => {
    store = await FolderObjectStore.open({ dir });
  });
  keepsTheContractOfObjects(() => store);
  test("what cannot be stored is a failure that may pass, and leaves nothing (K1)", async () => {
    await store.put("a", Buffer.from("a file, so no folder"));
    expect(await codeOf(store.put("a/b", Buffer.from("x")))).toBe("blob-store-unavailable");
    const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.filter(({ name }) => name.startsWith("."))).toEqual([]);
  });
});
