/** What the rest of the system knows of a running model. Adapters implement it (ONNX Runtime in a child process). */
import type { Digest } from "@tributary/kernel";
import type { ModelManifest } from "./manifest.ts";

export type InferenceWant = {
  /** Penultimate features, when the model has them. */
  readonly features: boolean;
  /** SHA-256 of the preprocessed tensor quantised at 1e-3. */
  readonly tensorDigest: boolean;
  /** The resized picture before normalising, for golden frames. */
  readonly pixels: boolean;
  /** Its thumbnail, by which the camera is judged. */
  readonly cells: boolean;
};

export type Inference = {
  /** Raw model outputs, float32[classes], in the order of the package's labels. */
  readonly logits: Float32Array;
  /** Penultimate activations, float32[features]; null unless wanted and available. */
  readonly features: Float32Array | null;
  readonly tensorDigest: Digest | null;
  /** Interleaved 8-bit channels in the model's order; null unless wanted. */
  readonly pixels: Uint8Array | null;
  /** `pictureCells`, at the size that the camera delivers; null unless wanted, and of a picture that is too small. */
  readonly cells: Uint8Array | null;
  /** Inputs of the drift sketches. */
  readonly picture: PictureStatistics;
  readonly timingsMs: { readonly preprocess: number; readonly run: number };
};

export type PictureStatistics = {
  /** Mean and sd per channel of the resized picture, on [0, 1]. */
  readonly channelMeans: readonly [number, number, number];
  readonly channelSds: readonly [number, number, number];
  /** Mean of 0.299 R + 0.587 G + 0.114 B, on [0, 1]. */
  readonly luminance: number;
  /** Of the JPEG as the camera delivered it: its bytes x 8 / (width x height). Blur, noise and compression show in it, which
   * statistics of the resized picture cannot see. */
  readonly bitsPerPixel: number;
  /** Of the resized picture: `frameGrid`. */
  readonly grid: Uint8Array;
  /** Who made the JPEG, as far as its headers show: `jpegEncoder`, `jpegQuality`. */
  readonly encoder: string;
  readonly quality: number;
};

export type InferenceResult =
  | { readonly ok: true; readonly inference: Inference }
  /** `image-undecodable`, `image-too-large` (pixels), ...: this image's fault, the model goes on. */
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface LoadedModel {
  readonly digest: Digest;
  readonly manifest: ModelManifest;
  readonly labels: readonly string[];
  /** Calibration temperature. */
  readonly temperature: number;
  /** Pid of the process that runs the model, for memory figures. */
  readonly pid: number;
  /** One JPEG. Rejects only when the model itself is gone (`model-host-exited`). */
  infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult>;
  /** Several JPEGs in one run of the session; results in order. */
  inferBatch(jpegs: readonly Uint8Array[], want?: Partial<InferenceWant>): Promise<readonly InferenceResult[]>;
  /** As `LoadOptions.realTime`, for a model that was loaded without it. */
  raise(realTime: RealTime): void;
  /** Why its process is not in the class that `LoadOptions.realTime` asked for; null or absent: nothing is known to be in the way. */
  readonly notRaised?: string | null;
  /** Resolves with the exit code when the process ends, however. */
  readonly exited: Promise<number | null>;
  close(): Promise<void>;
}

export type LoadOptions = {
  /** ONNX Runtime intra-op threads. */
  readonly threads: number;
  /** Refuses pictures of more pixels than this before decoding them. */
  readonly pixelsMax?: number;
  /** The core that the model's process may use for what no picture waits for; any by default. */
  readonly backgroundCore?: string;
  /** An ordinary process by default. */
  readonly realTime?: RealTime;
};

/** In Linux's real-time class, where this process may ask for that. */
export type RealTime = {
  /** 2 to 99, greater goes first. */
  readonly priority: number;
  /** Linux ends the process when it computes for longer without a rest: who goes ahead of its host may not keep the host from ending it. */
  readonly computesMsMax?: number;
};

/** Several models may be loaded at once: slots, shadow, ladder. */
export interface ModelHost {
  load(packageDir: string, options: LoadOptions): Promise<LoadedModel>;
}
