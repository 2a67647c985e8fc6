/**
 * What the archive holds, by what stands in frames.archive.v1: every instance follows all of it, so that any can answer.
 *
 * I1. A frame is in the archive while it is here: what expires, and the oldest beyond `framesMax`, leave it, and their pictures
 *     are then swept. A picture is named by as many frames as have its digest.
 * I2. One device has at most its share of the frames and bytes, so that nobody else's are refused or forgotten for it.
 */
import type { ArchivedFramePage, ArchivedFrameQuery, ArchivedFrameView } from "@tributary/api";
import type { ArchivedFrame, GroundTruth } from "@tributary/contracts";
import { Failure, formatFrameId, type Instant, Oldest } from "@tributary/kernel";

export type ArchiveIndexOptions = {
  readonly framesMax: number;
  readonly bytesTotalMax: number;
  readonly deviceShareMax: number;
  readonly labelsMax: number;
};

type Totals = { frames: number; bytes: number };
type Label = Pick<GroundTruth, "label" | "source" | "labelledBy" | "labelledAt">;

const EXPIRED_MAX = 100_000;

export class ArchiveIndex {
  readonly #options: ArchiveIndexOptions;
  /** Those that were archived first are first. */
  readonly #frames = new Map<string, ArchivedFrame>();
  readonly #oldestFrames = new Oldest(this.#frames);
  readonly #expired = new Set<string>();
  readonly #oldestExpired = new Oldest(this.#expired);
  readonly #labels = new Map<string, Label>();
  readonly #oldestLabels = new Oldest(this.#labels);
  readonly #ofDevice = new Map<string, Totals>();
  readonly #naming = new Map<string, number>();
  #bytesTotal = 0;
  #sorted: readonly (readonly [frameId: string, frame: ArchivedFrame])[] | undefined;

  constructor(options: ArchiveIndexOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#frames.size;
  }

  get bytesTotal(): number {
    return this.#bytesTotal;
  }

  archived(frame: ArchivedFrame, now: Instant): void {
    const frameId = formatFrameId(frame);
    this.#sorted = undefined;
    const before = this.#frames.get(frameId);
    if (before !== undefined) this.#count(before, -1);
    if (frame.expiresAt <= now) {
      this.#frames.delete(frameId);
      this.#expire(frameId);
      return;
    }
    this.#frames.set(frameId, frame);
    this.#count(frame, 1);
    const oldest = this.#oldestFrames.beyond(this.#options.framesMax);
    if (oldest !== undefined) this.#forget(oldest, this.#frames.get(oldest) as ArchivedFrame); // I1
  }

  labelled(truth: GroundTruth): void {
    const frameId = formatFrameId(truth);
    const { label, source, labelledBy, labelledAt } = truth;
    this.#labels.delete(frameId);
    this.#labels.set(frameId, { label, source, labelledBy, labelledAt });
    this.#oldestLabels.trim(this.#options.labelsMax);
  }

  /** Why a frame has no room; undefined: it has. */
  refusal(deviceId: string, bytes: number): "archive-full" | "device-share" | undefined {
    const { bytesTotalMax, framesMax, deviceShareMax } = this.#options;
    const own = this.#ofDevice.get(deviceId) ?? { frames: 0, bytes: 0 };
    if (own.bytes + bytes > deviceShareMax * bytesTotalMax) return "device-share"; // I2
    if (own.frames >= Math.max(1, deviceShareMax * framesMax)) return "device-share";
    return this.#bytesTotal + bytes > bytesTotalMax ? "archive-full" : undefined;
  }

  isNamed(digest: string): boolean {
    return this.#naming.has(digest);
  }

  prune(now: Instant): void {
    for (const [frameId, frame] of this.#frames) if (frame.expiresAt <= now) this.#forget(frameId, frame);
  }

  find(frameId: string, now: Instant): ArchivedFrame | "expired" | undefined {
    const frame = this.#frames.get(frameId);
    if (frame !== undefined) return frame.expiresAt > now ? frame : "expired";
    return this.#expired.has(frameId) ? "expired" : undefined;
  }

  /** Those that were received last are first. */
  list(query: ArchivedFrameQuery, now: Instant): ArchivedFramePage {
    const sorted = this.#newestFirst();
    let at = query.after === undefined ? 0 : placeAfter(sorted, cursorOf(query.after));
    const items: ArchivedFrameView[] = [];
    let last: string | null = null;
    for (; at < sorted.length; at++) {
      const [frameId, frame] = sorted[at] as (typeof sorted)[number];
      const label = this.#labels.get(frameId);
      if (frame.expiresAt <= now || !matches(query, frame, label)) continue;
      if (items.length === query.limit) return { items, next: last };
      items.push(viewOf(frameId, frame, label));
      last = `${frame.receivedAt}:${frameId}`;
    }
    return { items, next: null };
  }

  #newestFirst() {
    this.#sorted ??= [...this.#frames].sort(([a, one], [b, other]) => inOrder(one.receivedAt, a, other.receivedAt, b));
    return this.#sorted;
  }

  #forget(frameId: string, frame: ArchivedFrame): void {
    this.#frames.delete(frameId);
    this.#count(frame, -1);
    this.#sorted = undefined;
    this.#expire(frameId);
  }

  #expire(frameId: string): void {
    this.#expired.add(frameId);
    this.#oldestExpired.trim(EXPIRED_MAX);
  }

  #count({ deviceId, digest, bytes }: ArchivedFrame, by: 1 | -1): void {
    const own = this.#ofDevice.get(deviceId) ?? { frames: 0, bytes: 0 };
    own.frames += by;
    own.bytes += by * bytes;
    if (own.frames > 0) this.#ofDevice.set(deviceId, own);
    else this.#ofDevice.delete(deviceId);
    this.#bytesTotal += by * bytes;
    const naming = (this.#naming.get(digest) ?? 0) + by;
    if (naming > 0) this.#naming.set(digest, naming);
    else this.#naming.delete(digest);
  }
}

const inOrder = (at: Instant, id: string, otherAt: Instant, otherId: string): number =>
  otherAt - at || (id < otherId ? -1 : id > otherId ? 1 : 0);

type Cursor = { readonly at: Instant; readonly frameId: string };

function cursorOf(after: string): Cursor {
  const [, at, frameId] = /^(\d{1,15}):(.+)$/.exec(after) ?? [];
  if (at !== undefined && frameId !== undefined) return { at: Number(at), frameId };
  throw new Failure("after-malformed", "give-up", `"${after.slice(0, 100)}" is not \`next\` of a page`);
}

/** The first place behind the cursor, whose own frame may be gone by now. */
function placeAfter(sorted: readonly (readonly [string, ArchivedFrame])[], { at, frameId }: Cursor): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const [id, frame] = sorted[middle] as readonly [string, ArchivedFrame];
    if (inOrder(frame.receivedAt, id, at, frameId) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function matches(query: ArchivedFrameQuery, frame: ArchivedFrame, label: Label | undefined): boolean {
  const { device, site, why, since, until, sampleDrawn, labelled } = query;
  return (
    (device === undefined || frame.deviceId === device) &&
    (site === undefined || frame.site === site) &&
    (why === undefined || frame.why === why) &&
    (since === undefined || frame.receivedAt >= Date.parse(since)) &&
    (until === undefined || frame.receivedAt < Date.parse(until)) &&
    (sampleDrawn === undefined || frame.sampleDrawn === (sampleDrawn === "true")) &&
    (labelled === undefined || (typeof label?.label === "string") === (labelled === "true"))
  );
}

const isoOf = (at: Instant): string => new Date(at).toISOString();

const viewOf = (frameId: string, frame: ArchivedFrame, label: Label | undefined): ArchivedFrameView => ({
  ...frame,
  frameId,
  bootId: `${frame.bootId}`,
  frameSeq: `${frame.frameSeq}`,
  receivedAt: isoOf(frame.receivedAt),
  expiresAt: isoOf(frame.expiresAt),
  label: label === undefined ? null : { ...label, labelledAt: isoOf(label.labelledAt) },
});
