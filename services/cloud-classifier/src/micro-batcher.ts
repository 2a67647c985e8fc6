/**
 * Chooses what the backend runs next. Pure: time is an argument, the caller owns the clock and the backend. Deadlines are
 * wall-clock times, waits are monotonic, so a clock that jumps delays nothing.
 *
 * Lanes are served in their order, and a batch holds one lane: no urgent item waits for a batch to fill. A batch leaves when it is full
 * or when its oldest item has waited `waitMs`. Owners, which are devices, have turns in it: each one's first item before anybody's
 * second, in order of arrival. An item whose deadline has passed leaves as expired, not in a batch, unless it is `keepExpired`.
 * Items and bytes are bounded (G9): at the bound an item is shed, unless it is of the high lane or `keepExpired`: those wait.
 */
import type { Instant } from "@tributary/kernel";

const lanes = ["high", "normal"] as const;
export type Lane = (typeof lanes)[number];

export type BatcherLimits = {
  readonly batchMax: number;
  readonly waitMs: number;
  readonly queueFramesMax: number;
  readonly queueBytesMax: number;
};

export type Queued<T> = {
  readonly item: T;
  readonly lane: Lane;
  readonly owner: string;
  readonly bytes: number;
  readonly deadlineAt: Instant;
  /** Samples are classified even late: without them the statistics would be biased. */
  readonly keepExpired: boolean;
  readonly queuedAtMs: number;
};

export type Offer = "queued" | "shed" | "wait";

/** The same moment by both clocks. */
export type Moment = { readonly wall: Instant; readonly monotonicMs: number };

export type Taken<T> = {
  readonly batch: readonly Queued<T>[];
  readonly expired: readonly Queued<T>[];
  /** When to ask again if nothing new arrives; undefined: only when something does. */
  readonly nextAtMs?: number;
};

export class MicroBatcher<T> {
  readonly #limits: BatcherLimits;
  readonly #lanes: Record<Lane, Queued<T>[]> = { high: [], normal: [] };
  #bytes = 0;

  constructor(limits: BatcherLimits) {
    this.#limits = limits;
  }

  get frames(): number {
    return lanes.reduce((sum, lane) => sum + this.#lanes[lane].length, 0);
  }

  get bytes(): number {
    return this.#bytes;
  }

  offer(entry: Queued<T>): Offer {
    const { queueFramesMax, queueBytesMax } = this.#limits;
    // An empty queue takes anything, or one frame above the byte bound would wait forever.
    const full = this.frames >= queueFramesMax || this.#bytes + entry.bytes > queueBytesMax;
    if (full && this.frames > 0) return entry.lane === "high" || entry.keepExpired ? "wait" : "shed";
    this.#lanes[entry.lane].push(entry);
    this.#bytes += entry.bytes;
    return "queued";
  }

  take(now: Moment): Taken<T> {
    const expired = lanes.flatMap((lane) => this.#expire(lane, now.wall));
    const queue = lanes.map((lane) => this.#lanes[lane]).find(({ length }) => length > 0);
    const oldest = queue?.[0];
    if (queue === undefined || oldest === undefined) return { batch: [], expired };
    const dueAtMs = oldest.queuedAtMs + this.#limits.waitMs;
    if (queue.length < this.#limits.batchMax && now.monotonicMs < dueAtMs) {
      return { batch: [], expired, nextAtMs: dueAtMs };
    }
    const batch = inTurns(queue, this.#limits.batchMax);
    const chosen = new Set(batch);
    this.#lanes[oldest.lane] = queue.filter((entry) => !chosen.has(entry));
    return { batch: this.#leave(batch), expired };
  }

  /** Everything, for a shutdown. */
  drain(): readonly Queued<T>[] {
    return this.#leave(lanes.flatMap((lane) => this.#lanes[lane].splice(0)));
  }

  #expire(lane: Lane, now: Instant): readonly Queued<T>[] {
    const expired = this.#lanes[lane].filter((entry) => !entry.keepExpired && entry.deadlineAt <= now);
    if (expired.length > 0) this.#lanes[lane] = this.#lanes[lane].filter((entry) => !expired.includes(entry));
    return this.#leave(expired);
  }

  #leave(entries: readonly Queued<T>[]): readonly Queued<T>[] {
    for (const entry of entries) this.#bytes -= entry.bytes;
    return entries;
  }
}

/** The first `max` by how many of their owner's precede them, then by arrival; the oldest is always among them. */
function inTurns<T>(queue: readonly Queued<T>[], max: number): readonly Queued<T>[] {
  const counts = new Map<string, number>();
  const turns = queue.map((entry) => {
    const turn = counts.get(entry.owner) ?? 0;
    counts.set(entry.owner, turn + 1);
    return { entry, turn };
  });
  return turns
    .sort((a, b) => a.turn - b.turn)
    .slice(0, max)
    .map(({ entry }) => entry);
}
