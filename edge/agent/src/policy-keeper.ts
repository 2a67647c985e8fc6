/**
 * The routing policy in force.
 *
 * A policy counts only for the model it was learned for, with that model's labels.
 *
 * R2. The last received one survives restarts; without one, or when it is withdrawn, the package's own is used. */
import { RoutingPolicy } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { completePolicy, parsePolicy } from "@tributary/routing/device";

export type PolicyOrigin = "package" | "outbox" | "downlink";

export type PolicyModel = { readonly digest: string; readonly labels: readonly string[]; readonly policy: unknown };

export class PolicyKeeper {
  readonly #model: PolicyModel;
  readonly #own: RoutingPolicy;
  #policy: RoutingPolicy;
  #origin: PolicyOrigin = "package";

  /** Throws Failure when the package has no usable policy. */
  constructor(model: PolicyModel, sha256Hex: (text: string) => string) {
    this.#model = model;
    if (model.policy === null) {
      throw new Failure(
        "package-policy-missing",
        "give-up",
        "the package has no policy.json: it is not an edge package",
      );
    }
    const content = parsePolicy(model.policy);
    this.#own = completePolicy(content, { modelDigest: model.digest, createdAt: 0, sha256Hex });
    this.#check(this.#own);
    this.#policy = this.#own;
  }

  get policy(): RoutingPolicy {
    return this.#policy;
  }

  get origin(): PolicyOrigin {
    return this.#origin;
  }

  /** The received policy, in its wire form; null: the package's own is in force. */
  get fromAbove(): Uint8Array | null {
    return this.#origin === "package" ? null : RoutingPolicy.encodeSingleObject(this.#policy);
  }

  /** Whether these bytes are a policy for this model. Throws ContractError. */
  isFor(bytes: Uint8Array): boolean {
    return RoutingPolicy.decodeSingleObject(bytes).modelDigest === this.#model.digest;
  }

  /** Throws Failure or ContractError and leaves the policy as it is. Returns whether anything changed. */
  apply(bytes: Uint8Array, origin: PolicyOrigin): boolean {
    const policy = RoutingPolicy.decodeSingleObject(bytes);
    parsePolicy(policy);
    this.#check(policy);
    const isNew = policy.policyVersion !== this.#policy.policyVersion;
    this.#policy = policy;
    this.#origin = origin;
    return isNew;
  }

  /** Back to the package's own. Returns whether anything changed. */
  reset(): boolean {
    const isNew = this.#policy.policyVersion !== this.#own.policyVersion;
    this.#policy = this.#own;
    this.#origin = "package";
    return isNew;
  }

  #check(policy: RoutingPolicy): void {
    if (policy.modelDigest !== this.#model.digest) {
      throw new Failure("policy-other-model", "give-up", `the policy is for model ${policy.modelDigest.slice(0, 12)}`);
    }
    const { labels } = this.#model;
    if (policy.labels.length !== labels.length || policy.labels.some((label, i) => label !== labels[i])) {
      throw new Failure("policy-other-labels", "give-up", "the policy's labels are not the model's");
    }
  }
}
