/**
 * What the trainings of a model have used so far (`UsedFrame`): the frames of its validation set, as the registry has them, and those of
 * its earlier datasets and base set, as the dataset store has them. All of it is read when it is asked for: an instance that starts finds
 * the same.
 *
 * Y1. Of a run its own datasets do not count: it freezes the same frames again after a restart.
 * Y2. Bounded: the validation set by the registry, the base set when it is pushed, earlier datasets to the newest one and further ones of
 *     `FRAMES_MAX` frames in all. What candidates are judged by of an older one is in the validation set, if its candidate became champion.
 * Y3. A dataset whose files went from the store is named and passed over: nobody can know its frames. A registry or store that does not
 *     answer fails the call, which is repeated.
 * Y4. Base photos that candidates are judged by are not replayed: the base set without them becomes a version of its own.
 * Y5. The half of the validation frames that a run's candidate is packed on is held out in its dataset: neither the run nor the champion's trainings
 *     learned them, so that a blend is chosen by what the champion does on frames that it does not know by heart. The gate has the other half.
 */
import type { Dataset, TrainingRun } from "@tributary/contracts";
import { type Digest, Failure, type Instant } from "@tributary/kernel";
import { BASE_SLICE, firstHalfOf, validationLimits } from "@tributary/model-packaging";
import type { DatasetFrame } from "@tributary/training";
import {
  choiceDefaults,
  type DatasetTable,
  datasetContents,
  datasetReference,
  frameFile,
  isOfSlice,
  parseDatasetManifest,
  type UsedFrame,
  usesOf,
} from "@tributary/training/dataset";
import { documentOf, type ModelRegistry } from "../registry/blobs.ts";
import { validationOf } from "../registry/validation.ts";
import type { DatasetStore } from "./dataset-store.ts";
import type { NamedPicture, PictureHashes } from "./picture-hashes.ts";

export type TrainingHistoryOptions = {
  readonly registry: ModelRegistry;
  readonly store: DatasetStore;
  readonly hashes: PictureHashes;
  readonly now: () => Instant;
};

type Run = Pick<TrainingRun, "model" | "runId">;

/** Where frames were used, for a dataset's record. */
export type HistorySources = {
  readonly validation: Digest;
  readonly datasets: number;
  /** Y3. */
  readonly datasetsGone: readonly string[];
};

export type History = { readonly used: readonly UsedFrame[]; readonly sources: HistorySources };

/** Y5. */
export type HeldOut = {
  readonly frames: readonly DatasetFrame[];
  readonly pictureOf: (digest: Digest) => Promise<Uint8Array>;
};
const HELD_OUT_MAX = 2_500;

/** Y2. */
const FRAMES_MAX = 30_000;
/** Of lists that are kept so that counting labels every minute does not read them again; of all models. */
const CACHED_FRAMES_MAX = 100_000;

type Listed = Pick<UsedFrame, "use" | "digest" | "deviceId">;
type Source = { readonly frames: readonly Listed[]; readonly read: (digest: Digest) => NamedPicture["read"] };

export class TrainingHistory {
  readonly #options: TrainingHistoryOptions;
  /** By the MD5 of the dataset, which names its content. */
  readonly #lists = new Map<string, readonly Listed[]>();

  constructor(options: TrainingHistoryOptions) {
    this.#options = options;
  }

  /** By digests alone, without looking at pictures, and without the base set. */
  async digests(run: Run, datasets: DatasetTable, signal: AbortSignal): Promise<History> {
    const { listed, sources } = await this.#sources(run, datasets, signal);
    const used = listed.flatMap(({ frames }) => frames.map((frame) => ({ ...frame, pictureHash: null })));
    return { used, sources };
  }

  /** With the hashes of pictures, and the base set. */
  async pictures(run: Run, base: Dataset, datasets: DatasetTable, signal: AbortSignal): Promise<History> {
    const { listed, sources } = await this.#sources(run, datasets, signal);
    const read = this.#readerOf(base);
    const all = [...listed, { frames: (await this.#baseFrames(base)).map(listedOf), read }];
    const pictures = all.flatMap((source) =>
      source.frames.map(({ digest }) => ({ digest, read: source.read(digest) })),
    );
    const hashes = await this.#options.hashes.of(run.model, pictures, signal);
    const used = all.flatMap(({ frames }) =>
      frames.map((frame) => ({ ...frame, pictureHash: hashes.get(frame.digest) ?? null })),
    );
    return { used, sources };
  }

  /** Y4. The base set as it is, or a version of it whose record is to be written. Refused where nothing of it remains. */
  async replayable(base: Dataset, { used, sources }: History): Promise<Dataset | { readonly refused: string }> {
    const photos = new Set((await this.#baseFrames(base)).map(({ sha256 }) => sha256));
    const own = used.filter(({ use, digest }) => use === "trained" && photos.has(digest));
    const hashed = own.map(({ digest, pictureHash }) => ({ digest, ...(pictureHash !== null && { pictureHash }) }));
    const judged = used.filter(({ use }) => use === "judged");
    const uses = usesOf(hashed, judged, choiceDefaults.hashDistanceMax);
    const digests = new Set([...uses.keys()].map(({ digest }) => digest));
    if (digests.size === 0) return base;
    const { model } = base;
    if (digests.size === photos.size) {
      const what = `candidates of ${model} are judged by all ${photos.size} photos of its base set, or by pictures that look like them`;
      return { refused: `${what}: push other photos (tributary datasets push ${model} FOLDER)` };
    }
    const { stored, frames } = await this.#options.store.without(base, digests);
    return {
      ...base,
      ...stored,
      ...datasetContents(frames),
      createdAt: this.#options.now(),
      createdBy: "trainer",
      query: JSON.stringify({ of: datasetReference(base), history: sources }),
      leftOut: { "judged-before": digests.size },
    };
  }

  /** Y5. Of other slices than the run's, at most `HELD_OUT_MAX` by lot. */
  async heldOut(
    { model, runId, slice: own }: Pick<TrainingRun, "model" | "runId" | "slice">,
    classes: readonly string[],
    signal: AbortSignal,
  ): Promise<HeldOut> {
    const { registry } = this.#options;
    const { frames: all } = await validationOf(registry, model, signal);
    const listed = all.map(({ label, slice = BASE_SLICE, ...frame }) => {
      return { ...frame, path: frame.sha256, name: label, label: classes.indexOf(label), slice };
    });
    const half = [...(firstHalfOf(listed, runId) as ReadonlySet<(typeof listed)[number]>)];
    const usable = half.filter(({ label, slice }) => label >= 0 && slice !== own);
    const ofEach = new Map(usable.map((frame) => [frame.sha256, frame]));
    const chosen = [...ofEach.values()].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)).slice(0, HELD_OUT_MAX);
    return {
      frames: chosen.map(({ sha256, name: label, slice, device = "" }) => ({
        ...{ file: frameFile(sha256), sha256, label, labelSource: "IMPORT", slice, split: "TUNE" },
        ...{ frameId: "", deviceId: device, samplePropensity: null },
      })),
      pictureOf: (digest) => documentOf(registry.blobs, digest, signal, validationLimits.frameBytesMax),
    };
  }

  async #sources(run: Run, datasets: DatasetTable, signal: AbortSignal) {
    const { registry } = this.#options;
    const validation = await validationOf(registry, run.model, signal);
    const judged = validation.frames.map(({ sha256: digest }): Listed => ({ use: "judged", digest, deviceId: "" }));
    const readBlob = (digest: Digest) => (stop: AbortSignal) =>
      documentOf(registry.blobs, digest, stop, validationLimits.frameBytesMax);
    const listed: Source[] = [{ frames: judged, read: readBlob }];
    const datasetsGone: string[] = [];
    let frames = 0;
    for (const dataset of datasets.list({ model: run.model, kind: "RETRAINING" })) {
      if (dataset.runId === run.runId) continue; // Y1
      frames += dataset.frames;
      if (frames > FRAMES_MAX && frames > dataset.frames) break; // Y2
      const own = await this.#list(dataset);
      if (own === null) datasetsGone.push(datasetReference(dataset));
      else listed.push({ frames: own, read: this.#readerOf(dataset) });
    }
    const read = listed.length - 1;
    return { listed, sources: { validation: validation.digest, datasets: read, datasetsGone } };
  }

  /** Null: its files went (Y3). */
  async #list(dataset: Dataset): Promise<readonly Listed[] | null> {
    const known = this.#lists.get(dataset.md5);
    if (known !== undefined) return known;
    const text = await this.#options.store.manifest(dataset).catch((error: unknown) => {
      if (error instanceof Failure && error.code === "dataset-blobs-missing") return null;
      throw error;
    });
    if (text === null) return null;
    const frames = parseDatasetManifest(text).filter(isOfSlice).map(listedOf);
    this.#lists.set(dataset.md5, frames);
    let cached = [...this.#lists.values()].reduce((sum, one) => sum + one.length, 0);
    for (const [md5, { length }] of this.#lists) {
      if (cached <= CACHED_FRAMES_MAX) break;
      this.#lists.delete(md5);
      cached -= length;
    }
    return frames;
  }

  async #baseFrames(base: Dataset): Promise<readonly DatasetFrame[]> {
    return parseDatasetManifest(await this.#options.store.manifest(base));
  }

  #readerOf(dataset: Dataset): Source["read"] {
    const read = this.#options.store.pictures(dataset);
    return (digest) => () => read(digest);
  }
}

const listedOf = ({ sha256: digest, split, deviceId }: DatasetFrame): Listed => {
  return { use: split === "GATE" ? "judged" : "trained", digest, deviceId };
};
