/**
 * JSON over HTTP with the services that trainings involve: schedulers and MLflow.
 *
 * Time, attempts and sizes of each exchange are bounded by libs/adapters/calls (G9). An answer has any status that a retry would
 * not change; `okJson` is for callers for whom only success will do.
 *
 * J1. Only an exchange that `repeats` is sent again after a failure that leaves open whether the server did it. */
import { Calls, callDefaults, HttpCaller, type HttpRequest, problemOf, Ticket } from "@tributary/calls";
import { type Clock, Failure, type Random } from "@tributary/kernel";

export type JsonExchange = {
  readonly method: HttpRequest["method"];
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; bytes as they are. */
  readonly body?: unknown;
  readonly repeats: boolean;
};

export type JsonAnswer = {
  readonly status: number;
  readonly text: string;
  /** Undefined: the body is not JSON. */
  readonly json: unknown;
  readonly of: string;
};

export type JsonHttpOptions = {
  readonly clock: Clock;
  readonly random: Random;
  readonly callMsMax: number;
};

type Outcome =
  | { readonly kind: "answer"; readonly answer: JsonAnswer }
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      readonly again: boolean;
      readonly retryAfterMs?: number | undefined;
    };
type Origin = { readonly calls: Calls<JsonExchange, Outcome> };

const BODY_BYTES_MAX = 8 << 20;
const ATTEMPTS_MAX = 3;

export class JsonHttp {
  readonly #options: JsonHttpOptions;
  readonly #origins = new Map<string, Origin>();

  constructor(options: JsonHttpOptions) {
    this.#options = options;
  }

  async send(exchange: JsonExchange, signal: AbortSignal): Promise<JsonAnswer> {
    const { clock, callMsMax } = this.#options;
    const { origin } = new URL(exchange.url);
    const { calls } = this.#origins.get(origin) ?? this.#opened(origin);
    const deadline = clock.now() + ATTEMPTS_MAX * callMsMax;
    const [outcome] = await calls.run([new Ticket(exchange)], { deadline, signal });
    if (outcome?.kind === "answer") return outcome.answer;
    const { code = "server-unreachable", message = "", again = true } = outcome ?? {};
    throw new Failure(code, again || UNCERTAIN.has(code) ? "retry" : "ask-a-person", message);
  }

  #opened(origin: string): Origin {
    const { clock, random, callMsMax } = this.#options;
    const caller = new HttpCaller({ url: origin, headers: {}, bodyBytesMax: BODY_BYTES_MAX });
    const calls = new Calls<JsonExchange, Outcome>({
      settings: {
        ...callDefaults,
        callMsMax,
        // A few calls a minute: a share of them would be no retry at all.
        retry: { ...callDefaults.retry, attemptsMax: ATTEMPTS_MAX, shareMax: ATTEMPTS_MAX, waitMsMin: 200 },
      },
      clock,
      random,
      invoke: async ([exchange], { deadline, signal }) => {
        if (exchange === undefined) return [];
        return [await this.#exchanged(caller, exchange, { ms: deadline - clock.now(), signal })];
      },
      failing: (outcome) => (outcome.kind === "failed" ? outcome : undefined),
      failed: (code, message, again) => ({ kind: "failed", code, message: `${origin}: ${message}`, again }),
    });
    const opened = { calls };
    this.#origins.set(origin, opened);
    return opened;
  }

  async #exchanged(
    caller: HttpCaller,
    exchange: JsonExchange,
    limits: { readonly ms: number; readonly signal: AbortSignal },
  ): Promise<Outcome> {
    const { method, url, headers, body, repeats } = exchange;
    const { pathname, search } = new URL(url);
    const bytes = body === undefined || body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    const type: Readonly<Record<string, string>> =
      body === undefined || body instanceof Uint8Array ? {} : { "content-type": "application/json" };
    const request = { method, path: pathname + search, headers: { accept: "application/json", ...type, ...headers } };
    try {
      const answer = await caller.call({ ...request, ...(bytes !== undefined && { body: bytes }) }, limits);
      const of = `${method} ${new URL(url).origin}${pathname}`;
      const problem = problemOf(answer, this.#options.clock.now());
      if (problem?.again) return { kind: "failed", ...problem, message: `${of}: ${problem.message}`, again: repeats };
      const text = answer.body.toString("utf8");
      return { kind: "answer", answer: { status: answer.status, text, json: jsonOf(text), of } };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // J1. The message has no query, which may name a secret.
      const message = error.message.replace(/\?[^ ]*/, "");
      return { kind: "failed", code: error.code, message, again: repeats && error.advice === "retry" };
    }
  }
}

/** Failures after which the same call may do, though nothing was sent again here (J1). */
const UNCERTAIN = new Set([
  "server-timeout",
  "server-unreachable",
  "server-busy",
  "server-unavailable",
  "server-error",
  "answer-cut",
  "backend-timeout",
  "call-aborted",
  "call-cancelled",
]);

/** The JSON of a successful answer; throws what any other says. */
export function okJson(answer: JsonAnswer): unknown {
  const { status, text, json, of } = answer;
  if (status < 200 || status > 299) {
    const excerpt = text.slice(0, 300).replace(/\s+/g, " ").trim().slice(0, 200);
    const code = status === 401 || status === 403 ? "server-forbidden" : "server-refused";
    throw new Failure(code, "ask-a-person", `${of}: HTTP ${status}: ${excerpt}`);
  }
  if (json === undefined) throw new Failure("server-malformed", "ask-a-person", `${of}: the answer is not JSON`);
  return json;
}

/** The value at a path as `state` or `runs.0.run_id`; undefined: there is none. */
export function valueAt(json: unknown, path: string): unknown {
  let value = json;
  for (const key of path.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return value;
}

function jsonOf(text: string): unknown {
  try {
    return text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
}
