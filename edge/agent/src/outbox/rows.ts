/** The outbox's items and results; plain data for messages to and from the worker. */
import type { EdgePrediction, UplinkStream } from "@tributary/contracts";
import type { Captured } from "./age.ts";
import type { DiskTrouble } from "./disk.ts";

export type EscalationReason = EdgePrediction["reason"];
export type Escalation = EdgePrediction["escalation"];
export type DropReason = EdgePrediction["dropReason"];

/** Fields that a batch shares. */
export type DecidedBy = {
  readonly modelDigest: string;
  readonly preprocessingDigest: string;
  readonly policyVersion: string;
  readonly arm: string;
};

/** A prediction without the fields that are known only when it is sent; numbers, so that it is also JSON. */
export type PredictionBody = Omit<EdgePrediction, "frameSeq" | "ageMs" | "escalation" | "dropReason"> & {
  readonly frameSeq: number;
};

/** One decided frame. */
export type FrameItem = {
  readonly kind: "frame";
  readonly captured: Captured;
  readonly decidedBy: DecidedBy;
  readonly body: PredictionBody;
  readonly escalation: Escalation;
  readonly dropReason: DropReason;
  /** With escalation QUEUED only. */
  readonly jpeg: Uint8Array | null;
  readonly traceparent: string | null;
};

/** A window or report; its `seq` and age are filled in when it leaves. JSON without them. */
export type ReportStream = Exclude<UplinkStream, "frames" | "predictions">;
export type ReportItem = {
  readonly kind: "report";
  readonly stream: ReportStream;
  readonly closed: Captured;
  readonly body: string;
};

export type OutboxItem = FrameItem | ReportItem;

export type RecordKey = { readonly boot: number; readonly stream: UplinkStream; readonly seq: number };

/** Consecutive numbers of one boot and stream. */
export type SeqRange = { readonly first: number; readonly last: number };

export type OutboxStats = {
  /** Frames that wait with their image. */
  readonly frames: number;
  readonly predictions: number;
  readonly reports: number;
  /** Left, and not acknowledged yet. */
  readonly unacked: number;
  readonly bytes: number;
  /** Nothing can be dropped to make room. */
  readonly full: boolean;
  /** The disk is full, or its reserve could not be made: new items may wait in memory. */
  readonly stalled: boolean;
};

export type Dropped = { readonly dropReason: DropReason; readonly reason: EscalationReason; readonly count: number };

export type OutboxLimits = {
  readonly bytesMax: number;
  readonly frameBytesMax: number;
  readonly batchMax: number;
  readonly batchWaitMs: number;
  /** Group commit: whichever comes first. */
  readonly commitMs: number;
  readonly commitFrames: number;
  /** Records in flight per stream. */
  readonly windowRecords: number;
  /** And in bytes, all streams together; one record always may. */
  readonly windowBytes: number;
  readonly reportsMax: number;
  /** How long a record that the broker has waits for Kafka's acknowledgement before it is sent again; null: PUBACK is that. */
  readonly confirmMs: number | null;
};

export type OpenOptions = {
  readonly file: string;
  readonly deviceId: string;
  readonly limits: OutboxLimits;
  /** The file was found damaged while open: it is set aside before anything is read. */
  readonly isDamaged?: boolean;
};

export type Opened = {
  readonly boot: number;
  readonly bootId: string;
  readonly sampleKey: Uint8Array;
  /** The last received policy, in single-object encoding. */
  readonly policy: Uint8Array | null;
  /** Pending records of earlier boots. */
  readonly stats: OutboxStats;
};

/** Trace of a frame that is sent: the parent span, and the span of the sending, which its record names. */
export type SendTrace = { readonly parent: string; readonly context: string | null; readonly waitedMs: number };

export type ToOutbox =
  | { readonly kind: "append"; readonly items: readonly OutboxItem[] }
  | { readonly kind: "link"; readonly online: boolean; readonly epoch: number }
  | { readonly kind: "settled"; readonly key: RecordKey; readonly acked: boolean; readonly epoch: number }
  | {
      readonly kind: "confirmed";
      readonly bootId: bigint;
      readonly stream: UplinkStream;
      readonly ranges: readonly SeqRange[];
    }
  | { readonly kind: "sampleKey"; readonly bytes: Uint8Array }
  | { readonly kind: "policy"; readonly bytes: Uint8Array | null }
  | { readonly kind: "flush"; readonly ticket: number }
  | { readonly kind: "close" };

export type FromOutbox =
  | { readonly kind: "opened"; readonly opened: Opened }
  | {
      readonly kind: "send";
      readonly key: RecordKey;
      readonly payload: Uint8Array;
      readonly frames: number;
      readonly epoch: number;
      readonly trace?: SendTrace;
    }
  | {
      readonly kind: "committed";
      /** Items of this process committed so far. */
      readonly items: number;
      readonly stats: OutboxStats;
      readonly dropped: readonly Dropped[];
      readonly commitMs: number;
    }
  | { readonly kind: "setAside"; readonly file: string; readonly reason: string }
  | { readonly kind: "flushed"; readonly ticket: number }
  | { readonly kind: "failed"; readonly message: string; readonly trouble: DiskTrouble; readonly fatal: boolean }
  | { readonly kind: "closed" };
