/**
 * Dataset versions of trainings: fetches the pictures that may be used, finds those that look alike in a process of its own, has the
 * frames chosen (chooseFrames) and stores them (dataset-store.ts).
 *
 * Z1. A picture that went before it was fetched, that is another one than the archive listed, or that cannot be decoded is left out and
 *     counted. If too few remain, nothing is frozen.
 * Z2. What candidates are judged by is left out before its picture is fetched; pictures that look like it, after.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Dataset } from "@tributary/contracts";
import type { Digest, Instant } from "@tributary/kernel";
import { runTask } from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import type { DatasetFrame } from "@tributary/training";
import {
  type ChoiceSettings,
  type ChosenFrame,
  chooseFrames,
  datasetContents,
  type FrameCandidate,
  frameFile,
  type LabelledFrame,
  type LabelRules,
  type LeftOutCounts,
  LeftOutTally,
  preferredFirst,
  sumOfLeftOut,
  type UsableFrame,
  unjudged,
  usableFrames,
  withinShares,
} from "@tributary/training/dataset";
import type { DatasetStore } from "./dataset-store.ts";
import { eachOf } from "./each-of.ts";
import type { HeldOut, History } from "./history.ts";

export type FreezeRequest = {
  readonly model: string;
  readonly slice: string;
  readonly runId: string;
  readonly verdictId: string;
  readonly baseVersion: string;
  readonly createdBy: string;
  readonly since: Instant;
  readonly seed: string;
  readonly labels: LabelRules;
  readonly choice: ChoiceSettings;
  /** Of the slice, each once. */
  readonly frames: readonly LabelledFrame[];
  /** Of earlier trainings of the model. */
  readonly history: History;
  /** Frames of elsewhere that nobody learned (history.ts Y5). */
  readonly heldOut: HeldOut;
  /** Null: the archive does not have it any more. */
  readonly pictureOf: (frameId: string, signal: AbortSignal) => Promise<Uint8Array | null>;
};

export type Frozen =
  | { readonly kind: "frozen"; readonly dataset: Dataset; readonly frames: readonly DatasetFrame[] }
  /** A training of it is refused with this message. */
  | { readonly kind: "too-few"; readonly message: string; readonly have: number; readonly leftOut: LeftOutCounts };

export type FreezerOptions = {
  readonly store: DatasetStore;
  /** Pictures wait here until they are stored; a folder of one process. */
  readonly workDir: string;
  readonly now: () => Instant;
  /** Of decoding all pictures of one dataset. */
  readonly hashMsMax: number;
};

/** Pictures that are fetched, in multiples of what is wanted: some look alike, or went. */
const FETCHED_FACTOR = 4;
const FETCHED_MAX = 20_000;

export class Freezer {
  readonly #options: FreezerOptions;

  constructor(options: FreezerOptions) {
    this.#options = options;
  }

  async freeze(request: FreezeRequest, signal: AbortSignal): Promise<Frozen> {
    const { workDir } = this.#options;
    await mkdir(workDir, { recursive: true });
    const dir = await mkdtemp(join(workDir, "freeze-"));
    try {
      return await this.#freeze(request, dir, signal);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }

  async #freeze(request: FreezeRequest, dir: string, signal: AbortSignal): Promise<Frozen> {
    const { slice, choice: settings, seed } = request;
    const { used } = request.history;
    const usable = usableFrames(request.frames, request.labels);
    const { frames, judged, isTrained } = unjudged(usable.frames, used, settings.hashDistanceMax); // Z2
    const pool = poolOf(preferredFirst(frames, seed, isTrained), settings);
    const fetched = await this.#fetch(pool.frames, request, dir, signal);
    const choice = chooseFrames({
      ...{ slice, candidates: fetched.candidates, settings, seed, used },
      judgedMoments: judged,
    });
    const leftOut = sumOfLeftOut(usable.leftOut, pool.leftOut, fetched.leftOut, choice.leftOut);
    if (choice.kind === "too-few") {
      const went = fetched.leftOut.expired ?? 0;
      const more = went === 0 ? "" : `; the pictures of ${went} labelled frames went before they were frozen`;
      return { kind: "too-few", message: choice.message + more, have: choice.have, leftOut };
    }
    const ofSlice = choice.frames.map((frame) => datasetFrame(frame, slice));
    const known = new Set(ofSlice.map(({ sha256 }) => sha256));
    const heldOut = request.heldOut.frames.filter(({ sha256 }) => !known.has(sha256));
    const chosen = [...ofSlice, ...heldOut];
    const pictureOf = (digest: Digest) =>
      known.has(digest) ? readFile(join(dir, fileOf(digest))) : request.heldOut.pictureOf(digest);
    const stored = await this.#options.store.store(chosen, pictureOf, signal);
    const { grouping, isGateDrawn } = choice;
    const dataset: Dataset = {
      ...stored,
      ...datasetContents(chosen),
      model: request.model,
      kind: "RETRAINING",
      createdAt: this.#options.now(),
      createdBy: request.createdBy,
      runId: request.runId,
      verdictId: request.verdictId,
      baseVersion: request.baseVersion,
      query: JSON.stringify(queryOf(request, { grouping, isGateDrawn })),
      leftOut: leftOut as Dataset["leftOut"],
    };
    return { kind: "frozen", dataset, frames: chosen };
  }

  /** Z1. Each picture is a file of the folder, under its digest. */
  async #fetch(
    pool: readonly UsableFrame[],
    { pictureOf }: FreezeRequest,
    dir: string,
    signal: AbortSignal,
  ): Promise<{ readonly candidates: readonly FrameCandidate[]; readonly leftOut: LeftOutCounts }> {
    const tally = new LeftOutTally();
    const there = new Set<Digest>();
    const work = async ({ frameId, digest }: UsableFrame) => {
      const picture = there.has(digest) ? null : await pictureOf(frameId, signal);
      if (picture === null || sha256(picture) !== digest) return;
      await writeFile(join(dir, fileOf(digest)), picture);
      there.add(digest);
    };
    await eachOf(pool, work, signal);
    const { hashes } = await runTask({ kind: "hash-pictures", dir }, { msMax: this.#options.hashMsMax, signal });
    const candidates = pool.flatMap((frame): FrameCandidate[] => {
      const pictureHash = hashes[fileOf(frame.digest)];
      if (pictureHash !== undefined) return [{ ...frame, pictureHash }];
      tally.add(there.has(frame.digest) ? "undecodable" : "expired");
      return [];
    });
    return { candidates, leftOut: tally.counts() };
  }
}

const fileOf = (digest: Digest): string => `${digest}.jpg`;

/** Those that are fetched: not more than could be needed, and not all of one device. */
function poolOf(inOrder: readonly UsableFrame[], { wanted }: ChoiceSettings) {
  const best = wanted.TRAIN + wanted.TUNE + wanted.GATE;
  const framesMax = Math.min(FETCHED_MAX, FETCHED_FACTOR * best);
  const tally = new LeftOutTally();
  if (inOrder.length <= framesMax) return { frames: inOrder, leftOut: tally.counts() };
  const { frames, overShare } = withinShares(inOrder, framesMax);
  tally.add("device-share", overShare);
  tally.add("enough", inOrder.length - overShare - frames.length);
  return { frames, leftOut: tally.counts() };
}

const datasetFrame = (frame: ChosenFrame, slice: string): DatasetFrame => ({
  file: frameFile(frame.digest),
  sha256: frame.digest,
  label: frame.label,
  labelSource: frame.source,
  slice,
  split: frame.split,
  frameId: frame.frameId,
  deviceId: frame.deviceId,
  samplePropensity: frame.sampleDrawn ? frame.samplePropensity : null,
});

/** What was asked for, so that people can ask for it again. */
const queryOf = (request: FreezeRequest, chosen: object) => ({
  slice: request.slice,
  since: new Date(request.since).toISOString(),
  frames: request.frames.length,
  seed: request.seed,
  cloudLabels: request.labels.cloud,
  history: request.history.sources,
  ...request.choice,
  ...chosen,
});
