/**
 * One HTTP exchange with a server: a request goes out, the whole response or a `Failure` comes back.
 *
 * It repeats nothing; the caller's policy decides about retries by the failure's code. An exchange ends at its time limit or
 * when its signal aborts, whatever the server does. A response is read up to `bodyBytesMax` (G9), and a truncated one is a
 * failure.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { Failure, type Instant, reasonOf } from "@tributary/kernel";

export type HttpRequest = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path below the server's URL, with a leading slash. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
};

export type HttpAnswer = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
};

export type HttpCallerOptions = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytesMax?: number;
};

const BODY_BYTES_MAX = 64 << 20;
/** Shorter than most servers' keep-alive: a request on a connection that the server is closing would fail for no reason. */
const IDLE_MS_MAX = 4_000;

export class HttpCaller {
  readonly #options: HttpCallerOptions;
  readonly #agent: HttpAgent;
  readonly #request: typeof httpRequest;

  constructor(options: HttpCallerOptions) {
    this.#options = options;
    const isSecure = options.url.startsWith("https:");
    const kept = { keepAlive: true, timeout: IDLE_MS_MAX, scheduling: "lifo" } as const;
    this.#agent = isSecure ? new HttpsAgent(kept) : new HttpAgent(kept);
    this.#request = isSecure ? httpsRequest : httpRequest;
  }

  /** Rejects with a `Failure` without a complete response; any status is a response. */
  call(request: HttpRequest, limits: { readonly ms: number; readonly signal: AbortSignal }): Promise<HttpAnswer> {
    const { url, headers, bodyBytesMax = BODY_BYTES_MAX } = this.#options;
    const { ms, signal } = limits;
    const { method, path, body } = request;
    const length = body === undefined ? {} : { "content-length": String(body.length) };
    return new Promise((resolve, reject) => {
      const sent = this.#request(`${url}${path}`, {
        method,
        agent: this.#agent,
        headers: { ...headers, ...request.headers, ...length },
      });
      const end = (failure: Failure | null, answer?: HttpAnswer) => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        if (failure === null) return resolve(answer as HttpAnswer);
        reject(failure);
        sent.destroy();
      };
      const fail = (code: string, message: string, advice: "retry" | "give-up" = "retry") =>
        end(new Failure(code, advice, `${method} ${url}${path}: ${message}`));
      const onAbort = () => fail("call-cancelled", "cancelled", "give-up");
      const timer = setTimeout(() => fail("server-timeout", `no answer in ${ms.toFixed(0)} ms`), ms);
      sent.on("error", (error) => fail("server-unreachable", reasonOf(error)));
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      // The agent's limit is for idle connections; during a call, its own timer counts.
      sent.setTimeout(0);
      sent.on("response", (response: IncomingMessage) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > bodyBytesMax) return fail("answer-too-large", `more than ${bodyBytesMax} bytes`, "give-up");
          chunks.push(chunk);
        });
        response.on("error", (error) => fail("answer-cut", `${reasonOf(error)} after ${bytes} bytes`));
        response.on("end", () => {
          if (!response.complete) return fail("answer-cut", `it ended after ${bytes} bytes`);
          const { statusCode = 0, headers } = response;
          end(null, {
            status: statusCode,
            headers,
            body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks),
          });
        });
      });
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

export type HttpProblem = {
  readonly code: string;
  readonly message: string;
  readonly again: boolean;
  readonly retryAfterMs?: number;
};

/** The problem that a response's status reports; null: none. */
export function problemOf({ status, headers, body }: HttpAnswer, now: Instant): HttpProblem | null {
  if (status >= 200 && status <= 299) return null;
  const message = `HTTP ${status}: ${excerptOf(body)}`;
  const wait = retryAfterMs(headers["retry-after"], now);
  const busy = wait === undefined ? {} : { retryAfterMs: wait };
  if (status === 429) return { code: "server-busy", message, again: true, ...busy };
  if (status === 503) return { code: "server-unavailable", message, again: true, ...busy };
  if (status >= 500) return { code: "server-error", message, again: true };
  if (status === 401 || status === 403) return { code: "server-forbidden", message, again: false };
  if (status === 404) return { code: "server-model-unknown", message, again: false };
  return { code: "server-refused", message, again: status === 408 };
}

/** Seconds or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(header: string | undefined, now: Instant): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/** The beginning of a body as one line of text. */
const excerptOf = (body: Buffer): string => body.toString("utf8", 0, 300).replace(/\s+/g, " ").trim().slice(0, 200);
