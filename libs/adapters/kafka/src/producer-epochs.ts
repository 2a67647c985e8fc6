/**
 * Makes this process the only one that can write to some partitions, by a producer epoch of Kafka.
 *
 * A transactional id stands for the right to write. A process that claims it gets its producer id with a higher epoch, and has
 * the transaction coordinator write an abort marker of that epoch to each partition. From then on the partitions' leaders
 * refuse every batch of a lower epoch, also one that a process sent before it was paused and that arrives now.
 *
 * When `claimEpoch` resolves, the markers are in the partitions: earlier owners' records are all before them, and none is
 * appended any more.
 *
 * E2. Of two processes that claim at once, one is fenced: the epoch to write with is given only to the process that still holds
 *     the one of the markers (KIP-360). Without that condition both would continue, and the lower epoch could write until the
 *     higher one first did.
 *
 * The markers are control records, which consumers skip. Records are then written outside of transactions, so no consumer has
 * to read with isolation.level=read_committed (docs/adr/0028). */
import { addPartitionsToTxnV3, type Connection, endTxnV3, initProducerIdV4 } from "@platformatic/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { Cluster } from "./cluster.ts";
import { UNAVAILABLE } from "./joining-sink.ts";
import { apiIdsOf } from "./platformatic-sink.ts";

export type ProducerEpoch = { readonly producerId: bigint; readonly producerEpoch: number };

export type EpochClaim = {
  readonly transactionalId: string;
  readonly topics: readonly string[];
  readonly partition: number;
};

/** Another process claimed the same meanwhile. */
export const FENCED = "kafka-writer-fenced";
export const FENCED_IDS = ["INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "INVALID_PRODUCER_ID_MAPPING"];

/** Time after which the coordinator aborts an open transaction, if this process dies in between. */
const TRANSACTION_MS_MAX = 10_000;
const CLAIM_MS_MAX = 30_000;
const PAUSE_MS = { min: 20, max: 500 };

/** Rejects with a Failure to retry, `kafka-writer-fenced` if another process was faster. */
export async function claimEpoch(
  cluster: Cluster,
  claim: EpochClaim,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProducerEpoch> {
  const givesUpAtMs = clock.monotonicMs() + CLAIM_MS_MAX;
  for (let attempt = 0; ; attempt++) {
    try {
      const connection = await cluster.coordinator(claim.transactionalId);
      const first = await init(connection, claim);
      await abortEmptyTransaction(connection, claim, first);
      return await initWhenAborted(connection, claim, first, clock, signal, givesUpAtMs);
    } catch (error) {
      const ids = apiIdsOf(error);
      if (ids.some((id) => FENCED_IDS.includes(id))) {
        const what = `${claim.transactionalId} was claimed by another process`;
        throw new Failure(FENCED, "retry", what, { cause: error });
      }
      signal.throwIfAborted();
      if (clock.monotonicMs() >= givesUpAtMs) {
        throw new Failure(UNAVAILABLE, "retry", `${claim.transactionalId}: ${reasonOf(error)}`, { cause: error });
      }
      // Kafka is unavailable; or, with an id, the coordinator loads, moved, or aborts a dead owner's transaction. Renewing then would
      // end the requests of other claims, which would renew in turn.
      if (ids.length === 0) await cluster.renew();
      await clock.sleep(pauseMs(attempt), signal);
    }
  }
}

const pauseMs = (attempt: number): number => Math.min(PAUSE_MS.max, PAUSE_MS.min * 2 ** Math.min(attempt, 10));

/** The next epoch; only if `held` is still the present one, where it is given. */
async function init(
  connection: Connection,
  { transactionalId }: EpochClaim,
  held?: ProducerEpoch,
): Promise<ProducerEpoch> {
  const { producerId, producerEpoch } = await initProducerIdV4.api.async(
    connection,
    transactionalId,
    TRANSACTION_MS_MAX,
    held?.producerId,
    held?.producerEpoch,
  );
  return { producerId, producerEpoch };
}

async function abortEmptyTransaction(connection: Connection, claim: EpochClaim, epoch: ProducerEpoch): Promise<void> {
  const { transactionalId, topics, partition } = claim;
  const { producerId, producerEpoch } = epoch;
  const partitions = topics.map((name) => ({ name, partitions: [partition] }));
  const transaction = { transactionalId, producerId, producerEpoch, verifyOnly: false, topics: partitions };
  await addPartitionsToTxnV3.api.async(connection, [transaction]);
  await endTxnV3.api.async(connection, transactionalId, producerId, producerEpoch, false);
}

/** The coordinator answers EndTxn before the markers are written, and refuses the next epoch until they are. */
async function initWhenAborted(
  connection: Connection,
  claim: EpochClaim,
  first: ProducerEpoch,
  clock: Clock,
  signal: AbortSignal,
  givesUpAtMs: number,
): Promise<ProducerEpoch> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await init(connection, claim, first);
    } catch (error) {
      if (!apiIdsOf(error).includes("CONCURRENT_TRANSACTIONS") || clock.monotonicMs() >= givesUpAtMs) throw error;
      await clock.sleep(pauseMs(attempt), signal);
    }
  }
}
