/**
 * The budget of escalations: a token bucket that earns `share` tokens a frame, so that what it bounds is a share of frames
 * whatever the frame rate.
 *
 * B1. In any hour of steady frames the sent share exceeds `share` by at most burst / hour (1.7 % for 60 s).
 * B2. The last `reserve` of the depth is for priority frames only.
 */
export type BucketSettings = {
  /** Tokens earned a frame, 0 to 1. */
  readonly share: number;
  /** Depth, in ms of what is earned at the present frame rate. */
  readonly burstMs: number;
  /** Share of the depth that only the priority lane may use. */
  readonly reserve: number;
};

export type Bucket = {
  readonly tokens: number;
  readonly lastFrameAtMs: number | null;
  /** Running mean of the time between frames: the present frame rate. */
  readonly intervalMs: number;
  readonly intervals: number;
};

/** `idle`: only what the others leave, the upper half of what is above the reserve. */
export type Lane = "priority" | "normal" | "idle";

const INTERVALS_MEMORY = 32;
const INTERVAL_MS_ASSUMED = 100;
/** A longer silence is a pause, not a frame rate. */
const INTERVAL_MS_MAX = 5_000;

export const bucketDepth = (bucket: Bucket, settings: BucketSettings): number =>
  Math.max(1, (settings.share * settings.burstMs) / bucket.intervalMs);

/** A full bucket; the frame rate is assumed 10/s until frames come. */
export const bucketInit = (settings: BucketSettings): Bucket => ({
  tokens: (settings.share * settings.burstMs) / INTERVAL_MS_ASSUMED,
  lastFrameAtMs: null,
  intervalMs: INTERVAL_MS_ASSUMED,
  intervals: 0,
});

/** Every frame, sent or kept, earns its share. `nowMs` is monotonic. */
export function bucketEarn(bucket: Bucket, nowMs: number, settings: BucketSettings): Bucket {
  const elapsed = bucket.lastFrameAtMs === null ? null : Math.max(0, nowMs - bucket.lastFrameAtMs);
  let { intervalMs, intervals } = bucket;
  if (elapsed !== null && elapsed <= INTERVAL_MS_MAX) {
    intervals = Math.min(INTERVALS_MEMORY, intervals + 1);
    intervalMs = Math.max(1, intervalMs + (elapsed - intervalMs) / (intervals + 1));
  }
  const earned = { tokens: bucket.tokens + settings.share, lastFrameAtMs: nowMs, intervalMs, intervals };
  return { ...earned, tokens: Math.min(bucketDepth(earned, settings), earned.tokens) };
}

/** Takes one token, or leaves the bucket as it is. */
export function bucketTake(
  bucket: Bucket,
  settings: BucketSettings,
  lane: Lane,
): { readonly granted: boolean; readonly bucket: Bucket } {
  const { reserve } = settings;
  const kept = { priority: 0, normal: reserve, idle: reserve + (1 - reserve) / 2 }[lane];
  const floor = kept * bucketDepth(bucket, settings);
  if (bucket.tokens - 1 < floor) return { granted: false, bucket };
  return { granted: true, bucket: { ...bucket, tokens: bucket.tokens - 1 } };
}
