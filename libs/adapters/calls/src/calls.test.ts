import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { ShareBudget } from "./budget.ts";
import { type CallSettings, Calls, callDefaults, type RetryDecision, SimulatedClock, Ticket } from "./index.ts";

type Outcome = {
  readonly code: string;
  readonly again?: boolean | "alone";
  readonly isOfItems?: boolean;
  readonly retryAfterMs?: number;
};
const OK: Outcome = { code: "" };
const fail = (code: string, more: Partial<Outcome> = {}): Outcome => ({ code, again: true, ...more });

/** `serve` gives how long a call takes and its result, by the number of the call. */
function world(
  serve: (call: number, items: readonly number[]) => { readonly ms: number; readonly outcomes: readonly Outcome[] },
  change: Partial<CallSettings> = {},
  isServer = true,
) {
  const clock = new SimulatedClock();
  const made: (readonly number[])[] = [];
  const log: (RetryDecision | string)[] = [];
  const calls = new Calls<number, Outcome>({
    settings: { ...callDefaults, callMsMax: 1_000, costMicrosPerCall: 100, ...change },
    clock,
    random: seededRandom(1),
    isServer,
    invoke: async (items, { signal }) => {
      const { ms, outcomes } = serve(made.push(items), items);
      await clock.sleep(ms, signal);
      return outcomes;
    },
    failing: (outcome) => (outcome.code === "" ? undefined : { again: false, ...outcome }),
    failed: (code, _message, again) => ({ code, again }),
    events: { retry: ({ decision }) => void log.push(decision), circuit: (state) => void log.push(state) },
  });
  const run = async (items: readonly number[], deadlineMs = 900) => {
    const tickets = items.map((item) => new Ticket(item));
    const startedAt = clock.now();
    let endedAt = Number.NaN;
    const signal = new AbortController().signal;
    const outcomes = calls.run(tickets, { deadline: startedAt + deadlineMs, signal }).then((got) => {
      endedAt = clock.now();
      return got;
    });
    await clock.runUntil(startedAt + 5_000);
    return { codes: (await outcomes).map(({ code }) => code), tickets, tookMs: endedAt - startedAt };
  };
  return { run, made, log, calls, clock };
}
const all = (items: readonly number[], outcome: Outcome) => items.map(() => outcome);
/** Successful calls leave budget for retries. */
const warm = async (run: (items: readonly number[]) => Promise<unknown>, calls = 20) => {
  for (let i = 0; i < calls; i++) await run([0]);
};
const lively = { ...callDefaults.retry, windowMs: 1_000_000 };

describe("a call", () => {
  test("ends at its deadline or its own limit, whatever the backend does (calls.ts L1)", async () => {
    const { run } = world((_, items) => ({ ms: 60_000, outcomes: all(items, OK) }));
    expect(await run([1], 300)).toMatchObject({ codes: ["backend-timeout"], tookMs: 300 });
    expect(await run([1], 3_000)).toMatchObject({ codes: ["backend-timeout"], tookMs: 1_000 });
    expect(await run([1], -1)).toMatchObject({ codes: ["backend-timeout"], tookMs: 0 });
  });

  test("that rejects or answers too little is a failure with a name", async () => {
    const { run } = world((call) => {
      if (call === 1) throw new Error("boom");
      return { ms: 1, outcomes: [OK] };
    });
    expect((await run([1, 2])).codes).toEqual(["backend-error", "backend-error"]);
    expect((await run([1, 2])).codes).toEqual(["", "backend-short-answer"]);
  });

  test("shares out its cost to the last micro, again for a retry (calls.ts L6)", async () => {
    const { run } = world((call, items) => ({ ms: 1, outcomes: all(items, call === 21 ? fail("503") : OK) }), {
      retry: lively,
    });
    await warm(run);
    const { tickets, codes } = await run([1, 2, 3]);
    expect(codes).toEqual(["", "", ""]);
    expect(tickets.map(({ attempts }) => attempts)).toEqual([2, 2, 2]);
    expect(tickets.reduce((sum, { costMicros }) => sum + costMicros, 0)).toBe(200);
  });
});

test("items that a server refuses, by whomever they were sent, do not open its circuit for all others (calls.ts L5)", async () => {
  const refused = fail("server-refused", { again: "alone", isOfItems: true });
  const { run, log } = world((_, items) => ({
    ms: 1,
    outcomes: all(items, items.length > 1 && items.includes(13) ? refused : OK),
  }));
  for (let i = 0; i < 40; i++) await run([13, 1, 2, 3]);
  expect(log.filter((entry) => entry === "open")).toEqual([]);
  expect((await run([1, 2, 3])).codes).toEqual(["", "", ""]);
});

describe("a retry", () => {
  test("retries only items that failed and may be retried (calls.ts L2)", async () => {
    const { run, made } = world(
      (call) => ({ ms: 1, outcomes: call === 21 ? [OK, fail("503"), fail("404", { again: false })] : [OK] }),
      { retry: lively },
    );
    await warm(run);
    expect((await run([1, 2, 3])).codes).toEqual(["", "", "404"]);
    expect(made.slice(20)).toEqual([[1, 2, 3], [2]]);
  });

  test("waits as long as the server demands, and is not made when the deadline is nearer (calls.ts L2)", async () => {
    const { run, log } = world(
      (call, items) => ({
        ms: 1,
        outcomes: all(items, call > 20 && call % 2 === 1 ? fail("throttled", { retryAfterMs: 500 }) : OK),
      }),
      { retry: lively },
    );
    await warm(run);
    const patient = await run([1], 900);
    expect(patient.codes).toEqual([""]);
    expect(patient.tookMs).toBeGreaterThanOrEqual(500);
    expect((await run([1], 400)).codes).toEqual(["throttled"]);
    expect(log).toEqual(["made", "deadline-near"]);
  });

  test("does not follow a Retry-After without end, and other calls wait too (calls.ts L4)", async () => {
    const { clock, calls, made } = world(
      (call, items) => ({ ms: 1, outcomes: all(items, call === 1 ? fail("throttled", { retryAfterMs: 1e9 }) : OK) }),
      { retry: { ...lively, retryAfterMsMax: 2_000 } },
    );
    const signal = new AbortController().signal;
    const ask = (deadline: number) => calls.run([new Ticket(1)], { deadline, signal });
    const asked = [ask(100)];
    await clock.runUntil(50);
    asked.push(ask(1_000), ask(2_500));
    await clock.runUntil(3_000);
    expect((await Promise.all(asked)).map(([outcome]) => outcome?.code)).toEqual(["throttled", "throttled", ""]);
    expect(made).toHaveLength(2);
  });

  test("of each alone isolates the item that fails the call; for a server only within the budget (calls.ts L3)", async () => {
    const serve = (_: number, items: readonly number[]) => ({
      ms: 1,
      outcomes: all(items, items.includes(2) ? fail("died", { again: "alone" }) : OK),
    });
    const beside = world(serve, {}, false);
    expect((await beside.run([1, 2, 3])).codes).toEqual(["", "died", ""]);
    expect(beside.made).toEqual([[1, 2, 3], [1], [2], [3]]);
    const server = world(serve, { retry: lively });
    await warm(server.run, 19);
    expect((await server.run([1, 2, 3])).codes).toEqual(["", "died", "died"]);
    expect(server.log).toEqual(["made", "made", "budget-spent"]);
  });
});

describe("the circuit", () => {
  test("opens, lets one probe through after a while, and closes when it succeeds (breaker.ts K1)", async () => {
    let healthy = false;
    const { run, made, calls, log } = world(
      (_, items) => ({ ms: 1, outcomes: all(items, healthy ? OK : fail("503")) }),
      {
        breaker: { ...callDefaults.breaker, openMs: 12_000 }, // a run lasts 5 s here
      },
    );
    for (let i = 0; i < 5; i++) expect((await run([1])).codes).toEqual(["503"]);
    expect(calls.circuit).toBe("open");
    expect((await run([1])).codes).toEqual(["circuit-open"]);
    expect(made).toHaveLength(5);
    await run([1]);
    healthy = true;
    expect((await run([1])).codes).toEqual([""]); // the probe
    expect(calls.circuit).toBe("closed");
    expect(log.filter((entry) => ["open", "half-open", "closed"].includes(entry))).toEqual([
      "open",
      "half-open",
      "closed",
    ]);
  });

  test("is not opened by calls that were given less time than answers take (calls.ts L5)", async () => {
    const { run, calls } = world((_, items) => ({ ms: 100, outcomes: all(items, OK) }));
    await warm(run, 25);
    for (let i = 0; i < 20; i++) expect((await run([1], 50)).codes).toEqual(["backend-timeout"]);
    expect(calls.circuit).toBe("closed");
  });
});

test("a hedge is sent at the live p95, at most in 5 % of calls, and the first answer counts", async () => {
  const random = seededRandom(3);
  const { run, made, calls } = world(
    (_, items) => ({ ms: random() < 0.04 ? 800 : 50 + 10 * random(), outcomes: all(items, OK) }),
    { hedge: { shareMax: 0.05 }, retry: { ...lively, windowMs: 10_000_000 } },
  );
  const took: number[] = [];
  for (let i = 0; i < 600; i++) took.push((await run([1], 900)).tookMs);
  const hedges = made.length - 600;
  expect(hedges).toBeGreaterThan(5);
  expect(hedges).toBeLessThanOrEqual(30);
  expect(took.filter((ms) => ms > 100 && ms < 300).length).toBeGreaterThan(5); // rescued
  expect(calls.circuit).toBe("closed");
});

test.each([1, 2, 3, 4, 5])("seed %i: no window holds more extra calls than its share (budget.ts B1)", (seed) => {
  const random = seededRandom(seed);
  const budget = new ShareBudget({ shareMax: 0.1, windowMs: 1_000 });
  const calls: number[] = [];
  const extra: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 3_000; i++) {
    nowMs += random() < 0.01 ? 3_000 * random() : 20 * random();
    if (random() < 0.6) {
      budget.called(nowMs);
      calls.push(nowMs);
    } else if (budget.take(nowMs)) {
      extra.push(nowMs);
      const fromMs = 100 * (Math.floor(nowMs / 100) - 9); // budget.ts B2
      const within = (times: readonly number[]) => times.filter((t) => t >= fromMs).length;
      expect(within(extra)).toBeLessThanOrEqual(0.1 * within(calls) + 1e-9);
    }
  }
  expect(extra.length).toBeGreaterThan(50);
  expect(extra.length).toBeLessThanOrEqual(0.1 * calls.length);
});
