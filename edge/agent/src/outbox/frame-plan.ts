/**
 * Which waiting frame is sent next and which is dropped. Pure: times are arguments, no storage.
 *
 * F1. Lanes drain high (PRIORITY in time), then fresh (in time), then backlog (late, kept only for the random sample);
 *     within a lane in order of capture.
 * F2. A frame past its deadline is sent as a prediction only, unless the random sample drew it.
 * F3. Frames that do not fit are dropped in this order: AMBIGUOUS and the like, then PRIORITY, drawn frames last; among equals
 *     the late before those in time, then the lowest score, then the oldest (G9).
 * F4. Every added frame is returned exactly once: by `expire`, `overflow`, `next` or `remove`.
 */
import type { EscalationReason } from "./rows.ts";

export type WaitingFrame = {
  /** Order of capture. */
  readonly id: number;
  readonly reason: EscalationReason;
  readonly drawn: boolean;
  readonly score: number;
  readonly bytes: number;
  /** On the device's monotonic clock of now, whatever boot the frame is of. */
  readonly expiresAtMs: number;
};

export type Lane = "high" | "fresh" | "backlog";

export class FramePlan {
  readonly #frames = new Map<number, WaitingFrame>();
  #bytes = 0;
  /** No undrawn frame expires before this. */
  #expiryNextMs = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#frames.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(frame: WaitingFrame): void {
    this.#frames.set(frame.id, frame);
    this.#bytes += frame.bytes;
    if (!frame.drawn) this.#expiryNextMs = Math.min(this.#expiryNextMs, frame.expiresAtMs);
  }

  remove(id: number): boolean {
    const frame = this.#frames.get(id);
    if (frame === undefined) return false;
    this.#frames.delete(id);
    this.#bytes -= frame.bytes;
    return true;
  }

  hasExpired(nowMs: number): boolean {
    return nowMs > this.#expiryNextMs;
  }

  expire(nowMs: number): readonly WaitingFrame[] {
    if (!this.hasExpired(nowMs)) return [];
    const expired: WaitingFrame[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const frame of this.#frames.values()) {
      if (frame.drawn) continue;
      if (frame.expiresAtMs < nowMs) expired.push(frame);
      else nextMs = Math.min(nextMs, frame.expiresAtMs);
    }
    this.#expiryNextMs = nextMs;
    for (const frame of expired) this.remove(frame.id);
    return expired;
  }

  /** Frees at least `bytes`, or everything there is. */
  overflow(bytes: number, nowMs: number): readonly WaitingFrame[] {
    if (bytes <= 0 || this.#frames.size === 0) return [];
    const dropped: WaitingFrame[] = [];
    let freed = 0;
    for (const frame of [...this.#frames.values()].sort(byValue(nowMs))) {
      if (freed >= bytes) break;
      freed += frame.bytes;
      dropped.push(frame);
    }
    for (const frame of dropped) this.remove(frame.id);
    return dropped;
  }

  next(nowMs: number): { readonly frame: WaitingFrame; readonly lane: Lane } | undefined {
    let best: WaitingFrame | undefined;
    let bestLane: Lane = "backlog";
    for (const frame of this.#frames.values()) {
      const lane = laneOf(frame, nowMs);
      const isBetter =
        best === undefined || LANE_RANK[lane] < LANE_RANK[bestLane] || (lane === bestLane && frame.id < best.id);
      if (!isBetter) continue;
      best = frame;
      bestLane = lane;
    }
    if (best === undefined) return undefined;
    this.remove(best.id);
    return { frame: best, lane: bestLane };
  }
}

const LANE_RANK: Readonly<Record<Lane, number>> = { high: 0, fresh: 1, backlog: 2 };

export const laneOf = (frame: WaitingFrame, nowMs: number): Lane =>
  frame.expiresAtMs < nowMs ? "backlog" : frame.reason === "PRIORITY" ? "high" : "fresh";

const valueRank = (frame: WaitingFrame): number => (frame.drawn ? 2 : frame.reason === "PRIORITY" ? 1 : 0);

const byValue = (nowMs: number) => (a: WaitingFrame, b: WaitingFrame) =>
  valueRank(a) - valueRank(b) ||
  Number(b.expiresAtMs < nowMs) - Number(a.expiresAtMs < nowMs) ||
  a.score - b.score ||
  a.id - b.id;
