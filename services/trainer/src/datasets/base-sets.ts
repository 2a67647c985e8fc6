/**
 * Base sets: labelled photos that a person pushed, as the model was first trained on. They are replayed in every training, so that what
 * the model knows is not lost.
 *
 * B1. Its photos are uploaded first, as blobs; a set is refused unless each of them is there, has the size that the manifest lists, can be
 *     decoded, and has a class that the model has. All of it is known before anything is stored.
 * B2. Uploads are only in transit: whatever was not used for `uploadMsMax` is removed when the next set is pushed.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BlobStore, bytesOf } from "@tributary/blob-store";
import type { Dataset } from "@tributary/contracts";
import { type Digest, Failure, type Instant } from "@tributary/kernel";
import {
  baseSetLimits,
  bytesIn,
  type HashedPictures,
  parseValidationManifest,
  runTask,
  someOf,
  type ValidationManifest,
} from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import type { DatasetFrame } from "@tributary/training";
import {
  type BaseCounts,
  choiceDefaults,
  datasetContents,
  frameFile,
  tunedPhotos,
  whatBaseLacks,
} from "@tributary/training/dataset";
import type { DatasetStore } from "./dataset-store.ts";
import { eachOf } from "./each-of.ts";

export type BaseSetsOptions = {
  readonly blobs: BlobStore;
  readonly store: DatasetStore;
  /** Photos are decoded here; a folder of one process. */
  readonly workDir: string;
  readonly now: () => Instant;
  /** Of decoding all photos of one set. */
  readonly decodeMsMax: number;
  /** Of all photos of one set. */
  readonly bytesMax: number;
  /** B2. */
  readonly uploadMsMax: number;
  /** Of each split: with fewer no training could start. */
  readonly framesMin: BaseCounts;
};

export type BaseSetPush = {
  readonly model: string;
  /** Of the champion. */
  readonly classes: readonly string[];
  readonly manifestDigest: Digest;
  readonly by: string;
};

export class BaseSets {
  readonly #options: BaseSetsOptions;

  constructor(options: BaseSetsOptions) {
    this.#options = options;
  }

  /** Stores it, and returns its record; pushing the same again returns the same version. */
  async freeze({ model, classes, manifestDigest, by }: BaseSetPush, signal: AbortSignal): Promise<Dataset> {
    const { blobs, store, now } = this.#options;
    const manifest = await this.#manifest(manifestDigest);
    this.#check(model, classes, manifest);
    const { hashes } = await this.#examine(manifest, signal);
    const photos = manifest.frames.map(({ sha256: digest }) => ({ digest, pictureHash: hashes[digest] as string }));
    const tuned = tunedPhotos(photos, choiceDefaults.hashDistanceMax);
    const frames = manifest.frames.map(
      ({ sha256, label }): DatasetFrame => ({
        file: frameFile(sha256),
        sha256,
        label,
        labelSource: "IMPORT",
        slice: "base",
        split: tuned.has(sha256) ? "TUNE" : "TRAIN",
        frameId: "",
        deviceId: "",
        samplePropensity: null,
      }),
    );
    const pictureOf = (digest: Digest) => bytesOf(blobs, digest, baseSetLimits.frameBytesMax);
    const { parts } = datasetContents(frames);
    const lacking = whatBaseLacks(parts, this.#options.framesMin);
    if (lacking !== null) throw new Failure("dataset-too-few", "give-up", `the set has ${lacking}; nothing was stored`);
    const stored = await store.store(frames, pictureOf, signal);
    await this.#sweep(manifest, manifestDigest);
    return {
      ...stored,
      ...datasetContents(frames),
      model,
      kind: "BASE",
      createdAt: now(),
      createdBy: by,
      runId: "",
      verdictId: "",
      baseVersion: "",
      query: JSON.stringify({ manifestDigest, photos: frames.length }),
      leftOut: {},
    };
  }

  async #manifest(digest: Digest): Promise<ValidationManifest> {
    const bytes = await bytesOf(this.#options.blobs, digest, baseSetLimits.manifestBytesMax);
    if (sha256(bytes) === digest) return parseValidationManifest(bytes, baseSetLimits);
    throw new Failure("dataset-digest-mismatch", "ask-a-person", `the blob ${digest} has other bytes than its name`);
  }

  /** B1, from the manifest alone. */
  #check(model: string, classes: readonly string[], manifest: ValidationManifest): void {
    const { bytesMax } = this.#options;
    const bytes = bytesIn(manifest);
    if (bytes > bytesMax) {
      const message = `the photos have ${bytes} bytes in all, at most ${bytesMax} may be pushed`;
      throw new Failure("dataset-too-large", "give-up", message);
    }
    const unknown = manifest.frames.filter(({ label }) => !classes.includes(label));
    if (unknown.length === 0) return;
    const some = someOf(unknown.map(({ file, label }) => `"${file}" is a "${label}"`));
    const message = `${some}: ${model} has no such class; its classes are ${someOf(classes)}`;
    throw new Failure("dataset-class-unknown", "give-up", message);
  }

  /** B1. Hashes by digest. */
  async #examine({ frames }: ValidationManifest, signal: AbortSignal): Promise<HashedPictures> {
    const { blobs, workDir, decodeMsMax } = this.#options;
    await mkdir(workDir, { recursive: true });
    const dir = await mkdtemp(join(workDir, "base-"));
    try {
      const absent: string[] = [];
      const work = async ({ file, sha256: digest, bytes }: ValidationManifest["frames"][number]) => {
        const size = await blobs.size(digest);
        if (size === undefined) absent.push(`${file} (${digest})`);
        else if (size !== bytes) {
          const message = `${file}: its blob has ${size} bytes, the manifest lists ${bytes}`;
          throw new Failure("dataset-digest-mismatch", "give-up", message);
        } else await writeFile(join(dir, digest), await bytesOf(blobs, digest, baseSetLimits.frameBytesMax));
      };
      await eachOf(frames, work, signal);
      if (absent.length > 0) {
        const message = `the trainer has no blob for ${someOf(absent)}: upload it first`;
        throw new Failure("dataset-blobs-missing", "give-up", message);
      }
      const pictures = await runTask({ kind: "hash-pictures", dir }, { msMax: decodeMsMax, signal });
      const wrong = frames.filter(({ sha256: digest }) => pictures.hashes[digest] === undefined);
      if (wrong.length === 0) return pictures;
      const some = someOf(wrong.map(({ file, sha256: digest }) => `${file} (${pictures.undecodable[digest]})`));
      throw new Failure("dataset-undecodable", "give-up", `${wrong.length} photos cannot be decoded: ${some}`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  /** B2. */
  async #sweep({ frames }: ValidationManifest, manifestDigest: Digest): Promise<void> {
    const { blobs, now, uploadMsMax } = this.#options;
    const used = new Set<Digest>([manifestDigest, ...frames.map(({ sha256 }) => sha256)]);
    for await (const { digest, storedAt } of blobs.list()) {
      if (!used.has(digest) && now() - storedAt > uploadMsMax) await blobs.remove(digest);
    }
  }
}
