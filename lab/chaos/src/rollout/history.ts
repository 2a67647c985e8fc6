/** The history of rollouts, read from Kafka independently: the log's valid events, and every desired state compared with them.
 *
 * The history is the log's: events valid by version and order, folded here with the state machine alone. A desired state is
 * lawful if its generation is that of a valid event, and its model is that event's for the device. An instance that acts
 * before reading back, or on an invalid event, writes one that is not. */
import { DeviceDesired, topics } from "@tributary/contracts";
import { type KafkaReader, readTopic } from "@tributary/kafka";
import { applyEvent, eventOfRecord, isExperimentEvent, type Rollout, reachedBy } from "@tributary/rollouts";
import type { SimulatedDevice } from "@tributary/testing";

export type History = {
  readonly events: readonly { readonly uid: string; readonly kind: string; readonly by: string }[];
  /** In the log, and without effect. */
  readonly stale: number;
  readonly rollouts: ReadonlyMap<string, Rollout>;
  readonly desired: number;
  /** Desired states that no event that counts can explain. */
  readonly unlawful: readonly string[];
};

export async function historyOf(reader: KafkaReader): Promise<History> {
  const rollouts = new Map<string, Rollout>();
  const events: { uid: string; kind: string; by: string }[] = [];
  /** By generation: what each device shall run. */
  const decided = new Map<bigint, ReadonlyMap<string, string>>();
  let stale = 0;
  for await (const { offset, value } of readTopic(reader, topics.rolloutEvents.name)) {
    const event = eventOfRecord(topics.rolloutEvents.codec.decodeConfluent(value as Buffer));
    if (isExperimentEvent(event)) continue;
    const generation = offset + 1n;
    const before = rollouts.get(event.uid) ?? null;
    const after = applyEvent(before, event, generation);
    if (after === null || after === before) {
      stale += 1;
      continue;
    }
    rollouts.set(event.uid, after);
    events.push({ uid: event.uid, kind: event.change.kind, by: event.by });
    if (after.generation !== generation) continue;
    const isBack = after.aborted !== null;
    const weight = isBack ? (before?.weight ?? 0) : after.weight;
    const digest = isBack ? after.stableDigest : after.modelDigest;
    decided.set(generation, new Map(reachedBy(after.cohorts, weight).map((deviceId) => [deviceId, digest])));
  }
  let desired = 0;
  const unlawful: string[] = [];
  for await (const { key, value } of readTopic(reader, topics.desired.name)) {
    desired += 1;
    const { generation, slots } = DeviceDesired.decodeConfluent(value as Buffer);
    const wanted = slots.perception?.modelDigest;
    if (decided.get(generation)?.get(key ?? "") !== wanted)
      unlawful.push(`${key} generation ${generation} ${wanted?.slice(0, 4)}`);
  }
  return { events, stale, rollouts, desired, unlawful };
}

/** Whether the generations of a device's models increased; it ignores late desired states. */
export const staleIgnored = (devices: readonly SimulatedDevice[]): number =>
  devices.reduce((sum, { ignored }) => sum + ignored.length, 0);
