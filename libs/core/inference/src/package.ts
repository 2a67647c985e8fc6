/** A model package as read from its folder, every file checked against the manifest. Adapters open it. */
import type { Digest } from "@tributary/kernel";
import type { ModelManifest } from "./manifest.ts";
import type { Calibration, Confusion, FaultCodebook, FaultExamples, GoldenIndex } from "./package-documents.ts";
import type { Preprocessing } from "./preprocessing.ts";
import type { ReferenceSketch } from "./sketch.ts";

export type ModelPackage = {
  /** Absolute. */
  readonly dir: string;
  /** SHA-256 of manifest.json. */
  readonly digest: Digest;
  readonly manifest: ModelManifest;
  readonly labels: readonly string[];
  readonly calibration: Calibration;
  readonly preprocessing: Preprocessing;
  /** SHA-256 of preprocessor_config.json. */
  readonly preprocessingDigest: Digest;
  /** The first routing policy as JSON, for `completePolicy`; null in packages without one (cloud models). */
  readonly policy: unknown;
  /** Of version 2 where the package has it. */
  readonly referenceSketch: ReferenceSketch;
  readonly golden: GoldenIndex;
  /** null in packages that were made before drift was named. */
  readonly faults: FaultCodebook | null;
  readonly cameraFaults: FaultExamples | null;
  /** null as well where there are more than 256 classes. */
  readonly confusion: Confusion | null;
};

/** Opens a package, or throws a Failure whose code starts with `package-`. */
export type OpenPackage = (dir: string) => Promise<ModelPackage>;
