/**
 * How long the readers of a partition may be away before retention deletes what they have not read: pure.
 *
 * Kafka deletes the oldest closed segment only if the rest of the partition is `retention.bytes` at least, so the newest
 * `retention.bytes` are always kept: a reader loses nothing while its unread bytes are fewer. Time deletes whatever the bytes.
 */
export type Retention = {
  /** `retention.bytes` of a partition; infinite where it has no bound. */
  readonly bytes: number;
  readonly ms: number;
};

export type Unread = { readonly unreadBytes: number; readonly bytesPerSecond: number };

/** Infinite if nothing is written and nothing expires. */
export function outageMsAllowed(retention: Retention, { unreadBytes, bytesPerSecond }: Unread): number {
  const roomBytes = Math.max(0, retention.bytes - unreadBytes);
  const fullAfterMs = bytesPerSecond > 0 ? (roomBytes / bytesPerSecond) * 1_000 : Number.POSITIVE_INFINITY;
  return Math.min(fullAfterMs, retention.ms);
}

/** Bytes behind an offset, if records of the partition are alike. */
export function unreadBytesOf(
  { start, end, bytes }: { readonly start: bigint; readonly end: bigint; readonly bytes: number },
  committed: bigint | undefined,
): number {
  const from = committed === undefined || committed < start ? start : committed;
  const [unread, all] = [Number(end - from), Number(end - start)];
  return unread <= 0 || all <= 0 ? 0 : (bytes * unread) / all;
}
