/** What a training backend is given, and what it returns: the contract of all backends, of ours and of others. */
import type { HarmLine } from "./local/harm.ts";
import type { Recipe } from "./recipe.ts";

/** A line of a dataset's `manifest.jsonl`. */
export type DatasetFrame = {
  /** Path in the dataset's folder, e.g. `frames/ab12….jpg`. */
  readonly file: string;
  /** SHA-256 of the JPEG, hex. */
  readonly sha256: string;
  readonly label: string;
  /** PERSON, IMPORT, MEASUREMENT or CLOUD; of base photos IMPORT. */
  readonly labelSource: string;
  /** `base`, or KEY=VALUE as `site=north`. */
  readonly slice: string;
  readonly split: "TRAIN" | "TUNE" | "GATE";
  /** deviceId:bootId:cameraId:frameSeq; empty of base photos. */
  readonly frameId: string;
  /** Empty of base photos. */
  readonly deviceId: string;
  /** Probability with which the random sample drew it; null: not drawn. */
  readonly samplePropensity: number | null;
};

/** A folder that has every frame, and `manifest.jsonl`. */
export const DATASET_MANIFEST = "manifest.jsonl";

export type TrainingJob = {
  readonly runId: string;
  readonly model: string;
  /** Digest of the deployed package, which training starts from. */
  readonly parentDigest: string;
  /** MODEL/VERSION of datasets.v1. */
  readonly dataset: string;
  readonly baseDataset: string;
  readonly slice: string;
  readonly seed: string;
  readonly recipe: Recipe;
};

export type SplitAccuracy = {
  readonly slice: string;
  readonly split: "TRAIN" | "TUNE" | "GATE";
  readonly frames: number;
  /** Shares of right answers, of the deployed model and of the new one. */
  readonly before: number;
  readonly after: number;
  readonly classes: Readonly<
    Record<string, { readonly frames: number; readonly before: number; readonly after: number }>
  >;
};

/** `result.json` beside `model.onnx`. A backend that is not ours may give `formatVersion` alone. */
export type TrainingResult = {
  readonly formatVersion: 1;
  /** What was measured of each blend, on TUNE frames. */
  readonly blends?: readonly {
    readonly blend: number;
    readonly slice: number;
    readonly base: number;
    /** Beside the deployed model, by place and class. */
    readonly lines?: readonly HarmLine[];
  }[];
  readonly blend?: number;
  /** Why the training gives nothing: then `model.onnx` is the deployed one, and nothing becomes a candidate. */
  readonly nothing?: string;
  readonly accuracies?: readonly SplitAccuracy[];
  readonly steps?: number;
  readonly loss?: number;
  readonly cpuSeconds?: number;
  readonly wallSeconds?: number;
  readonly notes?: readonly string[];
};

export const RESULT_FILE = "result.json";
export const RESULT_MODEL = "model.onnx";
