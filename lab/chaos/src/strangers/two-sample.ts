/** Whether two samples may come from one distribution: Mann-Whitney's test for a shift, Kolmogorov's and Smirnov's for any difference. */
export type TwoSample = { readonly mannWhitneyP: number; readonly kolmogorovP: number };

export function compareSamples(a: readonly number[], b: readonly number[]): TwoSample {
  return { mannWhitneyP: mannWhitney(a, b), kolmogorovP: kolmogorovSmirnov(a, b) };
}

/** The smallest of these factors by which `a` must be slower to differ significantly from `b`; the test's power. */
export function seenFactor(a: readonly number[], b: readonly number[], pMax: number): number | null {
  const factors = [1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5];
  return (
    factors.find(
      (factor) =>
        mannWhitney(
          a.map((one) => one * factor),
          b,
        ) < pMax,
    ) ?? null
  );
}

/** Two-sided, by the normal approximation with mid-ranks and its correction for ties. */
function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map((value) => ({ value, isA: true })), ...b.map((value) => ({ value, isA: false }))];
  all.sort((x, y) => x.value - y.value);
  const n = all.length;
  let ranksOfA = 0;
  let ties = 0;
  for (let from = 0; from < n; ) {
    let to = from;
    while (to < n && all[to]?.value === all[from]?.value) to++;
    const rank = (from + 1 + to) / 2;
    for (let i = from; i < to; i++) if (all[i]?.isA) ranksOfA += rank;
    ties += (to - from) ** 3 - (to - from);
    from = to;
  }
  const u = ranksOfA - (a.length * (a.length + 1)) / 2;
  const mean = (a.length * b.length) / 2;
  const variance = ((a.length * b.length) / 12) * (n + 1 - ties / (n * (n - 1)));
  return variance === 0 ? 1 : 2 * upperTail(Math.abs(u - mean) / Math.sqrt(variance));
}

/** By Kolmogorov's limiting distribution with Stephens' correction for finite samples. */
function kolmogorovSmirnov(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [a.toSorted((p, q) => p - q), b.toSorted((p, q) => p - q)];
  let [i, j, distance] = [0, 0, 0];
  while (i < x.length && j < y.length) {
    const at = Math.min(x[i] as number, y[j] as number);
    while (i < x.length && (x[i] as number) <= at) i++;
    while (j < y.length && (y[j] as number) <= at) j++;
    distance = Math.max(distance, Math.abs(i / x.length - j / y.length));
  }
  const n = Math.sqrt((x.length * y.length) / (x.length + y.length));
  const lambda = (n + 0.12 + 0.11 / n) * distance;
  if (lambda < 0.2) return 1;
  let sum = 0;
  for (let k = 1; k <= 100; k++) sum += 2 * (-1) ** (k - 1) * Math.exp(-2 * k * k * lambda * lambda);
  return Math.min(1, Math.max(0, sum));
}

/** Of the standard normal distribution, by Abramowitz and Stegun 7.1.26: to 1.5e-7. */
function upperTail(z: number): number {
  const t = 1 / (1 + (0.3275911 * z) / Math.SQRT2);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return (series * Math.exp((-z * z) / 2)) / 2;
}
