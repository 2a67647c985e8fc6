/**
 * What an owner of a partition knows of its devices' frames: those that the archive has, those that Kafka still has, and what was
 * answered and labelled. Frames, cloud answers and labels drive it, in whatever order they come; it decides which pictures are
 * kept. A picture is fetched again from Kafka when the reason to keep it comes after the frame.
 *
 * M1. A frame is kept once: what was decided stays decided, until `release` withdraws it because the picture was not stored.
 * M2. Everything is bounded, by device (device-shares.ts). What is forgotten is not kept later: the archive loses a frame, and
 *     nothing else.
 * M3. What is remembered of kept frames reaches back `daysKept`, longer than Kafka has a frame that could come again.
 */
import type { ArchivedFrame } from "@tributary/contracts";
import { formatFrameId, type Instant } from "@tributary/kernel";
import { DeviceShares } from "./device-shares.ts";
import { type ArchiveCaps, type KeepOutcome, type KeepReason, keepOutcome } from "./keep-rule.ts";

const DAY_MS = 86_400_000;
const daysKept = 2;

/** How far back the archive's records are read when a partition is taken over (M3). */
export const ARCHIVE_MEMORY_MS: number = daysKept * DAY_MS;

/** A frame on edge.frames.v1, without its picture. */
export type SentFrame = {
  readonly frameId: string;
  readonly deviceId: string;
  readonly cameraId: string;
  /** Of its record. */
  readonly offset: bigint;
  /** When the bridge received it. */
  readonly receivedAt: Instant;
  /** Class the edge model chose. */
  readonly label: string;
  /** Of its JPEG. */
  readonly bytes: number;
  readonly sampleDrawn: boolean;
};

/** Of a verdict that is open about the frame's camera; undefined: none is. */
export type ScopeOf = (frame: SentFrame) => string | undefined;

export type Kept = { readonly why: KeepReason; readonly verdictId: string };

/** `no-reason`: nothing is known that makes it worth keeping, so far. */
export type Decision =
  | ({ readonly outcome: "kept" } & Kept)
  | { readonly outcome: Exclude<KeepOutcome, "kept"> | "repeated" | "no-reason" };

export type CloudAnswer = { readonly label: string; readonly confidence: number | null };

type Known = { readonly cloud: CloudAnswer | null; readonly isDisagreement: boolean; readonly isLabelled: boolean };
type Remembered = { readonly frame: SentFrame; readonly isRefused: boolean };
type Day = { frames: number; bytes: number; readonly classes: Map<string, number> };

/** Before there is a record: decided, and its picture is being stored. */
const BEING_STORED = null;

export type ArchiveMemoryOptions = {
  readonly caps: ArchiveCaps;
  /** Sent frames that are remembered, and as many answers and labels. */
  readonly framesMax: number;
};

const nothing: Known = { cloud: null, isDisagreement: false, isLabelled: false };

export class ArchiveMemory {
  readonly #caps: ArchiveCaps;
  readonly #kept = new Map<string, ArchivedFrame | typeof BEING_STORED>();
  readonly #days = new Map<string, Day>();
  readonly #sent: DeviceShares<Remembered>;
  readonly #known: DeviceShares<Known>;

  constructor({ caps, framesMax }: ArchiveMemoryOptions) {
    this.#caps = caps;
    this.#sent = new DeviceShares(framesMax);
    this.#known = new DeviceShares(framesMax);
  }

  /** Frames that can be fetched again from Kafka. */
  get sent(): number {
    return this.#sent.size;
  }

  /** A record of the archive: one that was just written, or one that a former owner wrote. */
  stored(record: ArchivedFrame): void {
    const frameId = formatFrameId(record);
    if (!this.#kept.has(frameId)) this.#count(record.deviceId, record.receivedAt, record.edgeLabel, record.bytes, 1);
    this.#kept.set(frameId, record);
    this.#sent.delete(record.deviceId, frameId);
    this.#known.delete(record.deviceId, frameId);
  }

  /** Decides on a frame that came, or that was remembered; a refused one may still be kept for another reason. */
  decide(frame: SentFrame, scopeOf: ScopeOf): Decision {
    const { frameId, deviceId, receivedAt, label, bytes } = frame;
    if (this.#kept.has(frameId)) return { outcome: "repeated" }; // M1
    const reason = this.#reasonOf(frame, scopeOf);
    if (reason === undefined) {
      this.#sent.set(deviceId, frameId, { frame, isRefused: false });
      return { outcome: "no-reason" };
    }
    const outcome = keepOutcome(frame, reason.why, this.#countsOf(frame), this.#caps);
    if (outcome !== "kept") {
      this.#sent.set(deviceId, frameId, { frame, isRefused: true });
      return { outcome };
    }
    this.#count(deviceId, receivedAt, label, bytes, 1);
    this.#kept.set(frameId, BEING_STORED);
    return { outcome, ...reason };
  }

  /** Its picture was not stored (M1). It may be decided on again if it `mayReturn`; else it is not kept. */
  release(frame: SentFrame, mayReturn: boolean): void {
    const { frameId, deviceId, receivedAt, label, bytes } = frame;
    if (this.#kept.get(frameId) !== BEING_STORED) return;
    this.#kept.delete(frameId);
    this.#count(deviceId, receivedAt, label, bytes, -1);
    if (mayReturn) this.#sent.set(deviceId, frameId, { frame, isRefused: false });
    else this.#sent.delete(deviceId, frameId);
  }

  /** What the cloud answered; gives the archive's record if it is to be written again with it. */
  answered(deviceId: string, frameId: string, cloud: CloudAnswer, edgeLabel: string): ArchivedFrame | undefined {
    const kept = this.#kept.get(frameId);
    if (kept) {
      if (kept.cloudLabel !== null) return undefined;
      return { ...kept, cloudLabel: cloud.label, cloudConfidence: cloud.confidence };
    }
    const known = this.#known.get(deviceId, frameId) ?? nothing;
    this.#known.set(deviceId, frameId, { ...known, cloud, isDisagreement: cloud.label !== edgeLabel });
    return undefined;
  }

  labelled(deviceId: string, frameId: string): void {
    if (this.#kept.get(frameId)) return;
    const known = this.#known.get(deviceId, frameId) ?? nothing;
    this.#known.set(deviceId, frameId, { ...known, isLabelled: true });
  }

  cloudAnswerOf(deviceId: string, frameId: string): CloudAnswer | null {
    return this.#known.get(deviceId, frameId)?.cloud ?? null;
  }

  /** There is a reason to keep it, and it is not in the archive. */
  isWanted(deviceId: string, frameId: string): boolean {
    const known = this.#known.get(deviceId, frameId);
    return known !== undefined && (known.isLabelled || known.isDisagreement) && !this.#kept.has(frameId);
  }

  sentFrame(deviceId: string, frameId: string): SentFrame | undefined {
    return this.#sent.get(deviceId, frameId)?.frame;
  }

  /** A frame that Kafka has from before this partition was taken over. */
  remember(frame: SentFrame): void {
    const { frameId, deviceId } = frame;
    if (this.#kept.has(frameId) || this.#sent.get(deviceId, frameId) !== undefined) return;
    this.#sent.set(deviceId, frameId, { frame, isRefused: false });
  }

  /** Frames that came before a verdict opened about their camera, and were not refused; at most `max`. */
  inScope(devices: Iterable<string>, scopeOf: ScopeOf, max: number): readonly SentFrame[] {
    const found: SentFrame[] = [];
    for (const deviceId of devices) {
      for (const { frame, isRefused } of this.#sent.of(deviceId)) {
        if (found.length >= max) return found;
        if (!isRefused && scopeOf(frame) !== undefined) found.push(frame);
      }
    }
    return found;
  }

  /** Forgets what is older than is needed (M3), and frames that Kafka has deleted by now. */
  prune(now: Instant, sentMsMax: number): void {
    this.#sent.prune(({ frame }) => frame.receivedAt < now - sentMsMax);
    for (const [frameId, record] of this.#kept) {
      if (record !== BEING_STORED && record.receivedAt < now - ARCHIVE_MEMORY_MS) this.#kept.delete(frameId);
    }
    const firstDay = dayOf(now - ARCHIVE_MEMORY_MS);
    for (const key of this.#days.keys()) if (Number(key.split(" ")[1]) < firstDay) this.#days.delete(key);
  }

  #reasonOf(frame: SentFrame, scopeOf: ScopeOf): Kept | undefined {
    if (frame.sampleDrawn) return { why: "SAMPLE", verdictId: "" };
    const known = this.#known.get(frame.deviceId, frame.frameId);
    if (known?.isLabelled) return { why: "LABELLED", verdictId: "" };
    if (known?.isDisagreement) return { why: "DISAGREEMENT", verdictId: "" };
    const verdictId = scopeOf(frame);
    return verdictId === undefined ? undefined : { why: "SCOPE", verdictId };
  }

  #countsOf({ deviceId, receivedAt, label }: SentFrame) {
    const day = this.#days.get(dayKey(deviceId, receivedAt));
    return { frames: day?.frames ?? 0, bytes: day?.bytes ?? 0, ofClass: day?.classes.get(label) ?? 0 };
  }

  #count(deviceId: string, receivedAt: Instant, label: string, bytes: number, by: 1 | -1): void {
    const key = dayKey(deviceId, receivedAt);
    const day = this.#days.get(key) ?? { frames: 0, bytes: 0, classes: new Map<string, number>() };
    this.#days.set(key, day);
    day.frames += by;
    day.bytes += by * bytes;
    day.classes.set(label, (day.classes.get(label) ?? 0) + by);
  }
}

const dayOf = (at: Instant): number => Math.floor(at / DAY_MS);
/** Ids of devices have no spaces. */
const dayKey = (deviceId: string, at: Instant): string => `${deviceId} ${dayOf(at)}`;
