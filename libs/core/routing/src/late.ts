import type { SettledBy } from "@tributary/contracts";

const LATE: ReadonlySet<string> = new Set<SettledBy>([
  "DEADLINE",
  "DEADLINE_UNREACHABLE",
  "CLOUD_UNHEALTHY",
  "CLOUD_FAILED",
]);

/** Whether a cloud answer that was wanted did not come by the deadline: it came too late, was not asked for since it would have, or the
 * cloud failed. What a budget left out was not wanted at its price, and is not late. */
export const isLate = (settledBy: string): boolean => LATE.has(settledBy);
