/**
 * The messages for devices: their desired state, the policy they decide by, and the answers of the frames they sent.
 * Pure state, folded from devices.desired.v1, routing.policies.v1, routing.policy-versions.v1 and devices.reported.v1; it stores
 * only the reported and the desired state of each device.
 *
 * D1. A device gets the policy that its desired state names by version, if that is known and of its reported perception model;
 *     else the newest in force for that model, none if there is none. Whether its agent reads desired states does not matter.
 * D2. A payload is written in a schema the device announced, else in the oldest: a new service must reach the oldest
 *     agent in the field.
 * D3. The desired state is published only to a device that announced a schema of it: an agent without support for updates
 *     gets none. The device decides which generation counts (G6).
 */
import {
  type Classifications,
  type Codec,
  ContractError,
  type DeviceDesired,
  type DeviceReported,
  PERCEPTION,
  type RoutingPolicy,
  type SchemaVersion,
  topics,
} from "@tributary/contracts";

type Reported = { readonly modelDigest: string | undefined; readonly acceptedSchemas: readonly string[] };

/** The payload of down/desired for a device, and its schema. No record: it has no desired state (any more). */
export type DesiredMessage = { readonly record: Buffer | undefined; readonly version: SchemaVersion };

export class DownlinkState {
  readonly #policies = new Map<string, RoutingPolicy>();
  /** Model digest -> keys of its policies. */
  readonly #byModel = new Map<string, Set<string>>();
  /** Those that a desired state may name. */
  readonly #policyVersions = new Map<string, RoutingPolicy>();
  readonly #reported = new Map<string, Reported>();
  /** As Kafka has it: a fleet's worth of decoded records would be several times as large. */
  readonly #desired = new Map<string, Buffer>();
  /** Device -> the version that its desired state names, if it names one. */
  readonly #namedVersions = new Map<string, string>();
  readonly #policyBytes = new WeakMap<RoutingPolicy, Map<number, Buffer>>();

  get policies(): number {
    return this.#policies.size;
  }

  /** Returns the digests of the models whose policy may have changed. */
  applyPolicy(key: string, policy: RoutingPolicy | null): readonly string[] {
    const before = this.#policies.get(key);
    if (before !== undefined) this.#byModel.get(before.modelDigest)?.delete(key);
    if (policy === null) {
      this.#policies.delete(key);
    } else {
      this.#policies.set(key, policy);
      const keys = this.#byModel.get(policy.modelDigest) ?? new Set();
      this.#byModel.set(policy.modelDigest, keys.add(key));
    }
    return modelsOf(before, policy);
  }

  /** Returns the digests of the models whose policy may have changed. Throws ContractError when it is of another version than
   * its key. */
  applyPolicyVersion(version: string, policy: RoutingPolicy | null): readonly string[] {
    if (policy !== null && policy.policyVersion !== version) {
      throw new ContractError("record-undecodable", `it is of version ${policy.policyVersion}`);
    }
    const before = this.#policyVersions.get(version);
    if (policy === null) this.#policyVersions.delete(version);
    else this.#policyVersions.set(version, policy);
    return modelsOf(before, policy);
  }

  applyReported(deviceId: string, reported: DeviceReported | null): void {
    if (reported === null) this.#reported.delete(deviceId);
    else {
      const { slots, acceptedSchemas } = reported;
      this.#reported.set(deviceId, { modelDigest: slots[PERCEPTION]?.modelDigest, acceptedSchemas });
    }
  }

  /** `record` is the bytes that `desired` was read from; both null for a tombstone. Throws ContractError when it is of
   * another device than its key. */
  applyDesired(deviceId: string, desired: DeviceDesired | null, record: Uint8Array | null): void {
    if (desired !== null && desired.deviceId !== deviceId) {
      throw new ContractError("record-undecodable", `it is of ${desired.deviceId}`);
    }
    if (record === null) this.#desired.delete(deviceId);
    else this.#desired.set(deviceId, Buffer.from(record)); // A copy: the record is part of a larger buffer.
    const version = desired?.policyVersion ?? null;
    if (version === null) this.#namedVersions.delete(deviceId);
    else this.#namedVersions.set(deviceId, version);
  }

  /** Undefined: nothing is published to it. */
  desiredOf(deviceId: string): DesiredMessage | undefined {
    const { codec } = topics.desired;
    const accepted = this.acceptedBy(deviceId);
    if (!codec.versions.some(({ fingerprint }) => accepted.includes(fingerprint))) return undefined;
    return { record: this.#desired.get(deviceId), version: this.versionFor(deviceId, codec) };
  }

  /** Empty without a desired state: an empty retained message clears the retained one. */
  encodedDesired({ record, version }: DesiredMessage): Buffer {
    const { codec } = topics.desired;
    return record === undefined ? Buffer.alloc(0) : codec.encodeSingleObject(codec.decodeConfluent(record), version);
  }

  modelOf(deviceId: string): string | undefined {
    return this.#reported.get(deviceId)?.modelDigest;
  }

  policyOf(deviceId: string): RoutingPolicy | undefined {
    const modelDigest = this.modelOf(deviceId);
    if (modelDigest === undefined) return undefined;
    const named = this.#policyVersions.get(this.#namedVersions.get(deviceId) ?? "");
    return named?.modelDigest === modelDigest ? named : this.#inForce(modelDigest);
  }

  #inForce(modelDigest: string): RoutingPolicy | undefined {
    let newest: RoutingPolicy | undefined;
    for (const key of this.#byModel.get(modelDigest) ?? []) {
      const policy = this.#policies.get(key);
      if (policy !== undefined && (newest === undefined || policy.createdAt > newest.createdAt)) newest = policy;
    }
    return newest;
  }

  /** A fleet shares its policies, so each is written once. */
  encodedPolicy(deviceId: string, policy: RoutingPolicy): Buffer {
    const { codec } = topics.policies;
    const version = this.versionFor(deviceId, codec);
    const known = this.#policyBytes.get(policy) ?? new Map<number, Buffer>();
    this.#policyBytes.set(policy, known);
    const payload = known.get(version.id) ?? codec.encodeSingleObject(policy, version);
    known.set(version.id, payload);
    return payload;
  }

  /** The schemas that the device can read; empty for one that speaks JSON only, or has announced nothing. */
  acceptedBy(deviceId: string): readonly string[] {
    return this.#reported.get(deviceId)?.acceptedSchemas ?? [];
  }

  versionFor(deviceId: string, codec: Codec<unknown>): SchemaVersion {
    const accepted = this.acceptedBy(deviceId);
    const newest = codec.versions.findLast((version) => accepted.includes(version.fingerprint));
    return newest ?? (codec.versions[0] as SchemaVersion);
  }
}

const modelsOf = (...policies: readonly (RoutingPolicy | null | undefined)[]): readonly string[] => [
  ...new Set(policies.flatMap((policy) => policy?.modelDigest ?? [])),
];

/** Whether a device that got the one need not get the other. */
export const isSameDesired = (published: DesiredMessage | undefined, now: DesiredMessage): boolean =>
  published?.version === now.version &&
  (published.record === now.record || (now.record !== undefined && published.record?.equals(now.record) === true));

/** The part of a record that answers sent frames; undefined if there is none. */
export function answersOfSentFrames(record: Classifications): Classifications | undefined {
  const answers = record.answers.filter((answer) => answer.reason !== "NONE");
  if (answers.length === 0) return undefined;
  return answers.length === record.answers.length ? record : { ...record, answers };
}

/** A bounded queue that forgets its oldest (G9). */
export class NewestQueue<T> {
  readonly #items: T[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get length(): number {
    return this.#items.length;
  }

  /** How many were forgotten: 0 or 1. */
  push(item: T): number {
    this.#items.push(item);
    if (this.#items.length <= this.#max) return 0;
    this.#items.shift();
    return 1;
  }

  shift(): T | undefined {
    return this.#items.shift();
  }
}
