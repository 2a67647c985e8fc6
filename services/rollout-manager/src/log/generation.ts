/** The generation of what devices shall run (G6): epoch x 2^40 + position in rollouts.events.v1 + 1.
 *
 * It grows with the log. A Kafka restored from a backup has forgotten positions that devices have seen: then the epoch is
 * raised, and everything that follows is newer than all that was. */
const EPOCH = 1n << 40n;
export const EPOCH_MAX = 1_000_000;

export const generationOf = (epoch: number, offset: bigint): bigint => BigInt(epoch) * EPOCH + offset + 1n;
