/** A simulated fleet: 40 devices that send sketches of 16 frames each ten minutes, report their golden frames, and have some of their
 * frames labelled. What happens to a device is a function of its number, so that several things can happen at once. */
import type {
  DeviceRegistration,
  DeviceReported,
  EdgePredictions,
  EdgeSketches,
  GroundTruth,
} from "@tributary/contracts";
import type { Confusion, FaultCodebook } from "@tributary/inference";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  DeviceDrift,
  type DriftDocuments,
  type DriftReference,
  DriftReviews,
  detectorDefaults,
  driftReferenceOf,
  type FleetView,
  type FoldSettings,
} from "../index.ts";

export const WINDOW_MS = 600_000;
export const START = Date.UTC(2026, 10, 28, 8, 0);
export const DIGEST = "ab".repeat(32);
const FRAMES = 16;
const LABELS = ["cat", "dog", "fox", "owl"] as const;
const FEATURES = [
  "confidence",
  "margin",
  "entropy",
  "luminance",
  "channel_mean_r",
  "channel_mean_g",
  "channel_mean_b",
] as const;
const BINS = 32;
const GOLDEN_FRAMES = 4;

type Shift = Readonly<Partial<Record<(typeof FEATURES)[number], number>>>;

/** What a camera may do to the means of its features. */
export const cameraFaults = {
  "channels-swapped": { channel_mean_r: -0.2, channel_mean_b: 0.2, confidence: -0.1 },
  dark: { luminance: -0.3, channel_mean_r: -0.25, channel_mean_g: -0.25, channel_mean_b: -0.25, confidence: -0.1 },
  glare: { luminance: 0.3, channel_mean_r: 0.25, channel_mean_g: 0.25, channel_mean_b: 0.25 },
} as const satisfies Readonly<Record<string, Shift>>;

export type DeviceCase = {
  readonly fault?: keyof typeof cameraFaults;
  /** Shares of the classes. */
  readonly mix?: readonly number[];
  /** Of preprocessing, as in the codebook. */
  readonly pipeline?: string;
  /** Share of frames that the model answers wrongly. */
  readonly errorRate?: number;
};

/** Classes differ a little in how they look: by feature and class. */
const EFFECTS = FEATURES.map((_, f) => LABELS.map((_, c) => (f < 3 ? 0 : 0.12 * Math.sin(1 + 2 * f + 3 * c))));

const CONFUSION: Confusion = {
  formatVersion: 1,
  counts: LABELS.map((_, t) => LABELS.map((_, p) => (t === p ? 90 : p === (t + 1) % LABELS.length ? 10 : 0))),
  means: Object.fromEntries(FEATURES.map((feature, f) => [feature, (EFFECTS[f] ?? []).map((effect) => 0.5 + effect)])),
};

const random = seededRandom(7);
const logits = () => Array.from({ length: GOLDEN_FRAMES }, () => LABELS.map(() => 6 * random() - 3));
const GOLDEN = logits();
const FAULTS: FaultCodebook = {
  formatVersion: 1,
  frames: GOLDEN_FRAMES,
  pipeline: ["not-rescaled", "channels-swapped", "nearest"].map((name) => ({ name, logits: logits() })),
  camera: Object.entries(cameraFaults).map(([name, shifts]) => ({ name, shifts })),
};

export const documents: DriftDocuments = {
  manifest: { name: "animals", version: "3", metrics: { accuracy: 0.9 } },
  labels: LABELS,
  sketch: {
    formatVersion: 1,
    frames: 3_200,
    histograms: FEATURES.map((feature) => ({
      feature,
      edges: Array.from({ length: BINS + 1 }, (_, i) => i / BINS),
      counts: new Array<number>(BINS).fill(100),
    })),
    labels: Object.fromEntries(LABELS.map((label) => [label, 800])),
  },
  golden: { frames: GOLDEN.map((frame) => ({ logits: frame })) },
  faults: FAULTS,
  confusion: CONFUSION,
};

export const reference: DriftReference = driftReferenceOf(DIGEST, documents);

/** The core has no cryptography; a test needs ids that differ. */
export const hash = (text: string): string => {
  let h = 0n;
  for (const char of text) h = (h * 1_000_003n + BigInt(char.charCodeAt(0))) % 2n ** 61n;
  return h.toString(16).padStart(16, "0");
};

export const goldenLogits = (fault?: string): number[] =>
  (FAULTS.pipeline.find(({ name }) => name === fault)?.logits ?? GOLDEN).flat().map((logit) => logit + 0.01);

export const deviceId = (i: number): string => `cam-${String(i).padStart(2, "0")}`;

/** Where device i stands and what it has: four sites of ten, a lens of three devices, an agent of five. */
export const attributesOf = (i: number) => ({
  site: ["north", "south", "east", "west"][Math.floor(i / 10) % 4] as string,
  lens: [22, 27, 35].includes(i) ? "acme-2" : "acme-1",
  agentVersion: [20, 23, 31, 36, 39].includes(i) ? "1.4.0" : "1.3.0",
});

export function registration(i: number, status: DeviceRegistration["status"] = "ACTIVE"): DeviceRegistration {
  const { site, lens } = attributesOf(i);
  const rest = { passwordHash: "", hardwareClass: "rpi5", registeredAt: START, checkRequestedAt: null };
  return { deviceId: deviceId(i), status, site, labels: { lens }, ...rest };
}

export function report(i: number, at: number, pipeline?: string): DeviceReported {
  const slot = { modelDigest: DIGEST, modelName: "animals", modelVersion: "3" };
  return {
    deviceId: deviceId(i),
    bootId: 1n,
    seq: 1n,
    agentVersion: attributesOf(i).agentVersion,
    hardwareClass: "rpi5",
    clockState: "SYNCHRONIZED",
    generation: 1n,
    slots: { perception: slot },
    policyVersion: "",
    acceptedSchemas: [],
    cameras: ["front"],
    update: null,
    goldenPassed: pipeline === undefined,
    driving: null,
    golden: {
      at,
      modelDigest: DIGEST,
      frames: GOLDEN_FRAMES,
      failed: pipeline === undefined ? 0 : GOLDEN_FRAMES,
      logits: goldenLogits(pipeline),
    },
  };
}

/** A short baseline and a low bar, so that tests need few windows. */
export const foldSettings: FoldSettings = { streams: 1, detector: { ...detectorDefaults, baselineWindows: 40 } };

/** One camera's windows. Every device has its own mix of pictures, which wanders a little. */
export class SimulatedDevice {
  readonly i: number;
  readonly #random: Random;
  readonly #offsets: readonly number[];
  #seq = 0n;

  constructor(i: number, seed: number) {
    this.i = i;
    this.#random = seededRandom(1_000 * seed + i);
    this.#offsets = FEATURES.map(() => 0.2 * (this.#random() - 0.5));
  }

  sketch(now: DeviceCase, change: Partial<EdgeSketches> = {}): EdgeSketches {
    const counts = FEATURES.map(() => new Array<number>(BINS).fill(0));
    const labels: Record<string, bigint> = {};
    const shift: Shift = now.fault === undefined ? {} : cameraFaults[now.fault];
    const means = FEATURES.map((feature, f) => 0.5 + (this.#offsets[f] as number) + (shift[feature] ?? 0));
    for (let frame = 0; frame < FRAMES; frame++) {
      const c = this.#class(now.mix);
      const predicted = LABELS[this.#random() < 0.9 ? c : (c + 1) % LABELS.length] as string;
      labels[predicted] = (labels[predicted] ?? 0n) + 1n;
      for (let f = 0; f < means.length; f++) {
        const noise = 0.5 * (this.#random() + this.#random() - 1);
        const x = ((means[f] as number) + (EFFECTS[f]?.[c] as number) + noise) * BINS;
        const bin = x < 0 ? 0 : x >= BINS ? BINS - 1 : x | 0;
        const ofFeature = counts[f] as number[];
        ofFeature[bin] = (ofFeature[bin] as number) + 1;
      }
    }
    this.#seq += 1n;
    return {
      deviceId: deviceId(this.i),
      bootId: 1n,
      seq: this.#seq,
      windowMs: WINDOW_MS,
      ageMs: 0,
      clockState: "SYNCHRONIZED",
      modelDigest: DIGEST,
      preprocessingDigest: "cd".repeat(32),
      histograms: FEATURES.map((feature, f) => ({ feature, counts: (counts[f] as number[]).map(BigInt) })),
      labels,
      cameraId: "front",
      temperature: 1.5,
      grid: [],
      encoders: {},
      qualitySum: 0n,
      byClass: {},
      ...change,
    };
  }

  /** One drawn frame and its label. */
  draw(seq: number, { errorRate = 0.1 }: DeviceCase): readonly [EdgePredictions, GroundTruth] {
    const isWrong = this.#random() < errorRate;
    const [shown, next] = [LABELS[seq % LABELS.length] as string, LABELS[(seq + 1) % LABELS.length] as string];
    return [predictions(this.i, seq, isWrong ? next : shown), truth(this.i, seq, shown)];
  }

  #class(mix: readonly number[] = [0.25, 0.25, 0.25, 0.25]): number {
    let left = this.#random();
    for (const [c, share] of mix.entries()) {
      left -= share;
      if (left < 0) return c;
    }
    return mix.length - 1;
  }
}

export function predictions(i: number, seq: number, label: string): EdgePredictions {
  const prediction: EdgePredictions["predictions"][number] = {
    cameraId: "front",
    frameSeq: BigInt(seq),
    label,
    confidence: 0.9,
    margin: 0.8,
    entropy: 0.1,
    score: 0,
    ageMs: 0,
    latencyMs: 10,
    capturedAt: null,
    reason: "SAMPLE",
    deadlineMs: 1_000,
    escalation: "QUEUED",
    dropReason: "NONE",
    sampleCorrectness: 0.9,
    samplePropensity: 0.01,
    sampleDrawn: true,
    wouldSend: null,
    worldDigest: null,
    context: null,
    level: "FULL",
  };
  return {
    deviceId: deviceId(i),
    bootId: 1n,
    seq: BigInt(seq),
    modelDigest: DIGEST,
    preprocessingDigest: "cd".repeat(32),
    policyVersion: "",
    arm: "default",
    clockState: "SYNCHRONIZED",
    predictions: [prediction],
    traceparent: null,
  };
}

export const truth = (i: number, seq: number, label: string | null): GroundTruth => ({
  deviceId: deviceId(i),
  bootId: 1n,
  cameraId: "front",
  frameSeq: BigInt(seq),
  label,
  source: "PERSON",
  labelledBy: "",
  labelledAt: START,
  labelSet: null,
  comment: null,
  frameAt: null,
});

/** A fleet whose devices do what `caseOf` says of each window. */
export class DriftingFleet {
  readonly devices: SimulatedDevice[];
  readonly states: DeviceDrift[];
  readonly reviews = new DriftReviews();
  readonly #caseOf: (i: number, window: number) => DeviceCase;
  #windows = 0;
  readonly #failedAt = new Map<number, number>();

  constructor(size: number, seed: number, caseOf: (i: number, window: number) => DeviceCase) {
    this.devices = Array.from({ length: size }, (_, i) => new SimulatedDevice(i, seed));
    this.states = this.devices.map(({ i }) => new DeviceDrift(deviceId(i)));
    this.#caseOf = caseOf;
  }

  get now(): number {
    return START + this.#windows * WINDOW_MS;
  }

  /** The next window of every device, with one labelled frame each. */
  step(): void {
    const window = this.#windows++;
    for (const [i, device] of this.devices.entries()) {
      const state = this.states[i] as DeviceDrift;
      const now = this.#caseOf(i, window);
      const settings = { ...foldSettings, reviews: this.reviews };
      state.sketch(device.sketch(now), this.now, this.now, reference, settings);
      const [prediction, label] = device.draw(window + 1, now);
      state.predictions(prediction, this.now, reference);
      state.groundTruth(label, reference);
    }
  }

  /** Kills what holds the states, and starts it again from what was stored. */
  restart(): void {
    for (const [i, state] of this.states.entries()) {
      this.states[i] = DeviceDrift.decode(state.deviceId, state.encode());
    }
  }

  /** Shows the view what is known now, in the order of `devices`. */
  showTo(view: FleetView, devices: readonly number[] = this.states.map((_, i) => i)): void {
    view.package(DIGEST, reference);
    for (const i of devices) {
      const { pipeline } = this.#caseOf(i, this.#windows);
      view.registered(deviceId(i), registration(i));
      const goldenAt = pipeline === undefined ? START : (this.#failedAt.get(i) ?? this.now);
      if (pipeline !== undefined) this.#failedAt.set(i, goldenAt);
      view.reported(deviceId(i), report(i, goldenAt, pipeline), this.now);
      view.found(deviceId(i), (this.states[i] as DeviceDrift).findings());
    }
  }
}
