/**
 * Profiles: the sketches of one day, merged by what devices have in common, for people with their own tools.
 *
 * Sketches of one package merge exactly, so a profile has the counts that one device with all the frames would have sent.
 * A device's group is that of now: its registration and its last report. Memory is bounded by `profilesMax`.
 */
import type { DriftProfile, DriftProfileQuery } from "@tributary/api";
import type { DeviceRegistration, DeviceReported, EdgeSketches } from "@tributary/contracts";
import { Problem } from "@tributary/service-kit";

const SKETCH_BINS = 32;
/** Feature of predictions per class. */
const PREDICTIONS = "label";

type Attributes = {
  readonly registration: DeviceRegistration | undefined;
  readonly reported: DeviceReported | undefined;
};

type Profile = {
  windows: number;
  readonly devices: Set<string>;
  /** Per bin. */
  readonly bins: Float64Array;
  /** Per class, of predictions. */
  readonly classes: Map<string, number>;
};
/** Empty where the device has none: its sketches are a group of their own. */
export function groupOf(by: DriftProfileQuery["by"], sketches: EdgeSketches, attributes: Attributes): string {
  const { registration, reported } = attributes;
  switch (by) {
    case "device":
      return sketches.deviceId;
    case "site":
      return registration?.site ?? "";
    case "hardware":
      return registration?.hardwareClass ?? "";
    case "agentVersion":
      return reported?.agentVersion ?? "";
    case "model":
      return sketches.modelDigest;
    default: {
      const { labels = {} } = registration ?? {};
      const key = by.slice("label:".length);
      return Object.hasOwn(labels, key) ? (labels[key] ?? "") : "";
    }
  }
}

export class ProfileFold {
  readonly #profilesMax: number;
  /** By group, package and feature, as JSON. */
  readonly #profiles = new Map<string, Profile>();
  /** Where each device's records are: those that Kafka has twice count once. */
  readonly #last = new Map<string, Pick<EdgeSketches, "bootId" | "seq">>();
  /** Sketches that were merged, that Kafka has twice, and that cannot be read. */
  readonly counts = { sketches: 0, repeated: 0, malformed: 0 };

  constructor(profilesMax: number) {
    this.#profilesMax = profilesMax;
  }

  /** @throws Problem if there are more profiles than `profilesMax` */
  add(sketches: EdgeSketches, group: string): void {
    const { deviceId, bootId, seq, modelDigest, histograms, labels } = sketches;
    const last = this.#last.get(deviceId);
    if (last?.bootId === bootId && seq <= last.seq) {
      this.counts.repeated += 1;
      return;
    }
    this.#last.set(deviceId, { bootId, seq });
    if (histograms.some(({ counts }) => counts.length !== SKETCH_BINS || counts.some((count) => count < 0n))) {
      this.counts.malformed += 1;
      return;
    }
    this.counts.sketches += 1;
    for (const { feature, counts } of histograms) {
      const { bins } = this.#profile([group, modelDigest, feature], deviceId);
      for (let bin = 0; bin < SKETCH_BINS; bin++) bins[bin] = (bins[bin] as number) + Number(counts[bin]);
    }
    const { classes } = this.#profile([group, modelDigest, PREDICTIONS], deviceId);
    for (const [label, count] of Object.entries(labels)) classes.set(label, (classes.get(label) ?? 0) + Number(count));
  }

  /** By group, package and feature. */
  profiles(): readonly Omit<DriftProfile, "day" | "by" | "modelName" | "modelVersion">[] {
    const sorted = [...this.#profiles].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([key, { windows, devices, bins, classes }]) => {
      const [group = "", modelDigest = "", feature = ""] = JSON.parse(key) as string[];
      const labels = feature === PREDICTIONS ? [...classes.keys()].sort() : null;
      const counts = labels === null ? [...bins] : labels.map((label) => classes.get(label) ?? 0);
      const frames = counts.reduce((sum, count) => sum + count, 0);
      return { group, modelDigest, feature, devices: devices.size, windows, frames, labels, counts };
    });
  }

  #profile(parts: readonly string[], deviceId: string): Profile {
    const key = JSON.stringify(parts);
    const profile = this.#profiles.get(key) ?? emptyProfile();
    this.#profiles.set(key, profile);
    if (this.#profiles.size > this.#profilesMax) {
      const detail = `There are more than ${this.#profilesMax} profiles: choose a coarser \`by\`, or raise drift.profilesMax.`;
      throw new Problem(422, "profiles-exceeded", "give-up", detail);
    }
    profile.windows += 1;
    profile.devices.add(deviceId);
    return profile;
  }
}

const emptyProfile = (): Profile => ({
  windows: 0,
  devices: new Set(),
  bins: new Float64Array(SKETCH_BINS),
  classes: new Map(),
});
