/**
 * When a batch of predictions leaves, and from which end. Pure.
 *
 * Fresh predictions are sent before the backlog: a reconnecting device is current first and complete later. Fresh ones wait to
 * fill a batch, at most `batchWaitMs`; the backlog never waits. Nothing is sent offline or beyond the window, so that a waiting
 * prediction can still be changed when its frame is dropped. */
export type BatchState = {
  readonly online: boolean;
  readonly windowFree: number;
  readonly freshCount: number;
  /** When the oldest fresh one was captured; irrelevant when there is none. */
  readonly freshOldestMs: number;
  readonly backlogCount: number;
};

export type BatchLimits = { readonly batchMax: number; readonly batchWaitMs: number };

export function nextBatch(state: BatchState, limits: BatchLimits, nowMs: number): "fresh" | "backlog" | "wait" {
  if (!state.online || state.windowFree <= 0) return "wait";
  const isDue = state.freshCount >= limits.batchMax || nowMs - state.freshOldestMs >= limits.batchWaitMs;
  if (state.freshCount > 0 && isDue) return "fresh";
  return state.backlogCount > 0 ? "backlog" : "wait";
}

/** Older than this, a waiting prediction is backlog: it was delayed by more than batching. */
export const freshMsMax = (limits: BatchLimits): number => limits.batchWaitMs * 2 + 1_000;
