/** The model package's manifest: content-addressed files under one JSON document whose SHA-256 is the model's digest. */
import type { Digest } from "@tributary/kernel";

export type ModelManifest = {
  readonly formatVersion: 1;
  readonly name: string;
  readonly version: string;
  /** Who preprocesses: `jpeg`, the runtime; `tensor`, the caller. */
  readonly input: "jpeg" | "tensor";
  /** Every file of the package, by path relative to the manifest. */
  readonly files: Readonly<Record<string, { readonly sha256: Digest; readonly bytes: number }>>;
  readonly tensors: { readonly input: string; readonly logits: string; readonly features: string | null };
  readonly hardwareClass: string;
  readonly latencyBudgetMs: number;
  /** Measured on the validation split, e.g. accuracy, ece. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Where the model came from: data set, splits, training command, parent digests. */
  readonly lineage: Readonly<Record<string, string>>;
};

/** Fixed names inside a package; `policy.json` only in edge packages. */
export const packageFiles = {
  manifest: "manifest.json",
  model: "model.onnx",
  preprocessor: "preprocessor_config.json",
  labels: "labels.json",
  calibration: "calibration.json",
  policy: "policy.json",
  referenceSketch: "reference_sketch.json",
  goldenIndex: "golden/index.json",
} as const;
