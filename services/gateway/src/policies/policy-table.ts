/**
 * Routing policies in force, and the versions before them that this gateway has read, so that an old decision can be
 * explained by the policy it was made under.
 */
import { policyKey, type RoutingPolicy, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";

const VERSIONS_MAX = 1_000;

export class PolicyTable {
  readonly #current = new Map<string, RoutingPolicy>();
  readonly #versions = new Map<string, RoutingPolicy>();

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.policies, (policy, { key }) => {
      if (policy !== null) this.add(policy);
      else this.#current.delete(key ?? "");
    });
  }

  add(policy: RoutingPolicy): void {
    this.#current.set(policyKey(policy.modelDigest, policy.cloudTarget), policy);
    this.#versions.delete(policy.policyVersion);
    this.#versions.set(policy.policyVersion, policy);
    const oldest = this.#versions.keys().next();
    if (this.#versions.size > VERSIONS_MAX && !oldest.done) this.#versions.delete(oldest.value);
  }

  list(): { readonly key: string; readonly policy: RoutingPolicy }[] {
    return [...this.#current].map(([key, policy]) => ({ key, policy })).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  get(key: string): RoutingPolicy | undefined {
    return this.#current.get(key);
  }

  version(policyVersion: string): RoutingPolicy | undefined {
    return this.#versions.get(policyVersion);
  }
}
