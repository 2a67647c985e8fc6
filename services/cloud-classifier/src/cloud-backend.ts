/**
 * The port to whatever runs a cloud model. Local ONNX, KServe v2, TF Serving and SageMaker implement it. Time limits,
 * retries and the rest of the call policy are the caller's (calls.ts); a backend makes one call at a time.
 *
 * `classify` returns one outcome for each frame, in order, and does not reject: a dead backend is an outcome. It starts
 * nothing and waits for nothing beyond `deadline`, and ends when `signal` aborts. An answer that is already being computed
 * may come late: it still shows the router how slow the cloud is.
 */
import { type Instant, traceContextOf } from "@tributary/kernel";

/** One frame to classify. */
export type CloudFrame = {
  readonly jpeg: Uint8Array;
  /** `deviceId:bootId:cameraId:frameSeq`, for servers that log what they were asked. */
  readonly frameId?: string;
  /** W3C trace context of the frame, to be passed to the server. */
  readonly traceparent?: string | null;
};

/** The trace context of a batch: the first valid one. A device may send anything in its place, and a header that cannot be sent
 * would fail the call for every frame of the batch. */
export const traceparentOfBatch = (batch: readonly CloudFrame[]): string | null | undefined =>
  batch.find(({ traceparent }) => traceContextOf(traceparent) !== undefined)?.traceparent;

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
      /** The variant or version of the model that answered, as the server returns it. */
      readonly servedBy?: string | null;
    }
  /** This frame cannot be used; asking again will not help. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  /** The backend did not answer. */
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      /** Whether another call may help. `alone`: one of the call's frames may be the cause, so each is asked by itself. */
      readonly again: boolean | "alone";
      /** The backend is healthy, and refuses the call for one of its frames. */
      readonly isOfItems?: boolean;
      /** The server's Retry-After, with status 429 or 503. */
      readonly retryAfterMs?: number;
    };

export type CallContext = { readonly deadline: Instant; readonly signal: AbortSignal };

export interface CloudBackend {
  classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]>;
  /** Whether it could answer now. */
  ready(): boolean;
  close(): Promise<void>;
}
