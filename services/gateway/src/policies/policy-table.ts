/**
 * Routing policies: those in force, those that experiments may name by their version, and the versions before them that this
 * gateway has read, so that an old decision can be explained by the policy it was made under.
 */
import { policyKey, type RoutingPolicy, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";

/** Beyond them, those that were read first are forgotten. */
const VERSIONS_MAX = 1_000;

export class PolicyTable {
  readonly #current = new Map<string, RoutingPolicy>();
  /** On routing.policy-versions.v1. */
  readonly #named = new Map<string, RoutingPolicy>();
  /** All that were read. */
  readonly #versions = new Map<string, RoutingPolicy>();

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.policies, (policy, { key }) => {
        if (policy !== null) this.add(policy);
        else this.#current.delete(key ?? "");
      }),
      follow(context, topics.policyVersions, (policy, { key }) => {
        if (policy !== null) this.name(policy);
        else this.#named.delete(key ?? "");
      }),
    ]);
  }

  add(policy: RoutingPolicy): void {
    this.#current.set(policyKey(policy.modelDigest, policy.cloudTarget), policy);
    remember(this.#versions, policy);
  }

  name(policy: RoutingPolicy): void {
    remember(this.#named, policy);
    remember(this.#versions, policy);
  }

  list(): { readonly key: string; readonly policy: RoutingPolicy }[] {
    return [...this.#current].map(([key, policy]) => ({ key, policy })).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Those that can be named and those in force, newest first. */
  versions(): { readonly policy: RoutingPolicy; readonly inForce: boolean }[] {
    const inForce = new Set([...this.#current.values()].map(({ policyVersion }) => policyVersion));
    const policies = new Map(
      [...this.#current.values(), ...this.#named.values()].map((one) => [one.policyVersion, one]),
    );
    return [...policies.values()]
      .sort((a, b) => b.createdAt - a.createdAt || (a.policyVersion < b.policyVersion ? -1 : 1))
      .map((policy) => ({ policy, inForce: inForce.has(policy.policyVersion) }));
  }

  get(key: string): RoutingPolicy | undefined {
    return this.#current.get(key);
  }

  isNamed(policyVersion: string): boolean {
    return this.#named.has(policyVersion);
  }

  version(policyVersion: string): RoutingPolicy | undefined {
    return this.#versions.get(policyVersion);
  }
}

function remember(versions: Map<string, RoutingPolicy>, policy: RoutingPolicy): void {
  versions.delete(policy.policyVersion);
  versions.set(policy.policyVersion, policy);
  const oldest = versions.keys().next();
  if (versions.size > VERSIONS_MAX && !oldest.done) versions.delete(oldest.value);
}
