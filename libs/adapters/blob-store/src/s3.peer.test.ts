/** Against moto's S3, an independent implementation. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { freePort } from "../../../../tools/kafka.mjs";
import { python } from "../../../../tools/peers.mjs";
import { chunksOf, codeOf, keepsTheContract } from "./contract.test-kit.ts";
import { type ObjectStore, openS3BlobStore, openS3ObjectStore, type S3BlobStore } from "./index.ts";
import { keepsTheContractOfObjects } from "./objects.test-kit.ts";

const dir = mkdtempSync(join(tmpdir(), "tributary-s3-"));
let moto: ChildProcess;
let endpointUrl: string;
let store: S3BlobStore;

beforeAll(async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" });
  const port = await freePort();
  endpointUrl = `http://127.0.0.1:${port}`;
  moto = spawn(python("aws"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`], { stdio: "ignore" });
  const made = async () => (await fetch(`${endpointUrl}/models`, { method: "PUT" }).catch(() => null))?.ok;
  for (const until = performance.now() + 60_000; !(await made()); ) {
    if (performance.now() > until) throw new Error("moto's server does not answer");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  store = await open("models");
});
afterAll(() => {
  moto.kill();
  rmSync(dir, { recursive: true, force: true });
});

const open = (bucket: string) =>
  openS3BlobStore({ bucket, prefix: "tributary/", region: "us-east-1", endpointUrl, spoolDir: join(dir, bucket) });

describe("a bucket of blobs", () => {
  keepsTheContract(() => store);
  test("nothing waits behind", () => expect(readdirSync(join(dir, "models"))).toEqual([]));
});

describe("a bucket of objects", () => {
  let objects: ObjectStore;
  beforeAll(async () => {
    objects = await openS3ObjectStore({ bucket: "models", prefix: "datasets/", region: "us-east-1", endpointUrl });
  });
  keepsTheContractOfObjects(() => objects);
  test("is read by others at its URI", () => expect(objects.uri("a/b")).toBe("s3://models/datasets/a/b"));
});

test("a missing bucket is a failure for a person, not a missing blob", async () => {
  const missing = await open("nowhere");
  expect(await codeOf(missing.put(chunksOf(Buffer.from("x")), { bytesMax: 10 }))).toBe("blob-store-unavailable");
});
