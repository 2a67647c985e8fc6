/** No field is longer, and comparing takes time. */
const WORD_MAX = 64;

/** What differs in few letters, in any case; undefined if nothing does. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_MAX) return undefined;
  const near = known
    .map((one) => ({ one, far: distance(word.toLowerCase(), one.toLowerCase()) }))
    .filter(({ one, far }) => far <= Math.max(1, Math.ceil(one.length / 3)));
  return near.sort((a, b) => a.far - b.far)[0]?.one;
}

/** Letters to insert, leave out, replace or swap with their neighbour (Damerau-Levenshtein, restricted). */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (before[j - 2] ?? 0) + 1);
      row.push(least);
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
