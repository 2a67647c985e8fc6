/** Every Kafka topic: its contract, its retention and who may rely on it. The README's table is checked against this. */

import type { Codec } from "./codec.ts";
import {
  ArchivedFrame,
  Classifications,
  CloudRequest,
  CloudResult,
  Dataset,
  DeviceDesired,
  DeviceRegistration,
  DeviceReported,
  DeviceThrottled,
  DriftReview,
  DriftState,
  DriftVerdict,
  EdgeFrame,
  EdgeMetrics,
  EdgePredictions,
  EdgeSketches,
  Experiment,
  GroundTruth,
  MetricObservations,
  Model,
  ModelAliases,
  Rollout,
  RolloutEvent,
  RolloutEvidence,
  RouterState,
  RoutingPolicy,
  TrainingEvent,
  TrainingRun,
} from "./generated/index.ts";

export type TopicKind = "events" | "compacted";

export type Topic<T = unknown> = {
  /** Without the deployment's prefix. */
  readonly name: string;
  readonly codec: Codec<T>;
  readonly key:
    | "device"
    | "policy"
    | "policy-version"
    | "model"
    | "rollout"
    | "experiment"
    | "verdict"
    | "training"
    | "checkpoint";
  readonly kind: TopicKind;
  /** Events are kept this long, or forever (`Infinity`); compacted topics forever. */
  readonly retentionMs: number;
  /** Part of a broker's disk that the topic may fill, all partitions together; unbounded where the log is all there is. */
  readonly diskShare: number;
  /**
   * Whether its records must survive a power cut: somebody was acknowledged for them, or commits of a consumer group rely
   * on them. False only where a deadline answers for what is lost.
   */
  readonly durable: boolean;
  /** Another count than that of the topics keyed by device: one, where the order of all records decides. */
  readonly partitions: number | null;
  readonly public: boolean;
  readonly writtenBy: string;
  readonly holds: string;
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const SHARE = 0.015;

const topic = <T>(
  name: string,
  codec: Codec<T>,
  writtenBy: string,
  holds: string,
  options: Partial<
    Pick<Topic, "kind" | "retentionMs" | "diskShare" | "durable" | "public" | "key" | "partitions">
  > = {},
): Topic<T> => ({
  name,
  codec,
  key: options.key ?? "device",
  kind: options.kind ?? "events",
  retentionMs: options.retentionMs ?? 7 * DAY,
  diskShare: options.diskShare ?? SHARE,
  durable: options.durable ?? true,
  partitions: options.partitions ?? null,
  public: options.public ?? false,
  writtenBy,
  holds,
});

export const topics = {
  frames: topic("edge.frames.v1", EdgeFrame, "bridge", "a sent frame: JPEG, edge prediction, reason, deadline, age", {
    retentionMs: 6 * HOUR,
    diskShare: 0.31,
  }),
  predictions: topic("edge.predictions.v1", EdgePredictions, "bridge", "batches of every local prediction", {
    public: true,
    diskShare: 0.1,
  }),
  metrics: topic("edge.metrics.v1", EdgeMetrics, "bridge", "one window of device health and model behaviour"),
  sketches: topic("edge.sketches.v1", EdgeSketches, "bridge", "mergeable sketches of inputs and outputs"),
  requestsHigh: topic("cloud.requests.high.v1", CloudRequest, "router", "a PRIORITY frame for a cloud model", {
    retentionMs: HOUR,
    diskShare: 0.04,
    durable: false,
  }),
  requestsNormal: topic("cloud.requests.normal.v1", CloudRequest, "router", "any other frame for a cloud model", {
    retentionMs: HOUR,
    diskShare: 0.04,
    durable: false,
  }),
  results: topic(
    "cloud.results.v1",
    CloudResult,
    "cloud-classifier",
    "the cloud's answer, or why there is none; cost, latency",
  ),
  /** Of its own, since the router settles a frame by whatever stands in the results. */
  shadow: topic(
    "cloud.shadow.v1",
    CloudResult,
    "cloud-classifier",
    "the answer of a shadow target; no device gets it",
    { durable: false },
  ),
  classifications: topic("classifications.v1", Classifications, "router", "final answers", {
    public: true,
    diskShare: 0.1,
  }),
  groundTruth: topic("ground-truth.v1", GroundTruth, "gateway", "a label from a person or a later measurement", {
    retentionMs: 365 * DAY,
  }),
  policies: topic(
    "routing.policies.v1",
    RoutingPolicy,
    "router, rollout-manager",
    "thresholds, priorities, sampling, guarantee",
    {
      kind: "compacted",
      public: true,
      key: "policy",
    },
  ),
  /** Of its own: what is in routing.policies.v1 is in force for every device of its model. */
  policyVersions: topic(
    "routing.policy-versions.v1",
    RoutingPolicy,
    "gateway, rollout-manager",
    "a policy that experiments may name, by its version",
    { kind: "compacted", public: true, key: "policy-version" },
  ),
  routerState: topic("router.state.v1", RouterState, "router", "dedupe windows and open frames", { kind: "compacted" }),
  registry: topic("devices.registry.v1", DeviceRegistration, "gateway", "who may connect", { kind: "compacted" }),
  desired: topic("devices.desired.v1", DeviceDesired, "rollout-manager", "what a device shall run", {
    kind: "compacted",
  }),
  reported: topic("devices.reported.v1", DeviceReported, "bridge", "what a device runs", { kind: "compacted" }),
  throttled: topic(
    "devices.throttled.v1",
    DeviceThrottled,
    "bridge, router",
    "a device that exceeds its limits, and why",
    { diskShare: 0.005 },
  ),
  models: topic("models.v1", Model, "model-registry", "a version of a model: digest, metrics, lineage, gate", {
    kind: "compacted",
    public: true,
    key: "model",
    partitions: 1,
  }),
  modelAliases: topic("models.aliases.v1", ModelAliases, "model-registry", "champion, challenger, …: which version", {
    kind: "compacted",
    public: true,
    key: "model",
    partitions: 1,
  }),
  /** One partition: the place in it is the generation that devices obey (G6). */
  rolloutEvents: topic("rollouts.events.v1", RolloutEvent, "rollout-manager", "every transition with its evidence", {
    retentionMs: Number.POSITIVE_INFINITY,
    diskShare: Number.POSITIVE_INFINITY,
    key: "rollout",
    partitions: 1,
  }),
  /** Instances judge by what stands here, not by what each was answered. */
  observations: topic(
    "metrics.observations.v1",
    MetricObservations,
    "rollout-manager",
    "what Prometheus answered about a rollout's devices at one moment, or why nothing",
    { retentionMs: 30 * DAY, key: "rollout" },
  ),
  rollouts: topic("rollouts.v1", Rollout, "rollout-manager", "phase, step, analysis and why", {
    kind: "compacted",
    public: true,
    key: "rollout",
    partitions: 1,
  }),
  experiments: topic(
    "experiments.v1",
    Experiment,
    "rollout-manager",
    "an experiment as it stands: arms, evidence, the record of its decision",
    { kind: "compacted", public: true, key: "experiment", partitions: 1 },
  ),
  /** One partition: the manifest of a checkpoint comes after its parts. */
  rolloutEvidence: topic(
    "rollouts.evidence.v1",
    RolloutEvidence,
    "rollout-manager",
    "what is counted for rollouts and experiments, as of a look",
    { kind: "compacted", key: "checkpoint", partitions: 1 },
  ),
  driftState: topic("drift.state.v1", DriftState, "drift-monitor", "baselines and evidence of a device's cameras", {
    kind: "compacted",
  }),
  driftVerdicts: topic("drift.verdicts.v1", DriftVerdict, "drift-monitor", "what changed, where, why, and since when", {
    kind: "compacted",
    public: true,
    key: "verdict",
    partitions: 1,
  }),
  /** One partition: of two reviews of one verdict the later one holds. */
  driftReviews: topic("drift.reviews.v1", DriftReview, "gateway", "what a person answers to a verdict of drift", {
    retentionMs: 365 * DAY,
    diskShare: 0.002,
    key: "verdict",
    partitions: 1,
  }),
  archivedFrames: topic("frames.archive.v1", ArchivedFrame, "frame-archive", "a frame whose picture is kept, and why", {
    retentionMs: 365 * DAY,
  }),
  datasets: topic("datasets.v1", Dataset, "trainer", "a frozen set of labelled frames, and where they come from", {
    kind: "compacted",
    public: true,
    key: "model",
    partitions: 1,
  }),
  trainingRequests: topic("training.requests.v1", TrainingEvent, "trainer", "every transition of every training", {
    retentionMs: 365 * DAY,
    diskShare: 0.002,
    key: "training",
    partitions: 1,
  }),
  trainingResults: topic(
    "training.results.v1",
    TrainingRun,
    "trainer",
    "a training as it stands: its cause, data, phase, and what came out",
    { kind: "compacted", public: true, key: "training", partitions: 1 },
  ),
} as const;

/** Partition count of every topic; never changed, or keys would move (G3). */
export const PARTITIONS = 32;

export const DLQ_SUFFIX = "dlq";
/** Where consumer group `group` puts what it cannot use of `topic`. */
export const dlqOf = (topicName: string, group: string): string => `${topicName}.${group}.${DLQ_SUFFIX}`;

/** The uplink streams of the device contract and the topic each one fills. */
export const uplinkStreams = {
  frames: topics.frames,
  predictions: topics.predictions,
  metrics: topics.metrics,
  sketches: topics.sketches,
  reported: topics.reported,
} as const;
export type UplinkStream = keyof typeof uplinkStreams;

/** Key of a policy on routing.policies.v1. */
export const policyKey = (modelDigest: string, cloudTarget: string): string => `${modelDigest}|${cloudTarget}`;
