/** A fleet that only exists as its records: devices whose sketches of windows, registrations and reports go straight to Kafka.
 *
 * Records depend on the seed and on the times they are given alone: sent to several prefixes, they are the same. */
import { DeviceRegistration, DeviceReported, EdgeSketches, topics } from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { type Instant, type Random, seededRandom } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { edgePackage } from "@tributary/stack";
import { someRegistration, someReported } from "@tributary/testing";

export const WINDOW_MS = 500;
const FRAMES = 64;
const NEXT_BUILD = "0.2.0";
const NEXT_BUILD_FAULT = "mean-not-subtracted";
const REPORTED_AT: Instant = Date.UTC(2026, 0);

/** What every feature's x (0 to 1) moves by, where something changes. */
type Shift = Readonly<Record<string, number>>;
const DARK: Shift = { luminance: -0.45, channel_mean_r: -0.4, channel_mean_g: -0.4, channel_mean_b: -0.35 };
const SWAPPED: Shift = { channel_mean_r: -0.35, channel_mean_b: 0.35, confidence: -0.2, margin: -0.2, entropy: 0.2 };

type Device = {
  readonly deviceId: string;
  readonly site: string;
  readonly lens: string;
  readonly change: "dark" | "swapped" | "build" | null;
  readonly random: Random;
};

type Model = {
  readonly digest: string;
  readonly name: string;
  readonly version: string;
  readonly preprocessingDigest: string;
  readonly labels: readonly string[];
  readonly features: readonly string[];
  readonly goldenFrames: number;
  /** Of the first golden frames, under a fault of the pipeline. */
  readonly faultyLogits: readonly number[];
};

export class SketchedFleet {
  readonly #model: Model;
  readonly #devices: readonly Device[];
  /** Start of the first window. */
  startedAt: Instant = 0;

  private constructor(model: Model, seed: number) {
    this.#model = model;
    const groups = [
      { devices: 6, site: "north", lens: "acme-1", change: "dark" },
      { devices: 4, site: "south", lens: "acme-2", change: "swapped" },
      { devices: 5, site: "south", lens: "acme-1", change: "build" },
      { devices: 15, site: "south", lens: "acme-1", change: null },
    ] as const;
    this.#devices = groups
      .flatMap(({ devices, ...place }) => Array.from({ length: devices }, () => place))
      .map((place, i) => ({ deviceId: `device-${i + 1}`, ...place, random: seededRandom(1_000 * seed + i) }));
  }

  static async open(seed: number): Promise<SketchedFleet> {
    const pkg = await loadPackage(edgePackage);
    const { digest, manifest, preprocessingDigest, labels, referenceSketch, golden, faults } = pkg;
    const features = referenceSketch.histograms.map(({ feature }) => feature as string);
    const { name, version } = manifest;
    const goldenFrames = golden.frames.length;
    const fault = faults?.pipeline.find((one) => one.name === NEXT_BUILD_FAULT);
    const faultyLogits = fault?.logits.flat() ?? [];
    const model = { digest, name, version, preprocessingDigest, labels, features, goldenFrames, faultyLogits };
    return new SketchedFleet(model, seed);
  }

  get size(): number {
    return this.#devices.length;
  }

  /** What is known of the devices before their first window. */
  registrations(): readonly OutRecord[] {
    return this.#devices.flatMap(({ deviceId, site, lens }) => {
      const registration = someRegistration({ deviceId, site, labels: { lens } });
      const value = DeviceRegistration.encodeConfluent(registration);
      return [{ topic: topics.registry.name, key: deviceId, value }, this.#report(deviceId, "0.1.0", REPORTED_AT)];
    });
  }

  /** Some of them run another build from now on, which does not reproduce its golden frames. */
  updated(at: Instant): readonly OutRecord[] {
    const updated = this.#devices.filter(({ change }) => change === "build");
    return updated.map(({ deviceId }) => this.#report(deviceId, NEXT_BUILD, at));
  }

  endOf(window: number): Instant {
    return this.startedAt + (window + 1) * WINDOW_MS;
  }

  /** The window of that number of every device, sent at its end. */
  window(number: number, isChanged: boolean): readonly OutRecord[] {
    const timestamp = this.endOf(number);
    return this.#devices.map((device) => {
      const value = EdgeSketches.encodeConfluent(this.#sketch(device, number, isChanged));
      return { topic: topics.sketches.name, key: device.deviceId, value, timestamp };
    });
  }

  #sketch({ deviceId, change, random }: Device, number: number, isChanged: boolean): EdgeSketches {
    const { digest, preprocessingDigest, labels, features } = this.#model;
    const shift = !isChanged || change === null || change === "build" ? {} : change === "dark" ? DARK : SWAPPED;
    const predicted: Record<string, bigint> = {};
    for (let frame = 0; frame < FRAMES; frame++) {
      const label = labels[Math.floor(random() * labels.length)] as string;
      predicted[label] = (predicted[label] ?? 0n) + 1n;
    }
    return {
      deviceId,
      bootId: 1n << 40n,
      seq: BigInt(number + 1),
      windowMs: WINDOW_MS,
      ageMs: 0,
      clockState: "SYNCHRONIZED",
      modelDigest: digest,
      preprocessingDigest,
      histograms: features.map((feature) => ({ feature, counts: countsOf(random, shift[feature] ?? 0) })),
      labels: predicted,
      cameraId: "cam",
      temperature: 1,
      grid: [],
      encoders: {},
      qualitySum: 0n,
      byClass: {},
    };
  }

  #report(deviceId: string, agentVersion: string, goldenAt: Instant): OutRecord {
    const { digest: modelDigest, name: modelName, version: modelVersion, goldenFrames, faultyLogits } = this.#model;
    const [failed, logits] = agentVersion === NEXT_BUILD ? [goldenFrames, [...faultyLogits]] : [0, []];
    const reported = someReported({
      deviceId,
      agentVersion,
      slots: { perception: { modelDigest, modelName, modelVersion } },
      cameras: ["cam"],
      golden: { at: goldenAt, modelDigest, frames: goldenFrames, failed, logits },
    });
    const value = DeviceReported.encodeConfluent(reported);
    return { topic: topics.reported.name, key: deviceId, value, timestamp: goldenAt };
  }
}

const BINS = 32;

/** Of frames whose values are uniform over the bins but for the shift. */
function countsOf(random: Random, shift: number): bigint[] {
  const counts = new Array<bigint>(BINS).fill(0n);
  for (let frame = 0; frame < FRAMES; frame++) {
    const bin = Math.floor(BINS * Math.max(0, Math.min(0.999, random() + shift)));
    counts[bin] = (counts[bin] ?? 0n) + 1n;
  }
  return counts;
}
