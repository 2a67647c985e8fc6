/**
 * Datasets in an object store, as DVC keeps them in a remote (dvc.ts).
 *
 * F1. The list of files is written last: a version whose list is there was stored whole. Storing the same frames again writes the same
 *     list.
 * F2. What is read is compared with its MD5, and a frame with its SHA-256. A dataset of which files went, or changed, is refused with
 *     their names, and nothing is trained on the rest.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ObjectStore } from "@tributary/blob-store";
import type { Dataset } from "@tributary/contracts";
import { type Digest, Failure } from "@tributary/kernel";
import { someOf } from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import { DATASET_MANIFEST, type DatasetFrame } from "@tributary/training";
import {
  DATASET_FRAMES_MAX,
  datasetReference,
  frameFile,
  manifestText,
  parseDatasetManifest,
} from "@tributary/training/dataset";
import { type DvcFile, fileKey, LABELS_PATH, listKey, listOf, md5Of, parseList } from "./dvc.ts";
import { eachOf } from "./each-of.ts";

export type StoredFrames = Pick<Dataset, "md5" | "version" | "bytes">;

const VERSION_LENGTH = 12;
const FILES_MAX = DATASET_FRAMES_MAX + 2;

export class DatasetStore {
  readonly #objects: ObjectStore;

  constructor(objects: ObjectStore) {
    this.#objects = objects;
  }

  /** Of the remote, as DVC and backends are given it. */
  get uri(): string {
    return this.#objects.uri("");
  }

  /** Idempotent (F1). `pictureOf` gives the JPEG of a digest. */
  async store(
    frames: readonly DatasetFrame[],
    pictureOf: (digest: Digest) => Promise<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<StoredFrames> {
    const files: DvcFile[] = [];
    let bytes = 0;
    const work = async ({ file, sha256: digest }: DatasetFrame) => {
      const picture = await pictureOf(digest);
      if (sha256(picture) !== digest) throw changed(`the picture ${digest} has other bytes than its name`);
      files.push(await this.#put(file, picture));
      bytes += picture.length;
    };
    await eachOf(frames, work, signal);
    return this.#list(frames, files, bytes);
  }

  /** A version that lacks some pictures of another one. The others are there already and are not read. */
  async without(
    dataset: Dataset,
    digests: ReadonlySet<Digest>,
  ): Promise<{ readonly stored: StoredFrames; readonly frames: readonly DatasetFrame[] }> {
    const frames = parseDatasetManifest(await this.manifest(dataset)).filter(({ sha256 }) => !digests.has(sha256));
    const kept = new Set(frames.map(({ file }) => file));
    const files = await this.#files(dataset);
    let bytes = Number(dataset.bytes);
    for (const file of files) if (!kept.has(file.path)) bytes -= (await this.#read(file))?.length ?? 0;
    const pictures = files.filter(({ path }) => kept.has(path));
    return { stored: await this.#list(frames, pictures, bytes), frames };
  }

  /** F1. `bytes`: of the pictures. */
  async #list(frames: readonly DatasetFrame[], pictures: readonly DvcFile[], bytes: number): Promise<StoredFrames> {
    const labels = [...frames].sort((a, b) => (a.file < b.file ? -1 : 1)).map(({ file, label }) => [file, label]);
    const documents = [
      [LABELS_PATH, Buffer.from(`${JSON.stringify(Object.fromEntries(labels))}\n`)],
      [DATASET_MANIFEST, Buffer.from(manifestText(frames))],
    ] as const;
    const files = [...pictures];
    for (const [path, content] of documents) files.push(await this.#put(path, content));
    const list = listOf(files);
    await this.#objects.put(listKey(list.md5), list.bytes); // F1
    const all = documents.reduce((sum, [, content]) => sum + content.length, bytes);
    return { md5: list.md5, version: list.md5.slice(0, VERSION_LENGTH), bytes: BigInt(all) };
  }

  async #put(path: string, content: Uint8Array): Promise<DvcFile> {
    const md5 = md5Of(content);
    const key = fileKey(md5);
    if (!(await this.#objects.has(key))) await this.#objects.put(key, content);
    return { path, md5 };
  }

  /** `manifest.jsonl`, compared with its MD5. */
  async manifest(dataset: Dataset): Promise<string> {
    const file = (await this.#files(dataset)).find(({ path }) => path === DATASET_MANIFEST);
    if (file === undefined) throw missing(dataset, [DATASET_MANIFEST]);
    const content = await this.#read(file);
    if (content === null) throw missing(dataset, [DATASET_MANIFEST]);
    return Buffer.from(content).toString();
  }

  /** Reads its pictures one by one; null: it is gone. The list of files is read with the first. */
  pictures(dataset: Dataset): (digest: Digest) => Promise<Uint8Array | null> {
    let files: Promise<ReadonlyMap<string, DvcFile>> | undefined;
    return async (digest) => {
      files ??= this.#files(dataset).then((all) => new Map(all.map((file) => [file.path, file])));
      const file = (await files).get(frameFile(digest));
      return file === undefined ? null : this.#read(file);
    };
  }

  /** Writes all of it into a folder that training reads (F2). */
  async materialise(dataset: Dataset, dir: string, signal?: AbortSignal): Promise<readonly DatasetFrame[]> {
    const files = await this.#files(dataset);
    for (const folder of new Set(files.map(({ path }) => dirname(path)))) {
      await mkdir(join(dir, folder), { recursive: true });
    }
    const absent: string[] = [];
    const digests = new Map<string, Digest>();
    const work = async (file: DvcFile) => {
      const content = await this.#read(file);
      if (content === null) absent.push(file.path);
      else {
        digests.set(file.path, sha256(content));
        await writeFile(join(dir, file.path), content);
      }
    };
    await eachOf(files, work, signal);
    if (absent.length > 0) throw missing(dataset, absent.sort());
    const frames = parseDatasetManifest(await this.manifest(dataset));
    const wrong = frames.filter((frame) => digests.get(frame.file) !== frame.sha256);
    if (wrong.length > 0) {
      throw changed(
        `${datasetReference(dataset)}: not what its manifest lists: ${someOf(wrong.map(({ file }) => file))}`,
      );
    }
    return frames;
  }

  async #files(dataset: Dataset): Promise<readonly DvcFile[]> {
    const list = await this.#get(listKey(dataset.md5));
    if (list === null) throw missing(dataset, [listKey(dataset.md5)]);
    if (md5Of(list) !== dataset.md5) throw changed(`${listKey(dataset.md5)} has other bytes than its name`);
    return parseList(list, FILES_MAX, DATASET_MANIFEST);
  }

  /** Null where it went. */
  async #read({ path, md5 }: DvcFile): Promise<Uint8Array | null> {
    const content = await this.#get(fileKey(md5));
    if (content !== null && md5Of(content) !== md5)
      throw changed(`${fileKey(md5)} (${path}) has other bytes than its name`);
    return content;
  }

  #get(key: string): Promise<Uint8Array | null> {
    return this.#objects.get(key).catch((error: unknown) => {
      if (error instanceof Failure && error.code === "object-unknown") return null;
      throw error;
    });
  }
}

const missing = (dataset: Dataset, files: readonly string[]) =>
  new Failure(
    "dataset-blobs-missing",
    "ask-a-person",
    `${files.length} files of ${datasetReference(dataset)} are not in the dataset store any more: ${someOf(files)}. Put them back (dvc push from a copy), or freeze a new version`,
  );

const changed = (what: string) => new Failure("dataset-blobs-changed", "ask-a-person", what);
