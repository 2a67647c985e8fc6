/**
 * Frames of the archive with the labels that they got, of all models: folded from frames.archive.v1 and ground-truth.v1. Pure.
 *
 * T1. Of a frame the newest record of the archive holds, and of each labeller the newest label; so labels that contradict each other are
 *     seen (`usableFrames`). Both logs are read by partitions, in no order between them.
 * T2. A frame is forgotten once its picture expired, and a label once it is older than any frame could be.
 * T3. At most `framesMax` are known, frames and labels without a frame together. Of more, those of least use are forgotten and counted, a
 *     sixteenth of the bound at a time: frames without a label, then labels whose frame is not known, then labelled frames; the oldest
 *     of each first.
 * T4. Labels of a model since a moment are counted as records come, by the package that answered: the question looks at no label.
 */
import type { ArchivedFrame, GroundTruth, TrainingRun } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { FrameLabel, LabelledFrame } from "@tributary/training/dataset";
import { type ColumnFrame, FrameColumns } from "./frame-columns.ts";
import { LabelTimes } from "./label-times.ts";

export type Evicted = "unlabelled" | "label-without-frame" | "labelled";

export type FrameTableOptions = {
  /** Of the package that was active when the frame was seen; undefined: not known. */
  readonly modelOf: (modelDigest: string) => string | undefined;
  /** T2. How long labels are kept whose frame is not in the archive. */
  readonly labelMsMax: number;
  /** T3. */
  readonly framesMax: number;
  /** T3. Frames that were forgotten. */
  readonly onEvicted?: (what: Evicted, frames: number) => void;
};

type Label = FrameLabel & { readonly receivedAt: Instant };

/** Labellers of one frame; more of them replace the oldest. */
const LABELS_MAX = 16;
const PRUNE_EVERY = 10_000;
/** T2. Of the frames that are known, records between two looks at all of them. */
const PRUNE_SHARE = 1 / 8;
/** T3. */
const EVICTED_SHARE = 1 / 16;
const EVICTED: readonly Evicted[] = ["unlabelled", "label-without-frame", "labelled"];
const TEXTS_MAX = 10_000;

export class FrameTable {
  readonly #options: FrameTableOptions;
  readonly #columns: FrameColumns;
  /** By slot. */
  readonly #labels = new Map<number, readonly Label[]>();
  /** T4. By digest of the package: of each labelled frame the newest label's time. */
  readonly #times = new Map<string, LabelTimes>();
  /** Classes and labellers, which repeat, once each. */
  readonly #texts = new Map<string, string>();
  #untilPrune = PRUNE_EVERY;

  constructor(options: FrameTableOptions) {
    this.#options = options;
    this.#columns = new FrameColumns(options.framesMax + 1); // One more, before T3.
  }

  /** Frames, and labels without a frame. */
  get size(): number {
    return this.#columns.size;
  }

  onFrame(frame: ArchivedFrame, now: Instant): void {
    this.#prune(now);
    const slot = this.#columns.slotOf(frame);
    this.#recounted(slot, () => this.#columns.setFrame(slot, frame));
    this.#evict();
  }

  /** `receivedAt`: when Kafka took it. */
  onLabel(truth: GroundTruth, receivedAt: Instant, now: Instant): void {
    this.#prune(now);
    const { source } = truth;
    if (source === "UNKNOWN") return;
    const by = this.#shared(truth.labelledBy);
    const label = truth.label === null ? null : this.#shared(truth.label);
    const slot = this.#columns.slotOf(truth);
    const others = this.#labelsOf(slot).filter((one) => one.source !== source || one.by !== by);
    const labels = [...others, { label, source, by, confidence: null, receivedAt }].slice(-LABELS_MAX);
    this.#recounted(slot, () => this.#labels.set(slot, labels));
    this.#evict();
  }

  /** Frames of a training's slice, with people's labels and the cloud's answer. */
  sliceOf(run: Pick<TrainingRun, "model" | "slice" | "devices" | "since">, now: Instant): LabelledFrame[] {
    const columns = this.#columns;
    const devices = new Set(run.devices);
    const [, camera] = /^camera=(.+)$/.exec(run.slice) ?? [];
    const [, site] = /^site=(.+)$/.exec(run.slice) ?? [];
    const isOfSites = camera === undefined && devices.size === 0;
    const slots = columns.framesOf({
      ...{ since: run.since, now },
      isStream: ({ deviceId, cameraId }) =>
        isOfSites || (camera === undefined ? devices.has(deviceId) : camera === `${deviceId}/${cameraId}`),
      isSite: (own) => !isOfSites || site === undefined || own === site,
      isModel: (digest) => this.#options.modelOf(digest) === run.model,
    });
    const frames: LabelledFrame[] = [];
    for (const slot of slots) {
      const { cameraId: _, cloudLabel, cloudConfidence, ...frame } = columns.frame(slot);
      frames.push({ ...frame, labels: [...answerOf({ cloudLabel, cloudConfidence }), ...this.#labelsOf(slot)] });
    }
    return frames;
  }

  /** T4. Frames of the model that got a label after this moment. */
  labelsSince(model: string, at: Instant): number {
    let count = 0;
    for (const [digest, times] of this.#times) {
      if (this.#options.modelOf(digest) === model) count += times.countAfter(at);
    }
    return count;
  }

  #labelsOf(slot: number): readonly Label[] {
    return this.#labels.get(slot) ?? [];
  }

  /** T4. Every change of a slot's frame or labels goes through here. */
  #recounted(slot: number, change: () => void): void {
    const before = this.#labelledAt(slot);
    if (before !== null) {
      const times = this.#times.get(before.digest);
      times?.remove(before.at);
      if (times?.size === 0) this.#times.delete(before.digest);
    }
    change();
    const after = this.#labelledAt(slot);
    if (after === null) return;
    const times = this.#times.get(after.digest) ?? new LabelTimes();
    this.#times.set(after.digest, times);
    times.add(after.at);
  }

  /** Null: it has no frame, or no class. */
  #labelledAt(slot: number): { readonly digest: string; readonly at: Instant } | null {
    const times = this.#labelsOf(slot).flatMap(({ label, receivedAt }) => (label === null ? [] : receivedAt));
    if (times.length === 0 || !this.#columns.hasFrame(slot)) return null;
    return { digest: this.#columns.modelDigest(slot), at: Math.max(...times) };
  }

  #shared(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }

  /** T2, now and then. */
  #prune(now: Instant): void {
    this.#untilPrune -= 1;
    if (this.#untilPrune > 0) return;
    this.#untilPrune = Math.max(PRUNE_EVERY, Math.ceil(PRUNE_SHARE * this.size));
    const oldest = now - this.#options.labelMsMax;
    for (const slot of this.#columns.slots()) {
      const isExpired = this.#columns.hasFrame(slot) && this.#columns.expiresAt(slot) <= now;
      if (isExpired) this.#recounted(slot, () => this.#columns.clearFrame(slot));
      if (this.#columns.hasFrame(slot)) continue;
      if (this.#labelsOf(slot).every(({ receivedAt }) => receivedAt < oldest)) this.#forget(slot);
    }
  }

  #forget(slot: number): void {
    this.#recounted(slot, () => this.#labels.delete(slot));
    this.#columns.remove(slot);
  }

  /** T3. */
  #evict(): void {
    const { framesMax, onEvicted } = this.#options;
    if (this.size <= framesMax) return;
    let excess = this.size - Math.floor(framesMax * (1 - EVICTED_SHARE));
    for (const what of EVICTED) {
      if (excess <= 0) return;
      const ages = Float64Array.from(this.#of(what), (slot) => this.#agedAt(slot)).sort();
      const quota = Math.min(excess, ages.length);
      const last = ages[quota - 1] ?? Number.NEGATIVE_INFINITY;
      let [older, same] = [0, quota - ages.indexOf(last)];
      for (const slot of this.#of(what)) {
        const at = this.#agedAt(slot);
        if (at > last || (at === last && same-- <= 0)) continue;
        this.#forget(slot);
        older += 1;
      }
      if (older > 0) onEvicted?.(what, older);
      excess -= older;
    }
  }

  *#of(what: Evicted): Generator<number> {
    for (const slot of this.#columns.slots()) {
      const isLabelled = this.#labels.has(slot);
      const own = !this.#columns.hasFrame(slot) ? "label-without-frame" : isLabelled ? "labelled" : "unlabelled";
      if (own === what) yield slot;
    }
  }

  #agedAt(slot: number): Instant {
    if (this.#columns.hasFrame(slot)) return this.#columns.receivedAt(slot);
    return Math.max(...this.#labelsOf(slot).map(({ receivedAt }) => receivedAt));
  }
}

function answerOf({ cloudLabel, cloudConfidence }: Pick<ColumnFrame, "cloudLabel" | "cloudConfidence">): FrameLabel[] {
  if (cloudLabel === null) return [];
  return [{ label: cloudLabel, source: "CLOUD", by: "cloud", confidence: cloudConfidence }];
}
