/**
 * Calls of a remote backend: time limits, retries, budget, circuit breaker, hedges.
 *
 * L1. `run` gives an outcome for every ticket and does not reject. It ends at its deadline, whatever the backend does.
 * L2. Items whose call failed and may be retried are retried together, after a jittered wait or the server's
 *     Retry-After, if deadline, budget and circuit leave room. Otherwise the failure stands.
 * L3. `alone`: each item is retried once by itself, so that the one that fails the call does not fail the others. These
 *     calls need the budget too, unless the backend is a local process.
 * L4. During a server's Retry-After it is not called: items wait if their deadline allows, and fail otherwise.
 * L5. A call counts as a failure for the circuit when none of its items got through, unless it was given less time than answers
 *     usually take, or the server is healthy and only refuses the call's items.
 * L6. Every call's cost is shared out among its tickets to the last micro, when it is made.
 */
import { backoffMs, type Clock, type Instant, invariant, linkedSignal, type Random, reasonOf } from "@tributary/kernel";
import { CircuitBreaker, type CircuitState, type Made } from "./breaker.ts";
import { ShareBudget } from "./budget.ts";
import { Latencies } from "./latencies.ts";
import type { CallSettings } from "./settings.ts";

/** One item of a call. */
export class Ticket<T> {
  readonly input: T;
  /** Calls it was part of, and its share of what they cost. */
  attempts = 0;
  costMicros = 0;
  /** The caller gave up: it is not retried. */
  settled = false;

  constructor(input: T) {
    this.input = input;
  }
}

/** The properties of a failed outcome that `run` needs. */
export type Failing = {
  readonly code: string;
  readonly again: boolean | "alone";
  /** The server is healthy: it refuses the call for one of its items. */
  readonly isOfItems?: boolean | undefined;
  readonly retryAfterMs?: number | undefined;
};

export type RetryDecision = "made" | "budget-spent" | "attempts-spent" | "deadline-near" | "circuit-open";

export type CallLimits = { readonly deadline: Instant; readonly signal: AbortSignal };

export type CallOptions<T, O> = {
  readonly settings: CallSettings;
  readonly clock: Clock;
  readonly random: Random;
  /** False: a local process, which retries cannot overload further. True by default. */
  readonly isServer?: boolean;
  readonly invoke: (items: readonly T[], limits: CallLimits) => Promise<readonly O[]>;
  /** Undefined: the outcome is no failure of the backend's. */
  readonly failing: (outcome: O) => Failing | undefined;
  readonly failed: (code: string, message: string, again: boolean) => O;
  readonly events?: {
    called?(event: {
      readonly items: number;
      readonly ms: number;
      readonly code: string;
      readonly hedge: boolean;
    }): void;
    retry?(event: { readonly decision: RetryDecision; readonly code: string; readonly items: number }): void;
    circuit?(state: CircuitState): void;
  };
};

export class Calls<T, O> {
  readonly #options: CallOptions<T, O>;
  readonly #breaker: CircuitBreaker;
  readonly #retries: ShareBudget;
  readonly #hedges: ShareBudget;
  readonly #latencies = new Latencies();
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: CallOptions<T, O>) {
    this.#options = options;
    const { settings, clock, events } = options;
    this.#breaker = new CircuitBreaker(settings.breaker, clock, (state) => events?.circuit?.(state));
    this.#retries = new ShareBudget(settings.retry);
    this.#hedges = new ShareBudget({ ...settings.hedge, windowMs: settings.retry.windowMs });
  }

  get circuit(): CircuitState {
    return this.#breaker.state;
  }

  async run(tickets: readonly Ticket<T>[], limits: CallLimits): Promise<readonly O[]> {
    const outcomes = new Map<Ticket<T>, O>();
    let open = tickets;
    for (let attempt = 1; ; attempt++) {
      const got = await this.#call(open, limits, attempt === 1);
      for (const [i, ticket] of open.entries()) {
        // A retry that was not made leaves the failure that asked for it.
        const made = got.made || !outcomes.has(ticket);
        if (made) outcomes.set(ticket, got.outcomes[i] ?? this.#short());
      }
      const failing = open.flatMap((ticket) => {
        const failure = ticket.settled ? undefined : this.#options.failing(outcomes.get(ticket) as O);
        return failure === undefined || failure.again === false ? [] : [{ ticket, ...failure }];
      });
      if (failing.length === 0 || !got.made || limits.signal.aborted) break;
      const alone = failing.filter(({ again }) => again === "alone");
      await this.#eachAlone(alone, outcomes, limits);
      const together = failing.filter(({ again }) => again === true);
      if (together.length === 0 || !(await this.#mayRetry(together, attempt, limits))) break;
      open = together.map(({ ticket }) => ticket);
    }
    return tickets.map((ticket) => outcomes.get(ticket) as O);
  }

  async #eachAlone(
    failing: readonly FailingTicket<T>[],
    outcomes: Map<Ticket<T>, O>,
    limits: CallLimits,
  ): Promise<void> {
    const { isServer = true } = this.#options;
    for (const { ticket, code } of failing) {
      if (ticket.settled || limits.signal.aborted) continue;
      if (isServer && !this.#decided(this.#affordable(), code, 1)) continue;
      const { made, outcomes: got } = await this.#call([ticket], limits, false);
      if (made) outcomes.set(ticket, got[0] ?? this.#short());
    }
  }

  /** L2. Waits before it returns true. */
  async #mayRetry(failing: readonly Failing[], attempt: number, { deadline, signal }: CallLimits): Promise<boolean> {
    const { clock, random, settings } = this.#options;
    const { attemptsMax, waitMsMin: minMs, waitMsMax: maxMs } = settings.retry;
    const quietMs = this.#quietUntilMs - clock.monotonicMs();
    const waitMs = Math.max(quietMs, backoffMs({ minMs, maxMs }, attempt, random));
    const decide = (): RetryDecision => {
      if (attempt >= attemptsMax) return "attempts-spent";
      if (clock.now() + waitMs >= deadline) return "deadline-near";
      return this.#affordable();
    };
    if (!this.#decided(decide(), failing[0]?.code ?? "", failing.length)) return false;
    return clock.sleep(waitMs, signal).then(
      () => true,
      () => false,
    );
  }

  #affordable(): RetryDecision {
    if (this.#breaker.state !== "closed") return "circuit-open";
    return this.#retries.take(this.#options.clock.monotonicMs()) ? "made" : "budget-spent";
  }

  #decided(decision: RetryDecision, code: string, items: number): boolean {
    this.#options.events?.retry?.({ decision, code, items });
    return decision === "made";
  }

  async #call(
    tickets: readonly Ticket<T>[],
    limits: CallLimits,
    first: boolean,
  ): Promise<{ readonly made: boolean; readonly outcomes: readonly O[] }> {
    const refused = (code: string, message: string) => ({
      made: false,
      outcomes: tickets.map(() => this.#options.failed(code, message, true)),
    });
    if (!(await this.#quietIsOver(limits))) return refused("throttled", "the server wants to be left alone");
    const outcomes = await this.#breaker.through(() => this.#attempt(tickets, limits, first));
    return outcomes === undefined ? refused("circuit-open", "too many calls have failed") : { made: true, outcomes };
  }

  async #quietIsOver({ deadline, signal }: CallLimits): Promise<boolean> {
    const { clock } = this.#options;
    for (;;) {
      const waitMs = this.#quietUntilMs - clock.monotonicMs();
      if (waitMs <= 0) return true;
      if (clock.now() + waitMs >= deadline) return false;
      const woken = await clock.sleep(waitMs, signal).then(
        () => true,
        () => false,
      );
      if (!woken) return false;
    }
  }

  async #attempt(tickets: readonly Ticket<T>[], limits: CallLimits, first: boolean): Promise<Made<readonly O[]>> {
    const { clock, settings } = this.#options;
    if (first) this.#retries.called(clock.monotonicMs());
    if (first) this.#hedges.called(clock.monotonicMs());
    const usualMs = this.#latencies.quantile(0.95);
    const isHedged = settings.hedge.shareMax > 0 && usualMs !== undefined;
    const made = isHedged ? this.#hedged(usualMs, tickets, limits) : this.#timed(tickets, limits, false);
    const { outcomes, givenMs, code, isOfItems } = await made;
    const unfair = this.#breaker.state === "closed" && code.endsWith("-timeout") && givenMs < (usualMs ?? 0);
    return { value: outcomes, failed: code !== "" && !unfair && !isOfItems };
  }

  /** The first of two calls that succeeds; the other is given up. */
  async #hedged(afterMs: number, tickets: readonly Ticket<T>[], limits: CallLimits): Promise<Timed<O>> {
    const { clock } = this.#options;
    const both = linkedSignal(limits.signal);
    const waited = linkedSignal(both.signal);
    try {
      const main = this.#timed(tickets, { ...limits, signal: both.signal }, false);
      const slow = clock.sleep(afterMs, waited.signal).catch(() => {});
      const early = await Promise.race([main, slow]);
      if (early !== undefined || limits.signal.aborted || this.#breaker.state !== "closed") return await main;
      if (!this.#hedges.take(clock.monotonicMs())) return await main;
      const second = this.#timed(tickets, { ...limits, signal: both.signal }, true);
      const winner = await Promise.race([main, second]);
      if (winner.code === "") return winner;
      return winner === (await main) ? await second : await main;
    } finally {
      for (const link of [waited, both]) {
        link.abort();
        link.unlink();
      }
    }
  }

  /** One call with its time limit. */
  async #timed(tickets: readonly Ticket<T>[], limits: CallLimits, hedge: boolean): Promise<Timed<O>> {
    const { clock, settings, invoke, failed, events } = this.#options;
    const givenMs = Math.min(settings.callMsMax, limits.deadline - clock.now());
    const all = (code: string, message: string, again: boolean) => tickets.map(() => failed(code, message, again));
    if (givenMs <= 0) {
      return { outcomes: all(TIMEOUT, "no time is left for a call", false), givenMs, code: TIMEOUT, isOfItems: false };
    }
    this.#charge(tickets);
    const over = linkedSignal(limits.signal);
    const { signal } = over;
    const since = clock.monotonicMs();
    const deadline = clock.now() + givenMs;
    const late = clock.sleep(givenMs, signal).then(
      () => TIMEOUT,
      () => ABORTED,
    );
    const inputs = tickets.map(({ input }) => input);
    const answer = invoke(inputs, { deadline, signal }).catch((error) => all("backend-error", reasonOf(error), true));
    const first = await Promise.race([answer, late]);
    over.abort();
    over.unlink();
    const outcomes =
      typeof first === "string" ? all(first, `after ${Math.round(givenMs)} ms`, first === TIMEOUT) : first;
    const ms = clock.monotonicMs() - since;
    const { code, isOfItems } = this.#judge(tickets, outcomes);
    if (code === "") this.#latencies.record(ms);
    events?.called?.({ items: tickets.length, ms, code, hedge });
    return { outcomes, givenMs, code, isOfItems };
  }

  /** The code of a call none of whose items got through; empty otherwise. */
  #judge(
    tickets: readonly Ticket<T>[],
    outcomes: readonly O[],
  ): { readonly code: string; readonly isOfItems: boolean } {
    const { failing, clock, settings } = this.#options;
    const failures = tickets.map((_, i) => failing(outcomes[i] ?? this.#short()));
    for (const failure of failures) {
      if (failure?.retryAfterMs === undefined) continue;
      const quietMs = Math.min(Math.max(0, failure.retryAfterMs), settings.retry.retryAfterMsMax);
      this.#quietUntilMs = Math.max(this.#quietUntilMs, clock.monotonicMs() + quietMs);
    }
    const isOfItems = failures.some((failure) => failure?.isOfItems === true);
    return { code: failures.every((failure) => failure !== undefined) ? (failures[0]?.code ?? "") : "", isOfItems };
  }

  #charge(tickets: readonly Ticket<T>[]): void {
    invariant(tickets.length > 0, "a call holds something");
    const { costMicrosPerCall } = this.#options.settings;
    const each = Math.floor(costMicrosPerCall / tickets.length);
    const over = costMicrosPerCall - each * tickets.length;
    for (const [i, ticket] of tickets.entries()) {
      ticket.attempts++;
      ticket.costMicros += i < over ? each + 1 : each;
    }
  }

  #short(): O {
    return this.#options.failed("backend-short-answer", "the backend gave fewer outcomes than items", false);
  }
}

type FailingTicket<T> = Failing & { readonly ticket: Ticket<T> };
type Timed<O> = {
  readonly outcomes: readonly O[];
  readonly givenMs: number;
  readonly code: string;
  readonly isOfItems: boolean;
};

const TIMEOUT = "backend-timeout";
const ABORTED = "call-aborted";
