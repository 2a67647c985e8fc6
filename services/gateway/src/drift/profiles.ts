/**
 * Profiles: the sketches of one day, merged by what devices have in common, for people with their own tools.
 *
 * Sketches of one package merge exactly, so a profile has the counts that one device with all the frames would have sent.
 * A device's group is that of now: its registration and its last report. Memory is bounded by `profilesMax`.
 */
import type { DriftProfile, DriftProfileQuery } from "@tributary/api";
import type { DeviceRegistration, DeviceReported, EdgeSketches } from "@tributary/contracts";
import { Problem } from "@tributary/service-kit";

export const SKETCH_BINS = 32;
/** Feature of predictions per class. */
const PREDICTIONS = "label";

export type Attributes = {
  readonly registration: DeviceRegistration | undefined;
  readonly reported: DeviceReported | undefined;
};

type Profile = { frames: number; windows: number; readonly devices: Set<string>; readonly counts: Map<string, number> };
type Totals = { readonly records: number; readonly repeated: number; readonly malformed: number };

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
  #totals = { records: 0, repeated: 0, malformed: 0 };

  constructor(profilesMax: number) {
    this.#profilesMax = profilesMax;
  }

  get totals(): Totals {
    return this.#totals;
  }

  /** @throws Problem if there are more profiles than `profilesMax` */
  add(sketches: EdgeSketches, group: string): void {
    const { deviceId, bootId, seq, modelDigest, histograms, labels } = sketches;
    const last = this.#last.get(deviceId);
    if (last?.bootId === bootId && seq <= last.seq) {
      this.#totals.repeated += 1;
      return;
    }
    this.#last.set(deviceId, { bootId, seq });
    if (histograms.some(({ counts }) => counts.length !== SKETCH_BINS || counts.some((count) => count < 0n))) {
      this.#totals.malformed += 1;
      return;
    }
    this.#totals.records += 1;
    for (const { feature, counts } of histograms) {
      const profile = this.#profile([group, modelDigest, feature], deviceId);
      for (const [bin, count] of counts.entries()) addTo(profile, String(bin), Number(count));
    }
    const predictions = this.#profile([group, modelDigest, PREDICTIONS], deviceId);
    for (const [label, count] of Object.entries(labels)) addTo(predictions, label, Number(count));
  }

  /** By group, package and feature. */
  *profiles(): Generator<Omit<DriftProfile, "day" | "by" | "modelName" | "modelVersion">> {
    for (const [key, { frames, windows, devices, counts }] of [...this.#profiles].sort(([a], [b]) =>
      a < b ? -1 : 1,
    )) {
      const [group = "", modelDigest = "", feature = ""] = JSON.parse(key) as string[];
      const labels = feature === PREDICTIONS ? [...counts.keys()].sort() : null;
      const bins = labels ?? Array.from({ length: SKETCH_BINS }, (_, bin) => String(bin));
      const values = bins.map((bin) => counts.get(bin) ?? 0);
      yield { group, modelDigest, feature, devices: devices.size, windows, frames, labels, counts: values };
    }
  }

  #profile(parts: readonly string[], deviceId: string): Profile {
    const key = JSON.stringify(parts);
    const profile = this.#profiles.get(key) ?? { frames: 0, windows: 0, devices: new Set(), counts: new Map() };
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

function addTo(profile: Profile, bin: string, count: number): void {
  profile.frames += count;
  profile.counts.set(bin, (profile.counts.get(bin) ?? 0) + count);
}
