/**
 * The time until which a member of a consumer group owns its partitions.
 *
 * The coordinator gives a member up when it has received no heartbeat for the session's length. So a member is safe for
 * that long after it *sent* the last heartbeat that was acknowledged; when the answer is read does not count, as a process
 * that was paused reads old answers late. The lease ends earlier than the session, by the margin below.
 *
 * A lease only decides when to stop. Kafka refuses what is written after it: fenced-sink.ts. */
import { type Clock, systemClock } from "@tributary/kernel";

const MARGIN = 0.8;

export class Lease {
  readonly #clock: Clock;
  readonly leaseMs: number;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #heldUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly sessionMs?: number; readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.sessionMs = options.sessionMs ?? 10_000;
    this.leaseMs = this.sessionMs * MARGIN;
  }

  readonly sessionMs: number;

  get isHeld(): boolean {
    return this.#clock.monotonicMs() < this.#heldUntilMs;
  }

  /** A request that renews the session was answered `tookMs` after it was sent. */
  answered(tookMs: number): void {
    this.#sentAtMs = this.#clock.monotonicMs() - Math.max(0, tookMs);
  }

  /** That answer confirmed that we are a member. */
  renew(): void {
    this.#heldUntilMs = this.#sentAtMs + this.leaseMs;
  }

  /** We are no member any more. */
  end(): void {
    this.#heldUntilMs = Number.NEGATIVE_INFINITY;
    this.#sentAtMs = Number.NEGATIVE_INFINITY;
  }
}
