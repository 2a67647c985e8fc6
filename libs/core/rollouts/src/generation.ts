/** The generation of what devices shall run (G6): epoch x 2^40 + position in rollouts.events.v1 + 1.
 *
 * It grows with the log. A Kafka restored from a backup has forgotten positions that devices have seen: then the epoch is
 * raised, and everything that follows is newer than all that was. */
const EPOCH = 1n << 40n;
export const EPOCH_MAX = 1_000_000;

export const generationOf = (epoch: number, offset: bigint): bigint => BigInt(epoch) * EPOCH + offset + 1n;

export const epochOf = (generation: bigint): bigint => generation / EPOCH;

/** What orders the records of one rollout. */
export type Generation = { readonly version: bigint; readonly generation: bigint };

/** Below 0: `a` is older. A generation written before Kafka was restored counts events that the log forgot: the epoch comes
 * first. */
export function compareGenerations(a: Generation, b: Generation): number {
  const [before, after] = [epochOf(a.generation), epochOf(b.generation)];
  const [one, other] = before === after ? [a.version, b.version] : [before, after];
  return one < other ? -1 : one > other ? 1 : 0;
}
