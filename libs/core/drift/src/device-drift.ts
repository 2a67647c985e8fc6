/**
 * One device's state: its cameras with their detectors, and the labelled draws of its frames. Fed with records, in the order
 * of the logs; read by `findings`; stored by `encode`.
 *
 * S1. A record that is delivered again changes nothing: batches are numbered by boot, draws have frame ids.
 * S2. A record that is refused changes nothing but the number of the batch.
 * S3. Everything is bounded: cameras, draws, history. */
import type { EdgePredictions, EdgeSketches, GroundTruth } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { CameraWatch, type CameraWindow } from "./camera-watch.ts";
import type { DetectorSettings } from "./detector.ts";
import { DrawTable } from "./draw-table.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { DeviceFindings } from "./findings.ts";
import type { LabelOutcome, SketchOutcome } from "./outcomes.ts";
import { AcceptedBaselines } from "./reviews/accepted-baselines.ts";
import type { DriftReviews } from "./reviews/drift-reviews.ts";
import { SeenBatches } from "./seen-batches.ts";
import { invalid, StateReader, StateWriter } from "./state-bytes.ts";
import { readWindow } from "./window.ts";

export type FoldSettings = {
  /** Streams of the whole fleet; see `fleetStreams`. */
  readonly streams: number;
  readonly detector: DetectorSettings;
  /** None by default. */
  readonly reviews?: DriftReviews;
};

const FORMAT = 3;
const CAMERAS_MAX = 64;
const DAY_MS = 86_400_000;
const WINDOW_AGE_MS_MAX = 7 * DAY_MS;

/** The most streams that a camera has: 11 features and 16 classes. */
const CAMERA_STREAMS = 27;

/** Streams that the fleet has, as a power of two: the bar of evidence does not move with every camera that comes or goes. */
export const fleetStreams = (cameras: number): number =>
  2 ** Math.ceil(Math.log2(Math.max(1, cameras) * CAMERA_STREAMS));

export class DeviceDrift {
  readonly deviceId: string;
  readonly #cameras = new Map<string, CameraWatch>();
  #sketches = new SeenBatches();
  #predictions = new SeenBatches();
  #draws = new DrawTable();
  #accepted = new AcceptedBaselines();

  constructor(deviceId: string) {
    this.deviceId = deviceId;
  }

  /** Throws Failure `drift-state-invalid` for bytes that `encode` of this version does not write. */
  static decode(deviceId: string, bytes: Uint8Array): DeviceDrift {
    const from = new StateReader(bytes);
    const format = from.u8();
    if (format !== FORMAT) throw invalid(`it is of format ${format}, not ${FORMAT}`);
    const device = new DeviceDrift(deviceId);
    device.#sketches = SeenBatches.read(from);
    device.#predictions = SeenBatches.read(from);
    device.#draws = DrawTable.read(from);
    for (let left = from.u8(CAMERAS_MAX); left > 0; left--) {
      const camera = CameraWatch.read(from);
      device.#cameras.set(camera.cameraId, camera);
    }
    device.#accepted = AcceptedBaselines.read(from, CAMERAS_MAX);
    from.end();
    return device;
  }

  encode(): Uint8Array {
    const to = new StateWriter();
    to.u8(FORMAT);
    this.#sketches.write(to);
    this.#predictions.write(to);
    this.#draws.write(to);
    to.u8(this.#cameras.size);
    for (const camera of this.#cameras.values()) camera.write(to);
    this.#accepted.write(to);
    return to.finish();
  }

  /** `endedAt`: end of the window by the time of receipt, not by the device's clock. `now`: time of receipt. */
  sketch(
    record: EdgeSketches,
    endedAt: Instant,
    now: Instant,
    reference: DriftReference | undefined,
    settings: FoldSettings,
  ): SketchOutcome {
    if (record.deviceId !== this.deviceId) return "device-mismatch";
    if (!this.#sketches.add(record)) return "repeated"; // S1
    if (reference === undefined || reference.modelDigest !== record.modelDigest) return "package-unknown";
    const untimely = timeliness(record, endedAt, now);
    if (untimely !== null) return untimely;
    const window = readWindow(record, Math.round(endedAt), reference);
    return typeof window === "string" ? window : this.#fold(record.cameraId, window, settings);
  }

  /** Remembers the frames that the random sample drew; how many. `receivedAt`: when the batch was received. */
  predictions(batch: EdgePredictions, receivedAt: Instant, reference: DriftReference | undefined): number {
    if (batch.deviceId !== this.deviceId || reference?.modelDigest !== batch.modelDigest) return 0;
    return this.#predictions.add(batch) ? this.#draws.predictions(batch, receivedAt, reference.classes) : 0;
  }

  /** `reference`: of the package that `drawsDigest` names. */
  groundTruth(truth: GroundTruth, reference: DriftReference | undefined): LabelOutcome {
    return this.#draws.groundTruth(truth, reference?.modelDigest === this.drawsDigest ? reference.classes : undefined);
  }

  /** Package whose answers are drawn, hex; empty before the first. */
  get drawsDigest(): string {
    return this.#draws.modelDigest;
  }

  findings(): DeviceFindings {
    const cameras = [...this.#cameras.values()].map((camera) => {
      return { ...camera.findings(), applied: this.#accepted.applied(camera.cameraId) };
    });
    return {
      deviceId: this.deviceId,
      cameras: cameras.sort((a, b) => (a.cameraId < b.cameraId ? -1 : 1)),
      draws: this.#draws.labelled(),
      drawsDigest: this.drawsDigest,
    };
  }

  #fold(cameraId: string, window: CameraWindow, { streams, detector, reviews }: FoldSettings): SketchOutcome {
    const watched = this.#cameras.get(cameraId) ?? new CameraWatch(cameraId);
    if (watched.overlaps(window)) return "window-overlaps";
    if (!this.#cameras.has(cameraId) && !this.#hasRoom(window.endedAt)) return "cameras-too-many";
    const camera = this.#accepted.watchOf(watched, window.endedAt, reviews?.ofCamera(this.deviceId, cameraId));
    this.#cameras.set(cameraId, camera);
    camera.fold(window, streams, detector);
    this.#accepted.folded(camera);
    return "folded";
  }

  /** S3. A camera that has been silent for a week makes room. */
  #hasRoom(endedAt: Instant): boolean {
    if (this.#cameras.size < CAMERAS_MAX) return true;
    for (const [cameraId, camera] of this.#cameras) {
      if (camera.endedAt < endedAt - WINDOW_AGE_MS_MAX) this.#cameras.delete(cameraId);
    }
    this.#accepted.keep(this.#cameras);
    return this.#cameras.size < CAMERAS_MAX;
  }
}

function timeliness({ windowMs, ageMs }: EdgeSketches, endedAt: Instant, now: Instant): SketchOutcome | null {
  if (!(windowMs > 0 && windowMs <= DAY_MS)) return "window-length-invalid";
  if (!(ageMs >= 0 && endedAt <= now)) return "window-in-the-future";
  return endedAt >= now - WINDOW_AGE_MS_MAX ? null : "window-too-old";
}
