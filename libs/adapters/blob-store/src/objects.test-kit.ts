/** The contract of every object store. */
import { expect, test } from "@jest/globals";
import { codeOf } from "./contract.test-kit.ts";
import type { ObjectStore } from "./object-store.ts";

export function keepsTheContractOfObjects(store: () => ObjectStore): void {
  const keysOf = async (prefix: string) => {
    const keys: string[] = [];
    for await (const { key, bytes } of store().list(prefix)) keys.push(`${key} ${bytes}`);
    return keys.sort();
  };

  test("objects are found under their keys, and by prefixes of them", async () => {
    const objects = store();
    expect(await objects.has("files/md5/ab/cd.dir")).toBe(false);
    expect(await codeOf(objects.get("files/md5/ab/cd.dir"))).toBe("object-unknown");
    await objects.put("files/md5/ab/cd.dir", Buffer.from("first"));
    await objects.put("files/md5/ab/cd.dir", Buffer.from("second"));
    await objects.put("files/md5/ab/ef", new Uint8Array());
    await objects.put("results/run-1/model.onnx", Buffer.alloc(300_000, 7));
    expect(Buffer.from(await objects.get("files/md5/ab/cd.dir")).toString()).toBe("second");
    expect((await objects.get("results/run-1/model.onnx")).length).toBe(300_000);
    expect((await objects.get("files/md5/ab/ef")).length).toBe(0);
    expect(await keysOf("files/")).toEqual(["files/md5/ab/cd.dir 6", "files/md5/ab/ef 0"]);
    expect(await keysOf("files/md5/ab/c")).toEqual(["files/md5/ab/cd.dir 6"]);
    expect(await keysOf("none/")).toEqual([]);
    expect(await keysOf("")).toHaveLength(3);
  });

  test("a removed object is unknown, and a folder is no object", async () => {
    const objects = store();
    await objects.remove("files/md5/ab/ef");
    await objects.remove("files/md5/ab/ef");
    expect(await objects.has("files/md5/ab/ef")).toBe(false);
    expect(await objects.has("files/md5/ab")).toBe(false);
    expect(objects.uri("files/md5/ab/cd.dir")).toBe(`${objects.uri("")}/files/md5/ab/cd.dir`);
  });

  test("a name that is no key reaches nothing (object-store.ts K2)", async () => {
    for (const key of [
      "",
      "/etc/passwd",
      "../up",
      "a/../../b",
      "a//b",
      "a/.hidden",
      "a\\b",
      "a b",
      "a/",
      "x".repeat(600),
    ]) {
      expect([key, await codeOf(store().put(key, Buffer.from("x")))]).toEqual([key, "object-key-malformed"]);
      expect([key, await codeOf(store().get(key))]).toEqual([key, "object-key-malformed"]);
    }
  });
}
