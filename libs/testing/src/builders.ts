/** Valid records; a test changes the fields it is about. */
import type {
  CloudRequest,
  CloudResult,
  DeviceDesired,
  DeviceRegistration,
  DeviceReported,
  DriftReview,
  DriftVerdict,
  EdgeFrame,
  EdgePrediction,
  EdgePredictions,
  Experiment,
  FinalAnswer,
  Model,
  Rollout,
  RoutingPolicy,
} from "@tributary/contracts";
import { makeBootId } from "@tributary/kernel";
import type { ExperimentEvidence } from "@tributary/rollouts/experiment";
import sharp from "sharp";

export const someDigest: string = "ab".repeat(32);
export const someBootId: bigint = makeBootId(1, 42n);
export const cifarLabels: readonly string[] = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
];

/** One JPEG of a single colour: 160 x 160 by default. */
export const someJpeg = (options: { side?: number; colour?: string } = {}): Promise<Buffer> => {
  const side = options.side ?? 160;
  return sharp({ create: { width: side, height: side, channels: 3, background: options.colour ?? "#486" } })
    .jpeg({ quality: 90 })
    .toBuffer();
};

export const somePrediction = (change: Partial<EdgePrediction> = {}): EdgePrediction => ({
  cameraId: "cam",
  frameSeq: 1n,
  label: "cat",
  confidence: 0.9,
  margin: 0.8,
  entropy: 0.4,
  score: 0.01,
  ageMs: 120,
  latencyMs: 9,
  capturedAt: null,
  reason: "NONE",
  deadlineMs: 2000,
  escalation: "NONE",
  dropReason: "NONE",
  sampleCorrectness: 0.9,
  samplePropensity: 0.02,
  sampleDrawn: false,
  wouldSend: null,
  level: "FULL",
  worldDigest: null,
  context: null,
  ...change,
});

export const somePredictions = (change: Partial<EdgePredictions> = {}): EdgePredictions => ({
  deviceId: "device-1",
  bootId: someBootId,
  seq: 1n,
  modelDigest: someDigest,
  preprocessingDigest: someDigest,
  policyVersion: someDigest,
  arm: "default",
  clockState: "SYNCHRONIZED",
  predictions: [somePrediction()],
  traceparent: null,
  ...change,
});

export const someFrame = (change: Partial<EdgeFrame> = {}): EdgeFrame => ({
  deviceId: "device-1",
  bootId: someBootId,
  seq: 1n,
  cameraId: "cam",
  frameSeq: 1n,
  reason: "AMBIGUOUS",
  deadlineMs: 2000,
  ageMs: 60,
  capturedAt: null,
  clockState: "SYNCHRONIZED",
  jpeg: Buffer.from([0xff, 0xd8, 0xff, 0xd9]),
  label: "cat",
  confidence: 0.5,
  margin: 0.1,
  entropy: 1.1,
  score: 0.4,
  modelDigest: someDigest,
  preprocessingDigest: someDigest,
  policyVersion: someDigest,
  arm: "default",
  sampleCorrectness: 0.5,
  samplePropensity: 0.05,
  sampleDrawn: false,
  level: "FULL",
  traceparent: null,
  ...change,
});

export const someReported = (change: Partial<DeviceReported> = {}): DeviceReported => ({
  deviceId: "device-1",
  bootId: someBootId,
  seq: 1n,
  agentVersion: "1.0.0",
  hardwareClass: "x64",
  clockState: "SYNCHRONIZED",
  generation: 0n,
  slots: { perception: { modelDigest: someDigest, modelName: "edge", modelVersion: "1" } },
  policyVersion: "",
  acceptedSchemas: [],
  cameras: ["cam"],
  update: null,
  goldenPassed: true,
  golden: null,
  driving: null,
  ...change,
});

export const someDesired = (change: Partial<DeviceDesired> = {}): DeviceDesired => ({
  deviceId: "device-1",
  generation: 1n,
  slots: {
    perception: {
      modelName: "edge",
      modelVersion: "2",
      modelDigest: someDigest,
      shadowFrames: 0,
      probationFrames: 20,
      condition: "ANY",
      windows: [],
    },
  },
  policyVersion: null,
  arm: "default",
  rollout: "rollout-1",
  why: "canary of rollout-1",
  changedAt: 1_800_000_000_000,
  ...change,
});

export const someRequest = (change: Partial<CloudRequest> = {}): CloudRequest => ({
  deviceId: "device-1",
  bootId: someBootId,
  cameraId: "cam",
  frameSeq: 1n,
  reason: "AMBIGUOUS",
  sampleDrawn: false,
  target: "default",
  arm: "default",
  deadlineAt: Date.now() + 2000,
  requestedAt: Date.now(),
  jpeg: Buffer.from([0xff, 0xd8, 0xff, 0xd9]),
  edgeLabel: "cat",
  edgeConfidence: 0.5,
  traceparent: null,
  ...change,
});

export const someResult = (change: Partial<CloudResult> = {}): CloudResult => ({
  deviceId: "device-1",
  bootId: someBootId,
  cameraId: "cam",
  frameSeq: 1n,
  target: "default",
  arm: "default",
  outcome: "ANSWERED",
  label: "dog",
  confidence: 0.95,
  margin: 0.92,
  failureCode: null,
  modelDigest: someDigest,
  latencyMs: 20,
  costMicros: 120n,
  attempts: 1,
  answeredBy: null,
  servedBy: null,
  traceparent: null,
  ...change,
});

export const someAnswer = (change: Partial<FinalAnswer> = {}): FinalAnswer => ({
  cameraId: "cam",
  frameSeq: 1n,
  label: "cat",
  source: "EDGE",
  confidence: 0.9,
  reason: "NONE",
  settledBy: "KEPT",
  edgeLabel: "cat",
  edgeConfidence: 0.9,
  edgeMargin: 0.8,
  score: 0.01,
  admission: null,
  cloudLabel: null,
  cloudTarget: null,
  modelDigest: someDigest,
  policyVersion: someDigest,
  arm: "default",
  sampleCorrectness: 0.9,
  samplePropensity: 0.02,
  sampleDrawn: false,
  level: "FULL",
  capturedAt: null,
  latencyMs: 130,
  costMicros: 0n,
  traceparent: null,
  ...change,
});

export const someRegistration = (change: Partial<DeviceRegistration> = {}): DeviceRegistration => ({
  deviceId: "device-1",
  status: "ACTIVE",
  passwordHash: "scrypt$16384$8$1$AAAA$AAAA",
  hardwareClass: "x64",
  site: "test",
  registeredAt: 1_700_000_000_000,
  labels: {},
  checkRequestedAt: null,
  ...change,
});

const logistic = (weight: number) => ({ bias: 0, weights: [weight], labelBias: cifarLabels.map(() => 0) });

export const somePolicy = (change: Partial<RoutingPolicy> = {}): RoutingPolicy => ({
  policyVersion: someDigest,
  modelDigest: someDigest,
  cloudTarget: "default",
  createdAt: 1_700_000_000_000,
  labels: cifarLabels,
  temperature: 1,
  features: ["margin"],
  edgeRight: logistic(4),
  cloudRight: logistic(1),
  scoreMin: 0.2,
  priorityLabels: [],
  samplePropensityMin: 0.01,
  sampleBudget: 0.03,
  sampleUncertaintyMean: 0.25,
  escalationShareMax: 0.3,
  burstMs: 5000,
  priorityReserve: 0.2,
  deadlineMs: 2000,
  guarantee: { method: "BUDGET_BOUND", epsilon: 0.05, delta: 0.05, n: 1000, losses: 20, escalationShare: 0.25 },
  ...change,
});

export const someModel = (change: Partial<Model> = {}): Model => ({
  name: "edge",
  version: "2",
  modelDigest: "cd".repeat(32),
  packageBytes: 1_234_567n,
  hardwareClass: "any",
  input: "jpeg",
  labels: cifarLabels,
  latencyBudgetMs: 50,
  metrics: { accuracy: 0.84 },
  lineage: {},
  edge: true,
  state: "LISTED",
  pushedBy: "ann",
  pushedAt: 1_767_225_600_000,
  gate: null,
  revoked: null,
  ...change,
});

export const someExperiment = (change: Partial<Experiment> = {}): Experiment => ({
  uid: "e-1",
  version: 1n,
  name: "cloud-or-edge",
  phase: "RUNNING",
  verdict: null,
  freezesPolicies: true,
  winner: null,
  message: "",
  modelDigest: someDigest,
  cloudTarget: "default",
  devices: 300,
  generation: 1n,
  reviewAt: null,
  rollout: null,
  spec: "{}",
  evidence: "{}",
  createdAt: 1_767_225_600_000,
  changedAt: 1_767_225_600_000,
  ...change,
});

export const someRollout = (change: Partial<Rollout> = {}): Rollout => ({
  uid: "r-1",
  version: 1n,
  name: "edge",
  slot: "perception",
  modelName: "edge",
  modelVersion: "2",
  modelDigest: "cd".repeat(32),
  stableDigest: someDigest,
  phase: "PROGRESSING",
  step: 0,
  steps: 3,
  weight: 0,
  analysis: "PENDING",
  message: "",
  pausedUntil: null,
  isBack: false,
  generation: 1n,
  devices: 160,
  reached: 0,
  updated: 0,
  refused: 0,
  spec: "{}",
  evidence: "{}",
  createdAt: 1_767_225_600_000,
  changedAt: 1_767_225_600_000,
  abandoned: [],
  abandonedDevices: 0,
  ...change,
});

/** Of an experiment that is undecided: the second arm is worth more, and its late answers are not ruled out. */
export const someExperimentEvidence = (change: Partial<ExperimentEvidence> = {}): ExperimentEvidence => {
  const lane = (estimate: number, half: number) => ({
    estimate,
    band: { lower: estimate - half, upper: estimate + half },
  });
  const arm = {
    policyVersion: someDigest,
    devices: 150,
    onPolicy: 149,
    reporting: 148,
    elsewhere: [],
    frames: { correct: 900, escalated: 90_000, late: 90_000 },
    rates: { correct: 0.88, escalated: 0.1, late: 0.003 },
    utility: 0.0085,
    latency: { p50Ms: 41, p99Ms: 310 },
    callCostPer1000: 0.2,
    comparison: null,
  };
  return {
    format: "tributary.experiment/1",
    at: 1_767_232_800_000,
    startedAt: 1_767_225_600_000,
    currency: "EUR",
    weights: { correct: 0.01, escalated: 0.002, late: 0.05 },
    rope: 0.0005,
    lateMargin: 0.005,
    alpha: 0.05,
    logNeeded: 3.69,
    deadlineMs: 500,
    arms: [
      { ...arm, name: "hybrid" },
      {
        ...arm,
        name: "cloud-heavy",
        policyVersion: "ef".repeat(32),
        rates: { correct: 0.91, escalated: 0.2, late: 0.004 },
        utility: 0.0089,
        comparison: {
          verdict: "undecided",
          because: null,
          logs: { better: 2.1, worse: -1.2, same: -3, lateWithin: 1.4, lateBeyond: -2 },
          gain: lane(0.0004, 0.0006),
          lanes: { correct: lane(0.03, 0.02), escalated: lane(0.1, 0.01), late: lane(0.001, 0.002) },
          missing: {
            difference: { moreMs: 4 * 3_600_000, timesDevices: 1.5 },
            equivalence: { moreMs: null, timesDevices: null },
          },
          grid: null,
          flipsAt: null,
        },
      },
    ],
    sampleRatio: { log: 0.2, logNeeded: 4.6, isMismatch: false },
    why: "cloud-heavy is worth more so far, but not surely",
    reviewAt: null,
    ...change,
  };
};

/** Two of forty devices deliver BGR; what has one value each can be drawn. */
export const someDriftVerdict = (change: Partial<DriftVerdict> = {}): DriftVerdict => {
  const since = 1_767_225_600_000;
  const bins = (peak: number) => Array.from({ length: 32 }, (_, i) => Math.exp(-(((i - peak) / 6) ** 2)) / 10.63);
  const feature = (feature: string, before: number, now: number, logEvidence: number) => ({
    feature,
    before,
    now,
    alarms: logEvidence > 12 ? 2 : 0,
    logEvidence,
    reference: feature.startsWith("label:") ? [] : bins(32 * before),
    current: feature.startsWith("label:") ? [] : bins(32 * now),
  });
  const features = [
    feature("channel_mean_b", 0.42, 0.63, 41),
    feature("channel_mean_r", 0.55, 0.39, 33),
    feature("label:frog", 0.1, 0.18, 14),
    feature("luminance", 0.5, 0.52, 0.4),
  ];
  return {
    verdictId: "0123456789ab",
    version: 3n,
    state: "OPEN",
    cause: "CAMERA",
    fault: "channels-swapped",
    scopeKey: "label:lens",
    scopeValue: "acme-2",
    summary: "2 cameras with lens=acme-2 deliver swapped channels since 00:00",
    modelDigest: someDigest,
    modelName: "edge",
    modelVersion: "1",
    devices: ["cam-1", "cam-2"].map((deviceId) => ({ deviceId, cameras: ["front"], since })),
    devicesAffected: 2,
    devicesInScope: 2,
    pValue: 0.00128,
    since,
    openedAt: since + 300_000,
    updatedAt: since + 900_000,
    closedAt: null,
    closedBecause: "",
    loss: { state: "LOST", draws: 212, errorRate: 0.31, reference: 0.12, tolerance: 0.02 },
    features,
    timeline: Array.from({ length: 30 }, (_, i) => ({
      at: since + (i - 15) * 60_000,
      shifts: features.map(({ before, now }) => (i < 15 ? 0.004 * ((i % 3) - 1) : now - before)),
    })),
    mix: { cat: { before: 0.1, now: 0.04 }, frog: { before: 0.1, now: 0.18 } },
    steps: [
      { question: "Do devices reproduce their golden frames?", answer: "All 40 do.", isCause: false },
      {
        question: "Is it a fault of cameras?",
        answer: "Yes: nearest is channels-swapped (0.04; next is 0.61).",
        isCause: true,
      },
    ],
    retrain: false,
    review: null,
    ...change,
  };
};

/** Of `someDriftVerdict`, unless `change` names another one. */
export const someDriftReview = (change: Partial<DriftReview> = {}): DriftReview => {
  const { verdictId, openedAt, version, cause: found, devices } = someDriftVerdict();
  return {
    verdictId,
    openedAt,
    reviewId: "fedcba9876543210",
    kind: "ACCEPT",
    by: "ann",
    reviewedAt: openedAt + 1_200_000,
    version,
    cause: "UNKNOWN",
    fault: "",
    until: null,
    note: "",
    found,
    devices: devices.map(({ deviceId, cameras }) => ({ deviceId, cameras: [...cameras] })),
    ...change,
  };
};
