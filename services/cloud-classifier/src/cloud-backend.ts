/**
 * The port to whatever runs a cloud model. Local ONNX, KServe v2, TF Serving and SageMaker implement it.
 *
 * P1. `classify` gives one outcome a frame, in order, and does not reject: a dead backend is an outcome.
 * P2. It begins nothing and waits for nothing beyond `deadline` and ends when `signal` aborts. An answer already being
 *     computed may come late: it still tells the router how slow the cloud is.
 */
import type { Instant } from "@tributary/kernel";

/** One frame to classify. */
export type CloudFrame = {
  readonly jpeg: Uint8Array;
};

export type CloudOutcome =
  | {
      readonly kind: "answered";
      readonly label: string;
      /** Calibrated, 0 to 1. */
      readonly confidence: number;
      /** Best less second best, 0 to 1. */
      readonly margin: number;
      /** Null where the backend does not know which package answered. */
      readonly modelDigest: string | null;
    }
  /** This frame cannot be used; asking again will not help. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  /** The backend did not answer; `again` says whether another call may. */
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      readonly again: boolean;
      /** How long the server asked to be left alone (429 or 503 with Retry-After). */
      readonly retryAfterMs?: number;
    };

export type CallContext = { readonly deadline: Instant; readonly signal: AbortSignal };

export interface CloudBackend {
  classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]>;
  /** Whether it could answer now. */
  ready(): boolean;
  close(): Promise<void>;
}
