/** Other methods of canary analysis, on the same draws. They see each minute's pooled rates, as from a metrics server. */
import type { Spending } from "@tributary/rollouts/judge";
import { normalCdf, normalQuantile } from "@tributary/statistics";

export type Minute = {
  readonly canary: readonly [good: number, all: number];
  readonly control: readonly [number, number];
};

export interface Judge {
  /** True: roll back now. */
  look(minute: Minute): boolean;
}

/** A z-test of all frames so far at 5 %, one-sided, looked at every minute. */
export class PeekedZTest implements Judge {
  readonly #sums = [0, 0, 0, 0];
  look({ canary, control }: Minute): boolean {
    [...canary, ...control].forEach((value, i) => {
      this.#sums[i] = (this.#sums[i] ?? 0) + value;
    });
    const [a = 0, n = 1, b = 0, m = 1] = this.#sums;
    const pooled = (a + b) / (n + m);
    const z = (b / m - a / n) / Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
    return 1 - normalCdf(z) < 0.05;
  }
}

/** Kayenta's: Mann-Whitney at 98 % between the two series of minutes, once an hour of them is there, in an hour's window. */
export class KayentaLike implements Judge {
  readonly #canary: number[] = [];
  readonly #control: number[] = [];
  look({ canary, control }: Minute): boolean {
    this.#canary.push(canary[0] / canary[1]);
    this.#control.push(control[0] / control[1]);
    if (this.#canary.length < 60) return false;
    return mannWhitneyLower(this.#canary.slice(-60), this.#control.slice(-60)) < 0.01;
  }
}

/** Argo Rollouts': a measurement a minute, a failure when the canary is a point below the stable, failureLimit 3. */
export class ArgoLike implements Judge {
  #failures = 0;
  look({ canary, control }: Minute): boolean {
    if (canary[0] / canary[1] < control[0] / control[1] - 0.01) this.#failures += 1;
    return this.#failures > 3;
  }
}

/** One-sided p that the first is lower; normal approximation with mid-ranks and correction for ties. */
function mannWhitneyLower(first: readonly number[], second: readonly number[]): number {
  const all = [
    ...first.map((value) => ({ value, isFirst: true })),
    ...second.map((value) => ({ value, isFirst: false })),
  ];
  all.sort((a, b) => a.value - b.value);
  let rankSum = 0;
  let ties = 0;
  for (let i = 0; i < all.length; ) {
    let j = i;
    while (j < all.length && all[j]?.value === all[i]?.value) j += 1;
    const rank = (i + j + 1) / 2;
    for (let k = i; k < j; k++) if (all[k]?.isFirst) rankSum += rank;
    ties += (j - i) ** 3 - (j - i);
    i = j;
  }
  const [n, m] = [first.length, second.length];
  const u = rankSum - (n * (n + 1)) / 2;
  const variance = ((n * m) / 12) * (n + m + 1 - ties / ((n + m) * (n + m - 1)));
  return variance === 0 ? 1 : normalCdf((u - (n * m) / 2 + 0.5) / Math.sqrt(variance));
}

/** For a group-sequential test: nearly nothing early, so that the last look has nearly all of the level (after O'Brien & Fleming 1979). */
export const obrienFleming =
  (level: number): Spending =>
  (share) =>
    Math.min(level, 2 * (1 - normalCdf(normalQuantile(1 - level / 2) / Math.sqrt(share))));
