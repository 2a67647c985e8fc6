/** Publishes the first routing policy of each configured edge package. Where a policy stands already, it stays. */
import { createHash } from "node:crypto";
import { policyKey, RoutingPolicy, topics } from "@tributary/contracts";
import { cloudEventHeaders, type OutRecord, type PartitionReader, type RecordSink, readTopic } from "@tributary/kafka";
import { type Clock, Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { completePolicy, parsePolicy } from "@tributary/routing";
import type { Telemetry } from "@tributary/telemetry";
import { policyPublished } from "./events.ts";

export type PoliciesOptions = {
  readonly packages: readonly string[];
  readonly target: string;
  readonly reader: PartitionReader;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

export async function publishFirstPolicies(options: PoliciesOptions): Promise<void> {
  const { packages, sink, clock, telemetry } = options;
  if (packages.length === 0) return;
  const policies = await Promise.all(packages.map((folder) => firstPolicy(folder, options.target, clock)));
  const standing = await keysOfPolicies(options.reader);
  const missing = policies.filter(({ modelDigest, cloudTarget }) => !standing.has(policyKey(modelDigest, cloudTarget)));
  await sink.send(missing.map(policyRecord));
  for (const { modelDigest, policyVersion, cloudTarget: target } of missing) {
    telemetry.emit(policyPublished, { modelDigest, policyVersion, target });
  }
}

async function firstPolicy(folder: string, target: string, clock: Clock): Promise<RoutingPolicy> {
  const { digest, policy } = await loadPackage(folder);
  if (policy === null) {
    throw new Failure("package-without-policy", "ask-a-person", `${folder} has no policy.json: it is no edge package`);
  }
  const content = parsePolicy(policy);
  if (content.cloudTarget !== target) {
    const what = `${folder}: its policy was learned for target "${content.cloudTarget}", not "${target}"`;
    throw new Failure("policy-target-differs", "ask-a-person", what);
  }
  const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
  return completePolicy(content, { modelDigest: digest, createdAt: clock.now(), sha256Hex });
}

async function keysOfPolicies(reader: PartitionReader): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  for await (const { key, value } of readTopic(reader, topics.policies.name)) {
    if (key === null) continue;
    if (value === null) keys.delete(key);
    else keys.add(key);
  }
  return keys;
}

export function policyRecord(policy: RoutingPolicy): OutRecord {
  const key = policyKey(policy.modelDigest, policy.cloudTarget);
  const id = `${key}:${policy.policyVersion}`;
  return {
    topic: topics.policies.name,
    key,
    value: RoutingPolicy.encodeConfluent(policy),
    headers: cloudEventHeaders({
      id,
      source: "/tributary/router",
      type: "tributary.v1.RoutingPolicy",
      time: policy.createdAt,
    }),
  };
}
