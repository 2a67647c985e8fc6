/**
 * Whether an error of the group's coordinator means that we must join again: then the current batch is left to the next owner
 * of the partition. Others (a coordinator that is loading after a restart of the broker) are transient; stopping
 * for them would mean to wait for a rebalance that never comes.
 */
const REJOIN = new Set([
  "REBALANCE_IN_PROGRESS",
  "NOT_COORDINATOR_FOR_GROUP",
  "ILLEGAL_GENERATION",
  "UNKNOWN_MEMBER_ID",
]);

export const mustRejoin = (error: unknown): boolean =>
  REJOIN.has(String((error as { type?: unknown } | null)?.type ?? ""));

/** The group has removed us: our partitions are, or soon will be, another member's. */
export const isExpelled = (error: unknown): boolean =>
  ["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID"].includes(
    String((error as { type?: unknown } | null)?.type ?? ""),
  );
