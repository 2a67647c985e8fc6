/**
 * The order in which the records of a poll are settled: by device in turn, so that one device's many do not delay the single
 * ones of others. Each device's records stay in their order (G3), and all of them are settled before the poll is committed.
 *
 * I1. A record's turn comes when as much of every other device was settled as of its own, counted in what records cost. */

/** A device had more than this in one poll, and more than its even part of it. */
const LARGE_COST_MIN = 1_024;

type Interleaved<T> = {
  readonly ordered: readonly T[];
  /** The devices whose records others' were settled before, because they have so many. */
  readonly large: readonly string[];
};

export function interleave<T extends { readonly key: string | null }>(
  records: readonly T[],
  costOf: (record: T) => number,
): Interleaved<T> {
  const costs = new Map<string, number>();
  let total = 0;
  const turns = records.map((record) => {
    const cost = costOf(record);
    const turn = (costs.get(record.key ?? "") ?? 0) + cost;
    costs.set(record.key ?? "", turn);
    total += cost;
    return { record, turn };
  });
  if (costs.size < 2) return { ordered: records, large: [] };
  const even = total / costs.size;
  const large = [...costs].filter(([, cost]) => cost > LARGE_COST_MIN && cost > even).map(([deviceId]) => deviceId);
  turns.sort((a, b) => a.turn - b.turn); // stable, and a device's turns only grow
  return { ordered: turns.map(({ record }) => record), large };
}
