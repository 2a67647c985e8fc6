/**
 * Stores routing policies on routing.policy-versions.v1, by their version, so that experiments can name them. None is in force by
 * it: devices decide by one of these only while an experiment, or what it adopted, wants it of them.
 */
import { createHash } from "node:crypto";
import { Inject, Injectable } from "@nestjs/common";
import type { PolicyPush } from "@tributary/api";
import { type RoutingPolicy, topics } from "@tributary/contracts";
import { cloudEventHeaders, KafkajsSink } from "@tributary/kafka";
import { type Clock, Failure } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { completePolicy, type PolicyContent, parsePolicy } from "@tributary/routing";
import { CLOCK, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { policyPushed } from "../events.ts";
import { PolicyTable } from "./policy-table.ts";

@Injectable()
export class PolicyVersions {
  constructor(
    private readonly table: PolicyTable,
    private readonly models: ModelTable,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  /** The version, which follows from the content: what is stored already is not stored again. @throws Problem */
  async push({ policy, modelDigest, by }: PolicyPush): Promise<{ readonly policyVersion: string }> {
    const content = contentOf(policy);
    this.#refuseForeign(content, modelDigest);
    const pushed = completePolicy(content, { modelDigest, createdAt: this.clock.now(), sha256Hex });
    const { policyVersion } = pushed;
    if (!this.table.isNamed(policyVersion)) {
      // One that is in force keeps the time at which it was learned.
      await this.#store(this.table.version(policyVersion) ?? pushed);
      this.telemetry.emit(policyPushed, { policyVersion, modelDigest, target: content.cloudTarget, by });
    }
    return { policyVersion };
  }

  #refuseForeign({ labels }: PolicyContent, modelDigest: string): void {
    const model = this.models.byDigest(modelDigest);
    if (model === undefined) {
      const detail = `The registry has no model ${modelDigest}. GET /api/v1/models lists the digest of each version.`;
      throw new Problem(422, "model-unknown", "give-up", detail);
    }
    if (labels.length === model.labels.length && labels.every((label, i) => label === model.labels[i])) return;
    const detail = `The policy's labels are ${listed(labels)}; those of ${model.name} ${model.version} are ${listed(model.labels)}. A policy is for the model that it was learned for: give the same labels, in the same order.`;
    throw new Problem(422, "policy-labels-differ", "give-up", detail);
  }

  async #store(policy: RoutingPolicy): Promise<void> {
    const { name: topic, codec } = topics.policyVersions;
    const key = policy.policyVersion;
    const type = "tributary.v1.RoutingPolicy";
    const headers = cloudEventHeaders({ id: key, source: "/tributary/gateway", type, time: policy.createdAt });
    try {
      await this.sink.send([{ topic, key, value: codec.encodeConfluent(policy), headers }]);
    } catch (error) {
      const detail = `Kafka did not store policy ${key}; it may or may not be there. Send it again: that does no harm.`;
      throw new Problem(503, "kafka-unavailable", "retry", detail, { cause: error });
    }
    this.table.name(policy);
  }
}

function contentOf(policy: unknown): PolicyContent {
  try {
    return parsePolicy(policy);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Problem(422, error.code, "give-up", error.message, { cause: error });
  }
}

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");

const LABELS_LISTED = 5;
const listed = (labels: readonly string[]): string =>
  labels.length <= LABELS_LISTED
    ? labels.join(", ")
    : `${labels.slice(0, LABELS_LISTED).join(", ")} and ${labels.length - LABELS_LISTED} more`;
