/** Two models on the same frames: only those on which one is right and the other wrong distinguish them (McNemar 1947). */
export type Pair = {
  readonly frames: number;
  readonly candidate: number;
  readonly champion: number;
  /** Frames that only one of the two got right. */
  readonly lost: number;
  readonly won: number;
};

export function paired(candidate: readonly boolean[], champion: readonly boolean[]): Pair {
  let [a, b, lost, won] = [0, 0, 0, 0];
  for (const [i, right] of candidate.entries()) {
    const other = champion[i] === true;
    if (right) a += 1;
    if (other) b += 1;
    if (right && !other) won += 1;
    if (!right && other) lost += 1;
  }
  const frames = Math.max(1, candidate.length);
  return { frames: candidate.length, candidate: a / frames, champion: b / frames, lost, won };
}

/** All frames of pairs that have none in common. */
export function pooled(pairs: readonly Pair[]): Pair {
  const sum = (of: (pair: Pair) => number) => pairs.reduce((total, pair) => total + of(pair), 0);
  const frames = sum((pair) => pair.frames);
  const share = (of: (pair: Pair) => number) => sum((pair) => pair.frames * of(pair)) / Math.max(1, frames);
  return {
    frames,
    candidate: share(({ candidate }) => candidate),
    champion: share(({ champion }) => champion),
    lost: sum(({ lost }) => lost),
    won: sum(({ won }) => won),
  };
}

export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
