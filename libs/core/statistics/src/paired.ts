/** Two proportions on the same items. */
import type { Interval } from "./binomial.ts";
import { normalQuantile } from "./normal.ts";

export type PairedDifference = Interval & { readonly difference: number };

/** Of `items`, the share that only the first is right on less the share that only the second is, with its interval: Wald's
 * with half an item added to each of the four cells, which covers from small numbers on (Agresti & Min 2005). */
export function pairedDifference(
  onlyFirst: number,
  onlySecond: number,
  items: number,
  confidence = 0.95,
): PairedDifference {
  if (items === 0) return { difference: 0, lower: -1, upper: 1 };
  const n = items + 2;
  const [p, q] = [(onlyFirst + 0.5) / n, (onlySecond + 0.5) / n];
  const half = normalQuantile((1 + confidence) / 2) * Math.sqrt((p + q - (p - q) ** 2) / n);
  return {
    difference: (onlyFirst - onlySecond) / items,
    lower: Math.max(-1, p - q - half),
    upper: Math.min(1, p - q + half),
  };
}
