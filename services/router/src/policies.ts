/**
 * Publishes the first routing policy of each configured edge package. An existing policy stays.
 *
 * Packages of folders come first: the router takes no input before their policies are there. Those of the model registry follow
 * their alias, and input does not wait for them: a frame is settled without a policy, too.
 */
import { createHash } from "node:crypto";
import { Inject, Injectable, type OnModuleInit } from "@nestjs/common";
import { policyKey, RoutingPolicy, topics } from "@tributary/contracts";
import { FollowedPackages } from "@tributary/followed-packages";
import {
  cloudEventHeaders,
  KafkajsSink,
  KafkaReader,
  type OutRecord,
  type PartitionReader,
  readTopic,
} from "@tributary/kafka";
import { type Clock, Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { modelReferenceOf } from "@tributary/models";
import { completePolicy, parsePolicy } from "@tributary/routing";
import { CLOCK, CONFIG, Health, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { RouterConfig } from "./config.ts";
import { policyPublished } from "./events.ts";

/** Kafka may be away again since its topics were seen. */
const TRIES_MAX = 60;
const TRY_EVERY_MS = 1_000;

@Injectable()
export class FirstPolicies implements OnModuleInit {
  #isPublished = false;

  constructor(
    @Inject(CONFIG) private readonly config: RouterConfig,
    private readonly reader: KafkaReader,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    health: Health,
    followed: FollowedPackages,
  ) {
    const { packages, target } = config;
    for (const text of packages.filter(isOfRegistry)) {
      const use = (folder: string) => this.#publish([folder], target);
      followed.follow({ user: `packages: ${text}`, text, use, isNeeded: false });
    }
    health.add("policies", () => this.#isPublished || "first policies are not published yet");
  }

  async onModuleInit(): Promise<void> {
    const { packages, target } = this.config;
    const folders = packages.filter((name) => !isOfRegistry(name));
    for (let attempt = 0; folders.length > 0; attempt++) {
      try {
        await this.#publish(folders, target);
        break;
      } catch (error) {
        if (!(error instanceof Failure && error.advice === "retry") || attempt === TRIES_MAX) throw error;
        await this.clock.sleep(TRY_EVERY_MS);
      }
    }
    this.#isPublished = true;
  }

  async #publish(packages: readonly string[], cloudTarget: string): Promise<void> {
    const policies = await Promise.all(packages.map((folder) => firstPolicy(folder, cloudTarget, this.clock)));
    const standing = await keysOfPolicies(this.reader);
    const missing = policies.filter(
      ({ modelDigest, cloudTarget }) => !standing.has(policyKey(modelDigest, cloudTarget)),
    );
    await this.sink.send(missing.map(policyRecord));
    for (const { modelDigest, policyVersion, cloudTarget: target } of missing) {
      this.telemetry.emit(policyPublished, { modelDigest, policyVersion, target });
    }
  }
}

const isOfRegistry = (name: string): boolean => modelReferenceOf(name) !== null;

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
