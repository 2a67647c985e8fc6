/** The history of rollouts and experiments, read from Kafka independently: the log's valid events, and every desired state compared with them.
 *
 * The history is the log's, by the one rule for its readers (RolloutLog), without a controller. Each event that counts decides something of
 * some devices: a model, or a policy and an arm. A desired state is lawful if its generation is that of such an event about its device, and
 * its model, policy and arm are what the events up to there decided. An instance that acts before reading back, or on an invalid event,
 * writes one that is not. */
import { DeviceDesired, PERCEPTION, POLICY, topics } from "@tributary/contracts";
import { type KafkaReader, readTopic } from "@tributary/kafka";
import {
  type Applied,
  eventOfRecord,
  generationOf,
  isFinished,
  type Rollout,
  RolloutLog,
  reachedBy,
} from "@tributary/rollouts";
import type { Experiment } from "@tributary/rollouts/experiment";
import type { SimulatedDevice } from "@tributary/testing";

export type History = {
  readonly events: readonly { readonly uid: string; readonly kind: string; readonly by: string }[];
  /** In the log, and without effect. */
  readonly stale: number;
  readonly rollouts: ReadonlyMap<string, Rollout>;
  readonly experiments: ReadonlyMap<string, Experiment>;
  readonly desired: number;
  /** Desired states that no event that counts can explain. */
  readonly unlawful: readonly string[];
};

/** What a device shall run and decide by. */
type Decided = Pick<DeviceDesired, "policyVersion" | "arm"> & { readonly modelDigest: string | null };
const UNDECIDED: Decided = { modelDigest: null, policyVersion: null, arm: "default" };
const UNPINNED = { policyVersion: null, arm: "default" };
const REMEMBERED_MAX = 10_000;

export async function historyOf(reader: KafkaReader): Promise<History> {
  const log = new RolloutLog(REMEMBERED_MAX);
  const rollouts = new Map<string, Rollout>();
  const experiments = new Map<string, Experiment>();
  const events: { uid: string; kind: string; by: string }[] = [];
  const current = new Map<string, Decided>();
  /** By generation, what it decided of its devices. */
  const decided = new Map<bigint, ReadonlyMap<string, Decided>>();
  let stale = 0;
  for await (const { offset, value } of readTopic(reader, topics.rolloutEvents.name)) {
    const event = eventOfRecord(topics.rolloutEvents.codec.decodeConfluent(value as Buffer));
    const generation = generationOf(0, offset);
    const applied = log.apply(event, generation);
    if (applied.kind !== "counts") {
      stale += 1;
      continue;
    }
    events.push({ uid: event.uid, kind: event.change.kind, by: event.by });
    const news = decidedBy(applied, rollouts.get(event.uid) ?? null, generation);
    if (applied.rollout === null) experiments.set(event.uid, applied.experiment);
    else rollouts.set(event.uid, applied.rollout);
    for (const [deviceId, change] of news) current.set(deviceId, { ...UNDECIDED, ...current.get(deviceId), ...change });
    decided.set(generation, new Map(news.map(([deviceId]) => [deviceId, current.get(deviceId) as Decided])));
  }
  let desired = 0;
  const unlawful: string[] = [];
  for await (const { key, value } of readTopic(reader, topics.desired.name)) {
    desired += 1;
    const { generation, slots, policyVersion, arm } = DeviceDesired.decodeConfluent(value as Buffer);
    const is: Decided = { modelDigest: slots[PERCEPTION]?.modelDigest ?? null, policyVersion, arm };
    const lawful = decided.get(generation)?.get(key ?? "");
    if (lawful === undefined || wordsOf(lawful) !== wordsOf(is))
      unlawful.push(`${key} generation ${generation} ${wordsOf(is)}`);
  }
  return { events, stale, rollouts, experiments, desired, unlawful };
}

const wordsOf = ({ modelDigest, policyVersion, arm }: Decided): string =>
  `model ${modelDigest?.slice(0, 4)} policy ${policyVersion?.slice(0, 4)} arm ${arm}`;

/** By device, what an event decided of it; `before`: its rollout before the event. */
function decidedBy(
  { rollout, experiment }: Extract<Applied, { kind: "counts" }>,
  before: Rollout | null,
  generation: bigint,
): readonly (readonly [deviceId: string, Partial<Decided>])[] {
  if (rollout === null) {
    if (experiment.phase !== "Running") return experiment.order.map((deviceId) => [deviceId, UNPINNED]);
    return experiment.arms.flatMap(({ name, policyVersion, devices }) =>
      devices.map((deviceId) => [deviceId, { policyVersion, arm: name }] as const),
    );
  }
  const { slot, selector } = rollout.spec.spec;
  if (slot === POLICY && isFinished(rollout) && Object.keys(selector).length === 0)
    return rollout.cohorts.order.map((deviceId) => [deviceId, UNPINNED]);
  if (rollout.generation !== generation) return [];
  const isBack = rollout.aborted !== null;
  const digest = isBack ? rollout.stableDigest : rollout.modelDigest;
  const change = slot === POLICY ? { policyVersion: digest, arm: "default" } : { modelDigest: digest };
  const weight = isBack ? (before?.weight ?? 0) : rollout.weight;
  return reachedBy(rollout.cohorts, weight).map((deviceId) => [deviceId, change]);
}

/** Whether the generations of a device's models increased; it ignores late desired states. */
export const staleIgnored = (devices: readonly SimulatedDevice[]): number =>
  devices.reduce((sum, { ignored }) => sum + ignored.length, 0);
