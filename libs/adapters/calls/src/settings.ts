/** Bounds of the calls of one backend. */
export type CallSettings = {
  /** Time after which a call without an answer is given up. */
  readonly callMsMax: number;
  /** Price of one call, whatever it holds. */
  readonly costMicrosPerCall: number;
  readonly retry: {
    /** Calls for one item, the first included. */
    readonly attemptsMax: number;
    /** Retries per first call, over any window of `windowMs`. */
    readonly shareMax: number;
    readonly windowMs: number;
    /** Bounds of the jittered wait before a retry. */
    readonly waitMsMin: number;
    readonly waitMsMax: number;
    /** The longest Retry-After that is followed. */
    readonly retryAfterMsMax: number;
  };
  readonly breaker: {
    /** The circuit opens when more than this share of the last calls failed. */
    readonly failureShareMax: number;
    /** The number of last calls that count, and the least number needed. */
    readonly callsSeen: number;
    readonly callsMin: number;
    /** How long it stays open before one call may probe; doubled while probes fail. */
    readonly openMs: number;
    readonly openMsMax: number;
  };
  readonly hedge: {
    /** Second calls per first call, made when the first is slower than 95 % of those before it. 0: none. */
    readonly shareMax: number;
  };
};

export const callDefaults: CallSettings = {
  callMsMax: 10_000,
  costMicrosPerCall: 0,
  retry: {
    attemptsMax: 2,
    shareMax: 0.1,
    windowMs: 60_000,
    waitMsMin: 20,
    waitMsMax: 2_000,
    retryAfterMsMax: 30_000,
  },
  breaker: { failureShareMax: 0.5, callsSeen: 20, callsMin: 5, openMs: 1_000, openMsMax: 10_000 },
  hedge: { shareMax: 0 },
};

/** Retries with jitter and nothing else, as most clients do. For comparison. */
export const unguarded = (settings: CallSettings): CallSettings => ({
  ...settings,
  retry: { ...settings.retry, attemptsMax: 3, shareMax: Number.POSITIVE_INFINITY },
  breaker: { ...settings.breaker, callsSeen: 1_000_000, callsMin: 1_000_000 },
});
