/**
 * cockatiel's circuit breaker on an injected clock.
 *
 * Every probe that fails doubles how long the circuit stays open, up to `openMsMax`.
 *
 * K1. Closed: every call is made. Open: none is. After `openMs` one call probes; while it does, and when it fails, the others
 *     are refused at once instead of waiting for it. */

import type { Clock } from "@tributary/kernel";
import {
  type CircuitBreakerPolicy,
  CountBreaker,
  circuitBreaker,
  handleWhenResult,
  type IBackoff,
  isBrokenCircuitError,
  CircuitState as State,
} from "cockatiel";
import type { CallSettings } from "./settings.ts";

export type CircuitState = "closed" | "open" | "half-open";

export class CircuitBreaker {
  readonly #policy: CircuitBreakerPolicy;

  constructor(settings: CallSettings["breaker"], clock: Clock, onState: (state: CircuitState) => void = () => {}) {
    this.#policy = circuitBreaker(
      handleWhenResult((result) => (result as Made<unknown>).failed),
      {
        breaker: new CountBreaker({
          threshold: settings.failureShareMax,
          size: settings.callsSeen,
          minimumNumberOfCalls: settings.callsMin,
        }),
        halfOpenAfter: { next: () => new ClockedBackoff(clock, settings.openMs, settings.openMsMax) },
      },
    );
    this.#policy.onStateChange((state) => onState(nameOf(state)));
  }

  get state(): CircuitState {
    return nameOf(this.#policy.state);
  }

  /** Undefined: refused. `call` must not reject. */
  async through<T>(call: () => Promise<Made<T>>): Promise<T | undefined> {
    if (this.#policy.state === State.HalfOpen) return undefined;
    try {
      return (await this.#policy.execute(call)).value;
    } catch (error) {
      if (isBrokenCircuitError(error)) return undefined;
      throw error;
    }
  }
}

export type Made<T> = { readonly value: T; readonly failed: boolean };

const nameOf = (state: State): CircuitState =>
  state === State.Closed ? "closed" : state === State.HalfOpen ? "half-open" : "open";

/** cockatiel compares a duration with the wall clock, which jumps; this one is over by our clock. */
class ClockedBackoff implements IBackoff<unknown> {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #msMax: number;
  readonly #untilMs: number;

  constructor(clock: Clock, ms: number, msMax: number) {
    this.#clock = clock;
    this.#ms = ms;
    this.#msMax = msMax;
    this.#untilMs = clock.monotonicMs() + ms;
  }

  get duration(): number {
    return this.#clock.monotonicMs() >= this.#untilMs ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  next(): ClockedBackoff {
    return new ClockedBackoff(this.#clock, Math.min(2 * this.#ms, this.#msMax), this.#msMax);
  }
}
