/** The cost of the drift of a fleet: sketches folded into device states, and a look at all of them for verdicts. */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type DeviceRegistration, EdgeSketches } from "@tributary/contracts";
import {
  DeviceDrift,
  type DeviceFindings,
  type DriftReference,
  decideVerdicts,
  detectorDefaults,
  driftReferenceOf,
  FleetView,
  fleetStreams,
  verdictDefaults,
} from "@tributary/drift";
import { GRID_SUMS, SKETCH_BINS } from "@tributary/inference";
import { invariant, seededRandom } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import type { Gate, Table } from "../bench.ts";

const SIZES = [25_000, 50_000, 100_000] as const;
/** Linear, and some noise. */
const EXPONENT_MAX = 1.1;
const MINUTE = 60_000;
const STARTED = 20_000 * 86_400_000;
const EDGE = fileURLToPath(new URL("../../../../models/edge-resnet8/", import.meta.url));
const FRAMES = 60;
/** Of which one is at dusk. */
const SITES = 250;

type Size = { readonly devices: number; readonly bytes: number; readonly stored: number; readonly lookMs: number };
export type SketchCosts = {
  readonly sizes: readonly Size[];
  readonly streams: number;
  /** Records a second and core. */
  readonly decoded: number;
  readonly fromBytes: number;
};

/** One camera a device, one record a minute. `usedBytes`: of heap and arrays. */
export async function sketchCosts(rounds: number, usedBytes: () => number): Promise<SketchCosts> {
  const reference = await edgeReference();
  const settings = { streams: fleetStreams(SIZES.at(-1) as number), detector: detectorDefaults };
  const records = recordsOf(reference);
  const fleet: DeviceDrift[] = [];
  const sizes: Size[] = [];
  const emptyBytes = usedBytes();
  for (const devices of SIZES) {
    while (fleet.length < devices) {
      const device = new DeviceDrift(`device-${fleet.length}`);
      for (let w = 1; w <= 2; w++) foldOne(device, records[w] as EdgeSketches, w, reference, settings);
      fleet.push(device);
    }
    const bytes = (usedBytes() - emptyBytes) / devices;
    sizes.push({
      devices,
      bytes,
      stored: (fleet[0] as DeviceDrift).encode().length,
      lookMs: lookMs(devices, reference, rounds),
    });
  }
  const first = fleet.slice(0, 10_000);
  let window = 2;
  const rate = (fold: (device: DeviceDrift, record: EdgeSketches) => void) => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round <= rounds; round++) {
      window += 1;
      const own = first.map((device, i) => ({
        ...(records[i % records.length] as EdgeSketches),
        ...ofDevice(device, window),
      }));
      const since = performance.now();
      for (const [i, record] of own.entries()) fold(first[i] as DeviceDrift, record);
      best = Math.min(best, performance.now() - since);
    }
    return (1_000 * first.length) / best;
  };
  const decoded = rate((device, record) => foldOne(device, record, window, reference, settings));
  const encoded = records.map((record) => EdgeSketches.encodeConfluent(record));
  const fromBytes = rate((device, record) => {
    const read = EdgeSketches.decodeConfluent(encoded[Number(record.seq) % encoded.length] as Buffer);
    foldOne(device, { ...read, ...ofDevice(device, window) }, window, reference, settings);
  });
  return { sizes, streams: reference.streams.length, decoded, fromBytes };
}

async function edgeReference(): Promise<DriftReference> {
  const { digest, manifest, labels, referenceSketch: sketch, golden } = await loadPackage(EDGE);
  return driftReferenceOf(digest, { manifest, labels, sketch, golden });
}

const ofDevice = ({ deviceId }: DeviceDrift, window: number) => ({ deviceId, seq: BigInt(window) });

function foldOne(
  device: DeviceDrift,
  record: EdgeSketches,
  window: number,
  reference: DriftReference,
  settings: Parameters<DeviceDrift["sketch"]>[4],
): void {
  const at = STARTED + window * MINUTE;
  const outcome = device.sketch({ ...record, ...ofDevice(device, window) }, at, at, reference, settings);
  invariant(outcome === "folded", `a window is folded, not ${outcome}`);
}

/** Windows of frames like those of the validation set. */
function recordsOf({ modelDigest, sketch, labels }: DriftReference, shift = 0): readonly EdgeSketches[] {
  const random = seededRandom(1);
  return Array.from({ length: 64 }, () => {
    const histograms = sketch.histograms.map(({ feature }) => {
      const counts = new Array<bigint>(SKETCH_BINS).fill(0n);
      for (let i = 0; i < FRAMES; i++) {
        const bin = Math.min(SKETCH_BINS - 1, Math.floor(random() * SKETCH_BINS) + shift);
        counts[bin] = (counts[bin] as bigint) + 1n;
      }
      return { feature, counts };
    });
    const share = BigInt(Math.floor(FRAMES / labels.length));
    return {
      deviceId: "",
      bootId: 5n,
      seq: 1n,
      windowMs: MINUTE,
      ageMs: 20,
      clockState: "SYNCHRONIZED",
      modelDigest,
      preprocessingDigest: "a".repeat(64),
      histograms,
      labels: Object.fromEntries(labels.map((label) => [label, share])),
      cameraId: "cam",
      temperature: 1,
      grid: new Array<bigint>(GRID_SUMS).fill(BigInt(90 * FRAMES)),
      encoders: { "standard/2x2/optimised": BigInt(FRAMES) },
      qualitySum: BigInt(90 * FRAMES),
      byClass: Object.fromEntries(labels.map((label) => [label, [15n * share, 15n * share, 15n * share]])),
    };
  });
}

/** One look at a fleet in which a site has changed: every camera is compared, and those of the site alarm. */
function lookMs(devices: number, reference: DriftReference, rounds: number): number {
  const [calm, changed] = [findingsAfter(reference, 0), findingsAfter(reference, 10)];
  invariant(changed.cameras[0]?.drift != null && calm.cameras[0]?.drift === null, "the changed camera alarms alone");
  const view = new FleetView();
  view.package(reference.modelDigest, reference);
  for (let i = 0; i < devices; i++) {
    const deviceId = `device-${i}`;
    const site = i % SITES;
    view.registered(deviceId, registrationOf(deviceId, site, i));
    view.found(deviceId, { ...(site === 7 ? changed : calm), deviceId });
  }
  const now = STARTED + CHANGED_MINUTES * MINUTE + verdictDefaults.settleMs * 3;
  const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round <= rounds; round++) {
    const since = performance.now();
    const verdicts = decideVerdicts(view, new Map(), now, verdictDefaults, sha256Hex);
    best = Math.min(best, performance.now() - since);
    invariant(verdicts.length === 1 && verdicts[0]?.scopeValue === "site-7", "the site is found");
  }
  return best;
}

const CHANGED_MINUTES = 500;

/** Of a camera that moves by so many bins after its baseline. */
function findingsAfter(reference: DriftReference, shift: number): DeviceFindings {
  const device = new DeviceDrift("device");
  const [before, after] = [recordsOf(reference), recordsOf(reference, shift)];
  const settings = { streams: fleetStreams(SIZES.at(-1) as number), detector: detectorDefaults };
  for (let w = 1; w <= CHANGED_MINUTES; w++) {
    const records = w <= detectorDefaults.baselineWindows + 60 ? before : after;
    foldOne(device, records[w % records.length] as EdgeSketches, w, reference, settings);
  }
  return device.findings();
}

const registrationOf = (deviceId: string, site: number, i: number): DeviceRegistration => ({
  deviceId,
  status: "ACTIVE",
  passwordHash: "",
  hardwareClass: i % 3 === 0 ? "rpi4" : "rpi5",
  site: `site-${site}`,
  registeredAt: STARTED,
  labels: { rack: `rack-${i % 1_000}` },
  checkRequestedAt: null,
});

export const sketchTable = ({ sizes, streams, decoded, fromBytes }: SketchCosts): Table => ({
  title: `Drift, one camera of ${streams} streams a device: ${perSecond(decoded)} records folded a second and core, ${perSecond(fromBytes)} from bytes`,
  columns: ["devices", "bytes a device in memory", "MB", "bytes stored", "one look, a site has changed, ms"],
  rows: sizes.map(({ devices, bytes, stored, lookMs: ms }) => [
    perSecond(devices),
    bytes.toFixed(0),
    ((devices * bytes) / 1e6).toFixed(0),
    stored,
    ms.toFixed(0),
  ]),
});

export function sketchGates({ sizes }: SketchCosts): readonly Gate[] {
  const [small, , large] = sizes as readonly [Size, Size, Size];
  const exponent =
    Math.log((large.devices * large.bytes) / (small.devices * small.bytes)) / Math.log(large.devices / small.devices);
  return [
    {
      name: `memory of drift grows at most as devices^${EXPONENT_MAX}`,
      passed: exponent <= EXPONENT_MAX,
      measured: exponent.toFixed(2),
    },
  ];
}

const perSecond = (value: number): string => Math.round(value).toLocaleString("en-US");
