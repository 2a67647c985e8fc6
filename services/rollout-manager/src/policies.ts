/** Routing policies: those in force, and the versions that experiments name.
 *
 * Q1. A version is published before an event names it, so that the bridge can send it when the desired state comes.
 * Q2. A policy that a rollout brought to the whole fleet becomes the one in force, and so does the one before it when that is rolled
 *     back: published, and read back, before the event that ends the rollout. So devices never find another one in between.
 *     Repeated until it is read; of several instances each may. */
import { policyKey, RoutingPolicy, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll, type RecordSink } from "@tributary/kafka";

export class Policies {
  readonly #inForce = new Map<string, RoutingPolicy>();
  readonly #versions = new Map<string, RoutingPolicy>();
  readonly #sink: RecordSink;

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.policies, (policy, { key }) => {
        if (policy === null) this.#inForce.delete(key ?? "");
        else this.#inForce.set(key ?? "", policy);
      }),
      follow(context, topics.policyVersions, (policy, { key }) => {
        if (policy === null) this.#versions.delete(key ?? "");
        else if (policy.policyVersion === key) this.#versions.set(key, policy);
      }),
    ]);
  }

  /** In force or not, each version once. */
  get all(): readonly RoutingPolicy[] {
    const inForce = [...this.#inForce.values()].map((policy) => [policy.policyVersion, policy] as const);
    return [...new Map([...inForce, ...this.#versions]).values()];
  }

  version(policyVersion: string): RoutingPolicy | undefined {
    return this.all.find((policy) => policy.policyVersion === policyVersion);
  }

  /** It is published under its version. (Q1) */
  isNamed(policyVersion: string): boolean {
    return this.#versions.has(policyVersion);
  }

  inForce(modelDigest: string, cloudTarget: string): RoutingPolicy | undefined {
    return this.#inForce.get(policyKey(modelDigest, cloudTarget));
  }

  /** Q1. Rejects with what the sink throws. */
  async publishVersions(policies: readonly RoutingPolicy[]): Promise<void> {
    const missing = policies.filter(({ policyVersion }) => !this.#versions.has(policyVersion));
    await this.#sink.send(
      missing.map((policy) => ({
        topic: topics.policyVersions.name,
        key: policy.policyVersion,
        value: RoutingPolicy.encodeConfluent(policy),
      })),
    );
  }

  /** Q2. As of `at`: the newest of a model's policies is the one that its devices are sent. */
  async bringInForce(policy: RoutingPolicy, at: number): Promise<void> {
    const { modelDigest, cloudTarget } = policy;
    const value = RoutingPolicy.encodeConfluent({ ...policy, createdAt: at });
    await this.#sink.send([{ topic: topics.policies.name, key: policyKey(modelDigest, cloudTarget), value }]);
  }
}
