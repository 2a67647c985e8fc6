/** How likely a place would hold so many by chance: the one-sided test of Fisher (1935). */
import gammaln from "@stdlib/math-base-special-gammaln";
import { invariant } from "@tributary/kernel";

/** P(X >= marked) where X is the number of marked items among `drawn` of `items`, `markedItems` of which are marked. By logarithms
 * of the gamma function, so that populations of 100,000 and tails of 1e-300 are no difficulty. */
export function hypergeometricTail(marked: number, drawn: number, markedItems: number, items: number): number {
  const most = Math.min(drawn, markedItems);
  const least = Math.max(0, drawn + markedItems - items);
  invariant(drawn <= items && markedItems <= items && least >= 0, "no more are drawn or marked than there are");
  if (marked <= least) return 1;
  if (marked > most) return 0;
  // Relative to the first term; a sum that overflows is of a tail that is 1.
  let [sum, term] = [1, 1];
  for (let x = marked; x < most && term > sum * 1e-17; x++) {
    term *= ((markedItems - x) * (drawn - x)) / ((x + 1) * (items - markedItems - drawn + x + 1));
    sum += term;
  }
  const first =
    logChoose(markedItems, marked) + logChoose(items - markedItems, drawn - marked) - logChoose(items, drawn);
  return Math.min(1, Math.exp(first + Math.log(sum)));
}

const logChoose = (n: number, k: number): number => gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1);
