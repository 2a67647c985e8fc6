/** The keys that every target has, whatever its backend: queue, batches, and how calls are made. */
import { z } from "zod";

export const positive = z.number().int().positive();

export type CallDefaults = {
  readonly batchMax: number;
  readonly callsMax: number;
  readonly retryShareMax: number;
};

/** The call keys of a backend's block, with the backend's own defaults. */
export const callSettings = (defaults: CallDefaults) => ({
  /** Frames a call may hold. */
  batchMax: positive.max(256).default(defaults.batchMax),
  /** How long the first frame of a call may wait for more. */
  batchWaitMs: z.number().int().min(0).max(1_000).default(5),
  /** Bounds of the queue; beyond them normal-priority frames are shed (G9). */
  queueFramesMax: positive.max(100_000).default(512),
  queueBytesMax: positive.default(128 * 1024 * 1024),
  /** Calls in flight at once. */
  callsMax: positive.max(256).default(defaults.callsMax),
  /** Timeout of a call. */
  callMsMax: positive.max(600_000).default(10_000),
  /** Millionths of the currency in which costs are given; the frames of a call share its cost. */
  costMicrosPerCall: z.number().int().min(0).default(0),
  retry: z
    .strictObject({
      /** Calls for one frame, the first included. */
      attemptsMax: positive.max(10).default(2),
      /** Retries per first call, over any window of `windowMs`. */
      shareMax: z.number().min(0).max(1).default(defaults.retryShareMax),
      windowMs: positive.max(3_600_000).default(60_000),
      /** Bounds of the jittered wait before a retry. */
      waitMsMin: positive.default(20),
      waitMsMax: positive.max(60_000).default(2_000),
      /** The longest Retry-After that is honoured. */
      retryAfterMsMax: positive.max(3_600_000).default(30_000),
    })
    .prefault({}),
  breaker: z
    .strictObject({
      /** The circuit opens when more than this share of the last calls failed. */
      failureShareMax: z.number().gt(0).lt(1).default(0.5),
      /** How many of the last calls are evaluated, and how many there must be. */
      callsSeen: positive.max(1_000).default(20),
      callsMin: positive.max(1_000).default(5),
      /** How long it stays open before one call may probe; doubled while probes fail. */
      openMs: positive.max(600_000).default(1_000),
      openMsMax: positive.max(3_600_000).default(10_000),
    })
    .prefault({}),
  hedge: z
    .strictObject({
      /** Second calls per first call, made when the first is slower than 95 % of those before it. 0: none. */
      shareMax: z.number().min(0).max(0.05).default(0),
    })
    .prefault({}),
});
