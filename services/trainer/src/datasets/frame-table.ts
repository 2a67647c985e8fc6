/**
 * Frames of the archive with the labels that they got, of all models: folded from frames.archive.v1 and ground-truth.v1. Pure.
 *
 * T1. Of a frame the newest record of the archive holds, and of each labeller the newest label; so labels that contradict each other are
 *     seen (`usableFrames`). Both logs are read by partitions, in no order between them.
 * T2. A frame is forgotten once its picture expired, and a label once it is older than any frame could be: memory is bounded by what the
 *     archive may keep.
 */
import type { ArchivedFrame, GroundTruth, TrainingRun } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";
import type { FrameLabel, LabelledFrame } from "@tributary/training/dataset";

export type FrameTableOptions = {
  /** Of the package that was active when the frame was seen; undefined: not known. */
  readonly modelOf: (modelDigest: string) => string | undefined;
  /** T2. How long labels are kept whose frame is not in the archive. */
  readonly labelMsMax: number;
};

type Label = FrameLabel & { readonly receivedAt: Instant };

/** Labellers of one frame; more of them replace the oldest. */
const LABELS_MAX = 16;
const PRUNE_EVERY = 10_000;

export class FrameTable {
  readonly #options: FrameTableOptions;
  readonly #frames = new Map<string, ArchivedFrame>();
  readonly #labels = new Map<string, readonly Label[]>();
  #untilPrune = PRUNE_EVERY;

  constructor(options: FrameTableOptions) {
    this.#options = options;
  }

  onFrame(frame: ArchivedFrame, now: Instant): void {
    this.#prune(now);
    this.#frames.set(formatFrameId(frame), frame);
  }

  /** `receivedAt`: when Kafka took it. */
  onLabel(truth: GroundTruth, receivedAt: Instant, now: Instant): void {
    this.#prune(now);
    const { label, source, labelledBy: by } = truth;
    if (source === "UNKNOWN") return;
    const key = formatFrameId(truth);
    const others = (this.#labels.get(key) ?? []).filter((one) => one.source !== source || one.by !== by);
    this.#labels.set(key, [...others, { label, source, by, confidence: null, receivedAt }].slice(-LABELS_MAX));
  }

  /** Frames of a training's slice, with people's labels and the cloud's answer. */
  sliceOf(run: Pick<TrainingRun, "model" | "slice" | "devices" | "since">, now: Instant): LabelledFrame[] {
    const devices = new Set(run.devices);
    const [, camera] = /^camera=(.+)$/.exec(run.slice) ?? [];
    const [, site] = /^site=(.+)$/.exec(run.slice) ?? [];
    const isOfSlice = (frame: ArchivedFrame): boolean => {
      if (camera !== undefined) return camera === `${frame.deviceId}/${frame.cameraId}`;
      if (devices.size > 0) return devices.has(frame.deviceId);
      return site === undefined || frame.site === site;
    };
    const frames: LabelledFrame[] = [];
    for (const [frameId, frame] of this.#frames) {
      if (frame.receivedAt < run.since || frame.expiresAt <= now || !isOfSlice(frame)) continue;
      if (this.#options.modelOf(frame.modelDigest) !== run.model) continue;
      const { deviceId, digest, receivedAt, sampleDrawn, samplePropensity } = frame;
      const labels = [...answerOf(frame), ...(this.#labels.get(frameId) ?? [])];
      frames.push({ frameId, deviceId, digest, receivedAt, sampleDrawn, samplePropensity, labels });
    }
    return frames;
  }

  /** Frames of the model that got a label after this moment. */
  labelsSince(model: string, at: Instant): number {
    let count = 0;
    for (const [frameId, labels] of this.#labels) {
      const frame = this.#frames.get(frameId);
      if (frame === undefined || this.#options.modelOf(frame.modelDigest) !== model) continue;
      if (labels.some(({ receivedAt, label }) => receivedAt > at && label !== null)) count += 1;
    }
    return count;
  }

  /** T2, now and then. */
  #prune(now: Instant): void {
    this.#untilPrune -= 1;
    if (this.#untilPrune > 0) return;
    this.#untilPrune = PRUNE_EVERY;
    for (const [frameId, { expiresAt }] of this.#frames) if (expiresAt <= now) this.#frames.delete(frameId);
    const oldest = now - this.#options.labelMsMax;
    for (const [frameId, labels] of this.#labels) {
      const isOld = labels.every(({ receivedAt }) => receivedAt < oldest);
      if (isOld && !this.#frames.has(frameId)) this.#labels.delete(frameId);
    }
  }
}

function answerOf({ cloudLabel, cloudConfidence }: ArchivedFrame): FrameLabel[] {
  if (cloudLabel === null) return [];
  return [{ label: cloudLabel, source: "CLOUD", by: "cloud", confidence: cloudConfidence }];
}
