/**
 * What the call policy does to a server that fails for a while: the policy itself, on a simulated clock, replayable by
 * its seed. The server answers with a log-normal latency; while it is out it fails in one of five ways.
 */
import { type Random, seededRandom } from "@tributary/kernel";
import { Calls, Ticket } from "./calls.ts";
import { type CallSettings, callDefaults } from "./settings.ts";
import { SimulatedClock } from "./simulated-clock.ts";

/** `flapping`: every other call fails; `throttled`: 429 with Retry-After: 1. */
export type Outage = "errors" | "hangs" | "slow" | "flapping" | "throttled";

export type RetryStormOptions = {
  readonly settings?: CallSettings;
  readonly outage: Outage;
  readonly seed: number;
  /** Calls wanted a second, from first to last. */
  readonly perSecond?: number;
  readonly deadlineMs?: number;
  readonly beforeMs?: number;
  readonly outageMs?: number;
  readonly afterMs?: number;
};

export type RetryStorm = {
  readonly wanted: number;
  readonly calls: number;
  readonly retries: number;
  /** Retries per first call, over the whole run. */
  readonly retryShare: number;
  readonly outage: { readonly wanted: number; readonly calls: number; readonly callsPerWanted: number };
  /** Share of the wanted calls that were answered, without those of the outage and a minute of recovery. */
  readonly answeredBefore: number;
  /** From the end of the outage to the first answer; null: none came. */
  readonly recoveredAfterMs: number | null;
  /** The longest time by which a call exceeded its deadline. */
  readonly overdueMsMax: number;
  /** How often the circuit opened. */
  readonly opened: number;
  readonly codes: Readonly<Record<string, number>>;
};

type Answer = { readonly code: string; readonly retryAfterMs?: number };
const ANSWERED: Answer = { code: "" };

export async function retryStorm(options: RetryStormOptions): Promise<RetryStorm> {
  const { settings = callDefaults, outage, seed, perSecond = 50, deadlineMs = 1_500 } = options;
  const { beforeMs = 30_000, outageMs = 60_000, afterMs = 30_000 } = options;
  const out = { fromMs: beforeMs, toMs: beforeMs + outageMs };
  const clock = new SimulatedClock();
  const random = seededRandom(seed);
  const serve = serverOf(outage, out, clock, seededRandom(seed + 1));
  const seen = { wanted: 0, calls: 0, retries: 0, firsts: 0, outWanted: 0, outCalls: 0, before: 0, beforeAnswered: 0 };
  const codes: Record<string, number> = {};
  let [opened, overdueMsMax]: [number, number] = [0, 0];
  let recoveredAfterMs: number | null = null;
  const isOut = (ms: number) => ms >= out.fromMs && ms < out.toMs;

  const calls = new Calls<number, Answer>({
    settings,
    clock,
    random: seededRandom(seed + 2),
    invoke: async (items, { signal }) => {
      seen.calls++;
      if (isOut(clock.monotonicMs())) seen.outCalls++;
      const answer = await serve(signal);
      return items.map(() => answer);
    },
    failing: (answer) => (answer.code === "" ? undefined : { ...answer, again: true }),
    failed: (code) => ({ code }),
    events: {
      retry: ({ decision }) => void (decision === "made" && seen.retries++),
      circuit: (state) => void (state === "open" && opened++),
    },
  });

  const want = async () => {
    const atMs = clock.monotonicMs();
    seen.wanted++;
    if (isOut(atMs)) seen.outWanted++;
    const ticket = new Ticket(seen.wanted);
    const [answer] = await calls.run([ticket], { deadline: atMs + deadlineMs, signal: NEVER });
    const code = answer?.code ?? "none";
    const nowMs = clock.monotonicMs();
    if (ticket.attempts > 0) seen.firsts++;
    codes[code === "" ? "answered" : code] = (codes[code === "" ? "answered" : code] ?? 0) + 1;
    overdueMsMax = Math.max(overdueMsMax, nowMs - atMs - deadlineMs);
    if (nowMs < out.fromMs) {
      seen.before++;
      if (code === "") seen.beforeAnswered++;
    }
    if (code === "" && atMs >= out.toMs) recoveredAfterMs ??= nowMs - out.toMs;
  };

  const endMs = out.toMs + afterMs;
  const source = (async () => {
    while (clock.monotonicMs() < endMs) {
      void want();
      await clock.sleep((-Math.log(1 - random()) * 1_000) / perSecond);
    }
  })();
  await clock.runUntil(endMs + 2 * deadlineMs);
  await source;
  return {
    wanted: seen.wanted,
    calls: seen.calls,
    retries: seen.retries,
    retryShare: seen.retries / seen.firsts,
    outage: { wanted: seen.outWanted, calls: seen.outCalls, callsPerWanted: seen.outCalls / seen.outWanted },
    answeredBefore: seen.beforeAnswered / seen.before,
    recoveredAfterMs,
    overdueMsMax,
    opened,
    codes,
  };
}

const NEVER = new AbortController().signal;

/** One server: usually answers in about 60 ms, and one call in 200 fails also on good days. */
function serverOf(
  outage: Outage,
  out: { readonly fromMs: number; readonly toMs: number },
  clock: SimulatedClock,
  random: Random,
): (signal: AbortSignal) => Promise<Answer> {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const after = async (ms: number, answer: Answer, signal: AbortSignal) => {
    await clock.sleep(ms, signal);
    return answer;
  };
  return (signal) => {
    const nowMs = clock.monotonicMs();
    const latencyMs = 60 * Math.exp(0.4 * normal());
    const bad = nowMs >= out.fromMs && nowMs < out.toMs;
    if (!bad) return after(latencyMs, random() < 0.005 ? { code: "server-error" } : ANSWERED, signal);
    switch (outage) {
      case "errors":
        return after(5, { code: "server-error" }, signal);
      case "hangs":
        return after(3_600_000, ANSWERED, signal);
      case "slow":
        return after(40 * latencyMs, ANSWERED, signal);
      case "flapping":
        return after(latencyMs, random() < 0.5 ? { code: "server-error" } : ANSWERED, signal);
      case "throttled":
        return after(5, { code: "throttled", retryAfterMs: 1_000 }, signal);
      default:
        return outage satisfies never;
    }
  };
}
