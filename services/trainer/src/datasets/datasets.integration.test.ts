import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { FolderBlobStore, FolderObjectStore, type ObjectStore } from "@tributary/blob-store";
import { Dataset } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";
import { tempDir } from "@tributary/testing";
import { parseDatasetManifest } from "@tributary/training/dataset";
import { BaseSets } from "./base-sets.ts";
import { DatasetStore } from "./dataset-store.ts";
import { requestOf, type SiteFrame, siteFrames } from "./datasets.test-kit.ts";
import { fileKey, listKey } from "./dvc.ts";
import { Freezer } from "./freezer.ts";

const dir = tempDir("datasets");
afterAll(() => dir.remove());

const { signal } = new AbortController();
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof Failure ? `${error.code}: ${error.message}` : String(error)),
  );

let frames: SiteFrame[];
let objects: ObjectStore;
let store: DatasetStore;
let freezer: Freezer;
beforeAll(async () => {
  frames = await siteFrames(100, 1);
  objects = await FolderObjectStore.open({ dir: join(dir.path, "remote") });
  store = new DatasetStore(objects);
  freezer = new Freezer({ store, workDir: join(dir.path, "work"), now: () => 1_000, hashMsMax: 60_000 });
});

async function frozen(request = requestOf(frames)) {
  const outcome = await freezer.freeze(request, signal);
  if (outcome.kind === "too-few") throw new Error(outcome.message);
  return outcome;
}

describe("a dataset of a slice", () => {
  test("is frozen with its lineage, the same each time, and comes out as it went in", async () => {
    const { dataset, frames: own } = await frozen();
    expect(Dataset.decode(Dataset.encode(dataset))).toEqual(dataset);
    expect(dataset).toMatchObject({
      version: dataset.md5.slice(0, 12),
      kind: "RETRAINING",
      runId: "run-1",
      verdictId: "verdict-1",
      labelSources: { PERSON: own.length },
      leftOut: { "device-share": 25, enough: 15 },
    });
    expect(own.length).toBe(60);
    expect((await frozen()).dataset).toEqual(dataset);
    const folder = join(dir.path, "training");
    expect(await store.materialise(dataset, folder, signal)).toEqual(
      parseDatasetManifest(await store.manifest(dataset)),
    );
    expect(readdirSync(folder).sort()).toEqual(["frames", "labels.json", "manifest.jsonl"]);
    const labels = JSON.parse(readFileSync(join(folder, "labels.json"), "utf8"));
    expect(labels).toEqual(Object.fromEntries(own.map(({ file, label }) => [file, label])));
    for (const { file, sha256: digest } of own) expect(sha256(readFileSync(join(folder, file)))).toBe(digest);
    expect(readdirSync(join(dir.path, "work"))).toEqual([]);
  });

  test("leaves out what went, what changed and what is no picture, and is refused when too little remains (freezer.ts Z1)", async () => {
    const broken = frames.map((frame, i) => {
      const jpeg = i < 10 ? Buffer.from("no picture") : frame.jpeg;
      return { ...frame, jpeg, digest: sha256(jpeg) };
    });
    const [gone, other] = [broken[20] as SiteFrame, broken[21] as SiteFrame];
    const request = requestOf(broken);
    const pictureOf: typeof request.pictureOf = async (frameId, signal) => {
      if (frameId === gone.frameId) return null;
      return request.pictureOf(frameId === other.frameId ? (frames[22] as SiteFrame).frameId : frameId, signal);
    };
    expect((await frozen({ ...request, pictureOf })).dataset.leftOut).toMatchObject({ expired: 2, undecodable: 10 });
    expect(await freezer.freeze({ ...request, pictureOf: async () => null }, signal)).toMatchObject({
      kind: "too-few",
      have: 0,
      message:
        "site=north has 0 labelled frames that can be used; at least 40 are needed, 60 are best; the pictures of 100 labelled frames went before they were frozen",
    });
  });

  test("whose blobs went or changed is refused with their names (dataset-store.ts F2)", async () => {
    const { dataset, frames: own } = await frozen(requestOf(frames, { seed: "another" }));
    const list = JSON.parse(Buffer.from(await objects.get(listKey(dataset.md5))).toString());
    const { md5, relpath } = list[3] as { md5: string; relpath: string };
    expect(relpath).toBe(own[3]?.file);
    const bytes = await objects.get(fileKey(md5));
    const materialised = () => failureOf(store.materialise(dataset, join(dir.path, "broken"), signal));
    await objects.put(fileKey(md5), Buffer.from("other bytes"));
    expect(await materialised()).toMatch(`dataset-blobs-changed: ${fileKey(md5)} (${relpath}) has other bytes`);
    await objects.remove(fileKey(md5));
    expect(await materialised()).toMatch(/^dataset-blobs-missing: 1 files of edge-resnet8\/.* are not in the dataset/);
    await objects.put(fileKey(md5), bytes);
    expect(await materialised()).toBe("done");
    await objects.remove(listKey(dataset.md5));
    expect(await materialised()).toContain("dataset-blobs-missing");
  });
});

describe("a base set", () => {
  const DAY = 86_400_000;
  let blobs: FolderBlobStore;
  let sets: BaseSets;
  let time = Date.now();
  beforeAll(async () => {
    blobs = await FolderBlobStore.open({ dir: join(dir.path, "uploads") });
    const options = {
      decodeMsMax: 60_000,
      bytesMax: 1_000_000,
      uploadMsMax: DAY,
      framesMin: { TRAIN: 100, TUNE: 12 },
      now: () => time,
    };
    sets = new BaseSets({ blobs, store, workDir: join(dir.path, "base"), ...options });
  });

  const put = (bytes: Buffer) => {
    const chunks = async function* () {
      yield bytes;
    };
    return blobs.put(chunks(), { bytesMax: 1_000_000 });
  };
  async function pushed(photos: readonly { jpeg: Buffer; label: string }[], classes = ["cat", "dog"]) {
    const named = photos.map(({ jpeg, label }, i) => ({
      file: `${i}.jpg`,
      sha256: sha256(jpeg),
      bytes: jpeg.length,
      label,
    }));
    const { digest } = await put(Buffer.from(JSON.stringify({ frames: named })));
    return sets.freeze({ model: "edge-resnet8", classes, manifestDigest: digest, by: "ada" }, signal);
  }
  const photos = (of: readonly SiteFrame[]) => of.map(({ jpeg }, i) => ({ jpeg, label: i % 2 === 0 ? "cat" : "dog" }));

  test("is checked, split and frozen; uploads that are not used any more are removed (base-sets.ts B1, B2)", async () => {
    const own = photos(await siteFrames(120, 2));
    expect(await failureOf(pushed(own))).toMatch(/^dataset-blobs-missing: .*0\.jpg .* and 115 more: upload it first$/);
    for (const { jpeg } of own) await put(jpeg);
    const { digest: unused } = await put(Buffer.from("of an upload that was given up"));
    expect(await failureOf(pushed(own, ["cat"]))).toContain('dataset-class-unknown: "1.jpg" is a "dog"');
    time += 2 * DAY;
    const dataset = await pushed(own);
    expect(dataset).toMatchObject({ kind: "BASE", frames: 120, createdBy: "ada", labelSources: { IMPORT: 120 } });
    expect(dataset.parts.map(({ split, frames }) => [split, frames])).toEqual([
      ["TRAIN", 108],
      ["TUNE", 12],
    ]);
    expect((await pushed(own)).md5).toBe(dataset.md5);
    expect(await blobs.has(unused)).toBe(false);
    expect(await blobs.has(sha256((own[0] as { jpeg: Buffer }).jpeg))).toBe(true);
    expect(await failureOf(pushed(own.slice(0, 110)))).toMatch(
      /^dataset-too-few: the set has 99 photos to train on and 11 that look like no other .*; 100 and 12 are needed/,
    );
    const noPicture = Buffer.from("no picture");
    await put(noPicture);
    const broken = [{ jpeg: noPicture, label: "cat" }, ...own];
    expect(await failureOf(pushed(broken))).toMatch(
      "dataset-undecodable: 1 photos cannot be decoded: 0.jpg (not a JPEG",
    );
    expect(existsSync(join(dir.path, "base")) && readdirSync(join(dir.path, "base"))).toEqual([]);
  });
});
