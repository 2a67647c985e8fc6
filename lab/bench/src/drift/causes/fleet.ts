/** A fleet on one task: sites with their own mixes of classes, cameras, agents, lenses; and the records of its devices. */
import type { DeviceRegistration, DeviceReported, EdgeSketches } from "@tributary/contracts";
import {
  DeviceDrift,
  type DriftReference,
  detectorDefaults,
  type FleetView,
  type FoldSettings,
  fleetStreams,
} from "@tributary/drift";
import { type Random, seededRandom } from "@tributary/kernel";
import type { Place } from "@tributary/tasks";
import type { Frames } from "./frames.ts";

export const WINDOW_MS = 60_000;
export const START = Date.UTC(2026, 5, 1, 6);
export const FLEET = {
  sites: 6,
  camerasOfSite: 4,
  framesOfWindow: 30,
  baselineWindows: 300,
  faultWindows: 120,
} as const;

export type Device = {
  readonly i: number;
  readonly deviceId: string;
  readonly site: number;
  readonly hardware: string;
  readonly agentVersion: string;
  readonly mix: readonly number[];
};

/** Each camera's mix is its site's, and somewhat its own. */
export function devicesOf(places: readonly Place[], seed: number): readonly Device[] {
  const random = seededRandom(seed);
  return Array.from({ length: FLEET.sites * FLEET.camerasOfSite }, (_, i) => {
    const site = Math.floor(i / FLEET.camerasOfSite);
    const own = (places[site % places.length] as Place).mix.map((share) => share * (0.5 + random()));
    const sum = own.reduce((all, share) => all + share, 0);
    return {
      i,
      deviceId: `cam-${String(i).padStart(2, "0")}`,
      site,
      hardware: i % 3 === 0 ? "pi4" : "pi5",
      agentVersion: (i + site) % 2 === 0 ? "1.4.0" : "1.5.0",
      mix: own.map((share) => share / sum),
    };
  });
}

const foldSettings: FoldSettings = {
  streams: fleetStreams(FLEET.sites * FLEET.camerasOfSite),
  detector: detectorDefaults,
};

/** One device's stream of windows; its state can be stored and continued by several futures. */
export class Camera {
  readonly state: DeviceDrift;
  #seq = 0n;
  readonly #random: Random;

  constructor(
    readonly device: Device,
    readonly reference: DriftReference,
    seed: number,
    from?: { readonly state: Uint8Array; readonly windows: number },
  ) {
    this.state =
      from === undefined ? new DeviceDrift(device.deviceId) : DeviceDrift.decode(device.deviceId, from.state);
    this.#seq = BigInt(from?.windows ?? 0);
    this.#random = seededRandom(seed * 1_000 + device.i);
  }

  step(frames: Frames, mix: readonly number[] = this.device.mix): void {
    const drawn = Array.from({ length: FLEET.framesOfWindow }, () => frames.draw(this.#random, mix));
    this.#seq += 1n;
    const at = START + Number(this.#seq) * WINDOW_MS;
    const record: EdgeSketches = {
      deviceId: this.device.deviceId,
      bootId: 1n,
      seq: this.#seq,
      windowMs: WINDOW_MS,
      ageMs: 0,
      clockState: "SYNCHRONIZED",
      modelDigest: this.reference.modelDigest,
      preprocessingDigest: "",
      cameraId: "front",
      temperature: 1,
      ...frames.sketch(drawn),
    };
    const outcome = this.state.sketch(record, at, at, this.reference, foldSettings);
    if (outcome !== "folded") throw new Error(`a window was not folded: ${outcome}`);
  }
}

export function registration({ deviceId, site, hardware }: Device): DeviceRegistration {
  return {
    ...{ deviceId, status: "ACTIVE", site: `site-${site}`, labels: {}, hardwareClass: hardware },
    ...{ passwordHash: "", registeredAt: START, checkRequestedAt: null },
  };
}

/** `logits`: of the golden frames. */
export function report(
  { deviceId, hardware, agentVersion }: Device,
  reference: DriftReference,
  at: number,
  logits: readonly number[],
  failed: number,
): DeviceReported {
  const { modelDigest, modelName, modelVersion } = reference;
  return {
    ...{ deviceId, bootId: 1n, seq: 1n, agentVersion, hardwareClass: hardware, clockState: "SYNCHRONIZED" },
    ...{ generation: 1n, slots: { perception: { modelDigest, modelName, modelVersion } }, policyVersion: "" },
    ...{ acceptedSchemas: [], cameras: ["front"], update: null, goldenPassed: failed === 0, driving: null },
    golden: { at, modelDigest, frames: reference.golden.length, failed, logits: [...logits] },
  };
}

export function show(view: FleetView, devices: readonly Device[], reference: DriftReference): void {
  const right = reference.golden.slice(0, reference.faults?.frames ?? 0).flat();
  view.package(reference.modelDigest, reference);
  for (const device of devices) {
    view.registered(device.deviceId, registration(device));
    view.reported(device.deviceId, report(device, reference, START, right, 0), START);
  }
}
