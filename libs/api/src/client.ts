/**
 * A client of an API whose routes are given: one function for each, under its name in the table, that takes path parameters,
 * query and body by name. It returns what the server answered, and throws an `ApiFailure` for everything else.
 *
 * Answers have the types of the table and are not checked against them: a server of an earlier version leaves out what was
 * added since, and one of a later version may add more.
 */
import { Failure, type FailureAdvice, reasonOf } from "@tributary/kernel";
import type { z } from "zod";
import { type Input, pathOf, type Route, type Routes } from "./route.ts";
import { EventReader } from "./server-events.ts";

export type ClientOptions = {
  /** Of the service, http or https. */
  readonly url: string;
  readonly token?: string | undefined;
  /** Of one call that is answered whole. */
  readonly timeoutMs?: number | undefined;
  /** Around each call that is answered whole, e.g. to show that it takes its time. */
  readonly during?: (<T>(answer: Promise<T>) => Promise<T>) | undefined;
  /** What a failure becomes for the caller; itself unless given. */
  readonly errorOf?: ((failure: ApiFailure) => Error) | undefined;
};

type CallOptions = { readonly signal?: AbortSignal };

type Answered<R extends Route> = R["response"] extends { readonly kind: infer Kind; readonly schema?: infer S }
  ? Kind extends "json"
    ? Promise<z.output<Extract<S, z.ZodType>>>
    : Kind extends "events"
      ? AsyncGenerator<z.output<Extract<S, z.ZodType>>>
      : Kind extends "stream"
        ? AsyncGenerator<Uint8Array>
        : Kind extends "existence"
          ? Promise<boolean>
          : Promise<Uint8Array>
  : never;

type Operation<R extends Route> =
  Record<never, never> extends Input<R>
    ? (input?: Input<R>, options?: CallOptions) => Answered<R>
    : (input: Input<R>, options?: CallOptions) => Answered<R>;

/** Routes by resource, then by the name of their function. */
export type Resources = Readonly<Record<string, Routes>>;

export type Client<Api extends Resources> = {
  readonly [Resource in keyof Api]: { readonly [Name in keyof Api[Resource]]: Operation<Api[Resource][Name]> };
};

const TIMEOUT_MS = 30_000;

export function clientOf<Api extends Resources>(api: Api, options: ClientOptions): Client<Api> {
  const caller = new Caller(options);
  const resources = Object.entries(api).map(([resource, routes]) => {
    const operations = Object.entries(routes).map(([name, route]) => [name, operationOf(caller, route)] as const);
    return [resource, Object.fromEntries(operations)] as const;
  });
  return Object.fromEntries(resources) as Client<Api>;
}

/** The items of all pages, each asked for by the `next` of the one before; a server of an earlier version has one page. */
export async function itemsOfPages<T>(
  page: (after: string | undefined) => Promise<{ readonly items: readonly T[]; readonly next?: string | null }>,
): Promise<readonly T[]> {
  const items: T[] = [];
  let after: string | undefined;
  do {
    const { items: more, next } = await page(after);
    items.push(...more);
    after = next ?? undefined;
  } while (after !== undefined);
  return items;
}

/** Beside the codes of problem details: nobody answered; what answered is no such service; a stream ended, because the
 * service is about to stop, or by itself. */
type ClientFailureCode = "api-unreachable" | "api-response-invalid" | "api-closing" | "api-stream-ended";

export class ApiFailure extends Failure {
  /** What failed, without the method and URL at the start of the message. */
  readonly detail: string;
  /** Null without an answer. */
  readonly status: number | null;
  /** The problem details, whole; empty where there are none. */
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(
    about: string,
    {
      code,
      advice,
      detail,
      status = null,
      problem = {},
      cause,
    }: {
      readonly code: string;
      readonly advice: FailureAdvice;
      readonly detail: string;
      readonly status?: number | null;
      readonly problem?: object;
      readonly cause?: unknown;
    },
  ) {
    super(code, advice, `${about}: ${status === null ? "" : `${status} `}${detail} (${code})`, { cause });
    this.name = "ApiFailure";
    this.detail = detail;
    this.status = status;
    this.problem = { ...problem };
  }
}

type Values = Readonly<Record<string, unknown>>;

function operationOf(caller: Caller, route: Route) {
  return (input: Values = {}, { signal }: CallOptions = {}) => {
    switch (route.response.kind) {
      case "events":
        return caller.events(route, route.response.name, input, signal);
      case "stream":
        return caller.stream(route, input, signal);
      default:
        return caller.whole(route, input, signal);
    }
  };
}

class Caller {
  readonly #options: ClientOptions;
  readonly #base: URL;

  constructor(options: ClientOptions) {
    const base = URL.parse(options.url);
    if (base === null || !/^https?:$/.test(base.protocol)) {
      const message = `"${options.url}" is not an http:// or https:// URL`;
      throw new Failure("api-url-invalid", "ask-a-person", message);
    }
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#options = options;
    this.#base = base;
  }

  whole(route: Route, input: Values, signal: AbortSignal | undefined): Promise<unknown> {
    const { during } = this.#options;
    const answer = this.#whole(route, input, signal);
    return during === undefined ? answer : during(answer);
  }

  async #whole(route: Route, input: Values, given: AbortSignal | undefined): Promise<unknown> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    // A file takes as long as it takes: its sender bounds it.
    const bounds = route.body === "file" ? [] : [AbortSignal.timeout(timeoutMs)];
    const signal = AbortSignal.any([...bounds, ...(given === undefined ? [] : [given])]);
    const response = await this.#fetch(route, input, signal);
    if (route.response.kind === "existence" && (response.ok || response.status === 404)) return response.ok;
    const body = await response.arrayBuffer().catch((error: unknown) => {
      throw this.#unreachable(route, error);
    });
    if (!response.ok) throw this.#refused(route, response, parsed(body));
    if (route.response.kind === "bytes") {
      this.#checkMediaType(route, response, route.response.mediaType);
      return new Uint8Array(body);
    }
    const value = parsed(body);
    if (value === undefined) throw this.#invalid(route, response);
    return value;
  }

  async *stream(route: Route, input: Values, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    yield* this.#chunks(route, await this.#opened(route, input, signal));
  }

  /** Until the signal aborts; their end without that is a failure. */
  async *events(route: Route, name: string, input: Values, signal: AbortSignal | undefined): AsyncGenerator<unknown> {
    const reader = new EventReader();
    const decoder = new TextDecoder();
    try {
      const response = await this.#opened(route, input, signal);
      this.#checkMediaType(route, response, "text/event-stream");
      for await (const chunk of this.#chunks(route, response)) {
        for (const event of reader.push(decoder.decode(chunk, { stream: true }))) {
          const value = parsed(event.data);
          if (event.name === name && value === undefined) throw this.#invalid(route, response);
          if (event.name === name) yield value;
          if (event.name === "dropped") throw this.#ended(route, "api-closing", "it is shutting down");
        }
      }
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    }
    if (!signal?.aborted) throw this.#ended(route, "api-stream-ended", "it ended the connection");
  }

  async #opened(route: Route, input: Values, signal: AbortSignal | undefined): Promise<Response> {
    const response = await this.#fetch(route, input, signal);
    if (response.ok) return response;
    throw this.#refused(route, response, parsed(await response.arrayBuffer().catch(() => new ArrayBuffer(0))));
  }

  async *#chunks(route: Route, response: Response): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) yield chunk;
    } catch (error) {
      throw this.#unreachable(route, error);
    }
  }

  async #fetch(route: Route, input: Values, signal: AbortSignal | undefined): Promise<Response> {
    const { token } = this.#options;
    const { body, length, ...named } = input;
    const url = new URL(pathOf(route.path, named).slice(1), this.#base);
    for (const [name, value] of Object.entries(named)) {
      if (value !== undefined && !route.path.includes(`{${name}}`)) url.searchParams.set(name, String(value));
    }
    const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` });
    if (route.body !== undefined) {
      headers.set("content-type", route.body === "file" ? "application/octet-stream" : "application/json");
    }
    if (route.body === "file") headers.set("content-length", String(length));
    const sent = route.body === undefined ? {} : route.body === "file" ? { body } : { body: JSON.stringify(body) };
    try {
      // Node needs `duplex` for a body of unknown length, which goes out before the answer comes in.
      const init = { method: route.method, headers, duplex: "half", ...sent, ...(signal && { signal }) };
      return await fetch(url, init as RequestInit);
    } catch (error) {
      throw this.#unreachable(route, error);
    }
  }

  #checkMediaType(route: Route, response: Response, mediaType: string): void {
    if (!response.headers.get("content-type")?.startsWith(mediaType)) throw this.#invalid(route, response);
  }

  #refused(route: Route, response: Response, body: unknown): Error {
    const problem = body as { code?: unknown; detail?: unknown; advice?: unknown } | undefined;
    const { status } = response;
    // An answer to HEAD has no body to say why.
    if (route.method === "HEAD" && status === 401 && response.headers.has("www-authenticate")) {
      return this.#wantsToken(route);
    }
    if (typeof problem?.code !== "string" || typeof problem.detail !== "string") return this.#invalid(route, response);
    const advice = problem.advice === "retry" || problem.advice === "ask-a-person" ? problem.advice : "give-up";
    return this.#failure(route, {
      code: problem.code,
      advice,
      detail: problem.detail,
      status,
      problem,
    });
  }

  #wantsToken(route: Route): Error {
    const [code, detail] =
      this.#options.token === undefined
        ? ["token-missing", "This wants a token: one of this service's auth.tokens."]
        : ["token-wrong", "The token is none of this service's auth.tokens."];
    return this.#failure(route, { code, advice: "ask-a-person", detail, status: 401 });
  }

  #invalid(route: Route, { status }: Response): Error {
    const detail = `it answered ${status} without what was asked for`;
    return this.#failure(route, { code: "api-response-invalid", advice: "ask-a-person", detail, status });
  }

  #unreachable(route: Route, error: unknown): Error {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const { code, name } = cause as { readonly code?: unknown; readonly name?: unknown };
    const detail = name === "TimeoutError" ? "no answer in time" : typeof code === "string" ? code : reasonOf(cause);
    return this.#failure(route, { code: "api-unreachable", advice: "retry", detail, cause: error });
  }

  #ended(route: Route, code: ClientFailureCode, detail: string): Error {
    return this.#failure(route, { code, advice: "retry", detail });
  }

  #failure(route: Route, of: ConstructorParameters<typeof ApiFailure>[1]): Error {
    const failure = new ApiFailure(`${route.method} ${this.#base.origin}${route.path}`, of);
    return this.#options.errorOf?.(failure) ?? failure;
  }
}

function parsed(body: ArrayBuffer | string): unknown {
  try {
    return JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}
