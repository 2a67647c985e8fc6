/**
 * Relearns the fleet's scores and thresholds from ground-truth.v1 and publishes the policies that labels prove.
 *
 * L1. One router learns, the one that holds partition 0; during a handover two would publish the same content.
 * L2. Its memory is rebuilt from Kafka: labels, the predictions and results of the partitions that have labels, policies,
 *     each since the start of the window. Without labels, only the topic of labels is read.
 * L3. A wrong label does not stop it: each is logged and counted by its outcome (evidence.ts E1).
 * L4. All policies are frozen while an experiment runs or what it adopted is still to be rolled out, and while a policy is rolled out;
 *     those of its two models while a model is. A change is reported, not published: the arms would otherwise differ by more than is
 *     compared.
 * L5. It waits while Kafka is unavailable; it never delays an answer.
 * L6. Labels for frames older than its memory make it read their partitions again, at most every `SEEK_EVERY_MS`.
 */
import { createHash } from "node:crypto";
import type { OnApplicationBootstrap, OnApplicationShutdown } from "@nestjs/common";
import {
  CloudResult,
  EdgePredictions,
  Experiment,
  GroundTruth,
  POLICY,
  policyKey,
  Rollout,
  RoutingPolicy,
  topics,
} from "@tributary/contracts";
import { codeOf, type InRecord, type PartitionReader, type RecordSink, takeOrSkip } from "@tributary/kafka";
import { type Clock, Failure, isValidId, reasonOf, repeat } from "@tributary/kernel";
import {
  completePolicy,
  EvidenceLedger,
  evidenceLimits,
  type LabelOutcome,
  type RelearnSettings,
  type RelearnVerdict,
} from "@tributary/routing";
import type { Telemetry } from "@tributary/telemetry";
import { policyRecord } from "../policies.ts";
import { labelJudged, labelRefused, learningFailed, policyFrozen, policyRelearned, policyStands } from "./events.ts";
import { LogCursors } from "./log-cursors.ts";
import type { relearnAside } from "./relearning.ts";

export type LearnerOptions = {
  readonly reader: PartitionReader;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly target: string;
  readonly settings: RelearnSettings;
  readonly relearn: typeof relearnAside;
  readonly everyMs: number;
  readonly windowMs: number;
  /** The router runs an A/B experiment of its own (L4). */
  readonly runsExperiment: boolean;
  /** Whether this router is the one that learns (L1). */
  readonly isLeader: () => boolean;
};

/** Few enough labels to be judged without a delay of frames. */
const LABELS_MAX = 20_000;

const SEEK_EVERY_MS = 600_000;

/** Outcomes that need a person. */
const NAMED: ReadonlySet<LabelOutcome> = new Set(["frame-unknown", "class-unknown"]);

type Memory = {
  readonly ledger: EvidenceLedger;
  readonly policies: Map<string, RoutingPolicy>;
  readonly labelled: Set<number>;
  /** What unfinished rollouts compare, by key of their record. L4 */
  readonly rollouts: Map<string, Comparing>;
  /** Names of running experiments, by key of their record. L4 */
  readonly experiments: Map<string, string>;
  /** When logs were last read again, by the monotonic clock. */
  soughtAtMs: number;
  readonly cursors: Readonly<Record<CursorName, LogCursors>>;
};

type CursorName = "labels" | "predictions" | "results" | "policies" | "rollouts" | "experiments";

/** `digests`: of its two models; null: it is of a policy, whose digests are versions. */
type Comparing = { readonly name: string; readonly digests: readonly string[] | null };

export class Learner implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #options: LearnerOptions;
  readonly #stop = new AbortController();
  #memory: Memory | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LearnerOptions) {
    this.#options = options;
    const { telemetry } = options;
    telemetry.gauge({ name: "tributary_router_learning_labels", help: "Labels that the learning router knows" }, () =>
      this.#memory === undefined ? 0 : this.#memory.ledger.labels,
    );
  }

  onApplicationBootstrap(): void {
    this.#running = this.#run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #run(): Promise<void> {
    const { clock, everyMs, isLeader, telemetry } = this.#options;
    const { signal } = this.#stop;
    const round = async () => {
      if (!isLeader()) {
        this.#memory = undefined; // L1
        return;
      }
      await this.#learn(signal).catch((error: unknown) => {
        if (!signal.aborted) telemetry.emit(learningFailed, { code: codeOf(error), reason: reasonOf(error) }); // L5
      });
    };
    return repeat(round, { clock, everyMs, signal });
  }

  async #learn(signal: AbortSignal): Promise<void> {
    const { clock, relearn, windowMs, settings, telemetry } = this.#options;
    const memory = this.#memory ?? this.#emptyMemory();
    this.#memory = memory;
    const taken = await this.#takeNews(memory, signal);
    memory.ledger.prune(clock.now() - windowMs);
    if (taken === 0) return;
    const standing = [...memory.policies.values()].filter(({ cloudTarget }) => cloudTarget === this.#options.target);
    const { evidence, changed } = memory.ledger.judge(standing);
    for (const { frameId, label, outcome } of changed) {
      telemetry.emit(labelJudged, { frameId, label, fate: outcome }); // L3
      if (NAMED.has(outcome)) telemetry.emit(labelRefused, { frameId, label, fate: outcome });
    }
    for (const [i, policy] of standing.entries()) {
      const verdict = await relearn({ standing: policy, evidence: evidence[i] ?? [], settings }, signal);
      const { modelDigest } = policy;
      if (verdict.kind === "relearned") await this.#publish(memory, policy, verdict);
      else if (verdict.kind === "stands")
        telemetry.emit(policyStands, { modelDigest, why: verdict.why, ...verdict.facts });
      signal.throwIfAborted();
    }
  }

  async #publish(
    memory: Memory,
    standing: RoutingPolicy,
    verdict: Extract<RelearnVerdict, { kind: "relearned" }>,
  ): Promise<void> {
    const { clock, isLeader, sink, telemetry } = this.#options;
    const { modelDigest, cloudTarget: target } = standing;
    const { why, facts, content } = verdict;
    const { scoreMin, guarantee } = content;
    const change = { modelDigest, target, why, scoreMin, epsilon: guarantee.epsilon, labels: facts.labels };
    const by = this.#frozenBy(memory, modelDigest);
    if (by !== null) {
      telemetry.emit(policyFrozen, { ...change, by });
      return;
    }
    if (!isLeader()) return; // L1
    const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
    const policy = completePolicy(content, { modelDigest, createdAt: clock.now(), sha256Hex });
    await sink.send([policyRecord(policy)]);
    memory.policies.set(policyKey(modelDigest, target), policy);
    telemetry.emit(policyRelearned, { ...change, policyVersion: policy.policyVersion });
  }

  /** L4. The cause for which the policy is frozen; null: it is not. */
  #frozenBy({ rollouts, experiments }: Memory, modelDigest: string): string | null {
    if (this.#options.runsExperiment) return "an experiment";
    const [experiment] = experiments.values();
    if (experiment !== undefined) return `experiment ${experiment}`;
    const rollout = [...rollouts.values()].find(({ digests }) => digests === null || digests.includes(modelDigest));
    return rollout === undefined ? null : `rollout ${rollout.name}`;
  }

  /** L2. Returns how many records were new. */
  async #takeNews(memory: Memory, signal: AbortSignal): Promise<number> {
    const { cursors, ledger, policies, labelled } = memory;
    const { reader } = this.#options;
    let taken = 0;
    const freezing = {
      rollouts: (record: InRecord) => takeRollout(memory.rollouts, record),
      experiments: (record: InRecord) => takeExperiment(memory.experiments, record),
    };
    for (const name of ["rollouts", "experiments"] as const) {
      for (const partition of await reader.partitions(topics[name].name)) {
        await cursors[name].take(partition, signal, (record) => {
          this.#read(record, () => {
            if (freezing[name](record)) taken++; // A policy that was held back is judged again.
          });
        });
      }
    }
    for (const partition of await reader.partitions(topics.policies.name)) {
      taken += await cursors.policies.take(partition, signal, (record) => {
        if (record.key === null) return;
        if (record.value === null) policies.delete(record.key);
        else this.#read(record, () => policies.set(record.key ?? "", RoutingPolicy.decodeConfluent(bytesOf(record))));
      });
    }
    for (const partition of await reader.partitions(topics.groundTruth.name)) {
      const labels = await cursors.labels.take(partition, signal, (record) =>
        this.#read(record, () => {
          const truth = GroundTruth.decodeConfluent(bytesOf(record));
          checkIdentity(truth, record.key);
          ledger.label(truth, record.timestamp, partition);
        }),
      );
      if (labels > 0) labelled.add(partition);
      taken += labels;
    }
    const { predictions, results } = cursors;
    const predicted = (record: InRecord) =>
      this.#read(record, () => ledger.predictions(EdgePredictions.decodeConfluent(bytesOf(record)), record.timestamp));
    const answered = (record: InRecord) =>
      this.#read(record, () => ledger.result(CloudResult.decodeConfluent(bytesOf(record))));
    for (const partition of labelled) {
      taken += await predictions.take(partition, signal, predicted);
      taken += await results.take(partition, signal, answered);
    }
    const now = this.#options.clock.monotonicMs();
    if (now - memory.soughtAtMs < SEEK_EVERY_MS) return taken;
    for (const partition of ledger.seek()) {
      memory.soughtAtMs = now;
      taken += await predictions.again(partition, signal, predicted); // L6
      taken += await results.again(partition, signal, answered);
      ledger.sought(partition);
    }
    return taken;
  }

  #read(record: InRecord, take: () => void): void {
    takeOrSkip(this.#options.telemetry, record, take);
  }

  #emptyMemory(): Memory {
    const { clock, reader, windowMs } = this.#options;
    const since = clock.now() - windowMs;
    const cursor = (topic: { readonly name: string }, from = since) => new LogCursors(reader, topic.name, from);
    return {
      ledger: new EvidenceLedger({ ...evidenceLimits, labelsMax: LABELS_MAX }),
      policies: new Map(),
      labelled: new Set(),
      rollouts: new Map(),
      experiments: new Map(),
      soughtAtMs: Number.NEGATIVE_INFINITY,
      cursors: {
        labels: cursor(topics.groundTruth),
        predictions: cursor(topics.predictions),
        results: cursor(topics.results),
        policies: cursor(topics.policies, 0),
        rollouts: cursor(topics.rollouts, 0),
        experiments: cursor(topics.experiments, 0),
      },
    };
  }
}

/** L4. True when another rollout is under way, or one no longer is. */
function takeRollout(rollouts: Map<string, Comparing>, record: InRecord): boolean {
  const key = record.key ?? "";
  const rollout = record.value === null ? null : Rollout.decodeConfluent(record.value);
  if (rollout === null || rollout.phase === "HEALTHY" || rollout.isBack || rollout.abandonedDevices > 0)
    return rollouts.delete(key);
  const { name, slot, modelDigest, stableDigest } = rollout;
  const isNew = !rollouts.has(key);
  rollouts.set(key, { name, digests: slot === POLICY ? null : [modelDigest, stableDigest] });
  return isNew;
}

/** L4. True when another experiment freezes policies, or one no longer does. */
function takeExperiment(experiments: Map<string, string>, record: InRecord): boolean {
  const key = record.key ?? "";
  const experiment = record.value === null ? null : Experiment.decodeConfluent(record.value);
  if (experiment?.freezesPolicies !== true) return experiments.delete(key);
  const isNew = !experiments.has(key);
  experiments.set(key, experiment.name);
  return isNew;
}

const bytesOf = (record: InRecord): Buffer => {
  if (record.value === null) throw new Failure("tombstone-unexpected", "give-up", "a null value on an event topic");
  return record.value;
};

function checkIdentity(truth: GroundTruth, key: string | null): void {
  if (!isValidId(truth.deviceId) || !isValidId(truth.cameraId) || truth.bootId < 0n || truth.frameSeq < 0n) {
    throw new Failure("frame-id-malformed", "give-up", "a label names no possible frame");
  }
  if (truth.deviceId !== key) {
    throw new Failure("key-mismatch", "give-up", `key "${key}" carries a label of "${truth.deviceId}"`);
  }
}
