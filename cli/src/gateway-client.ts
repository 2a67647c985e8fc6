/** The gateway's public API over HTTP. Every failure becomes a CliError that says what to do. */
import { reasonOf } from "@tributary/kernel";
import type { Page } from "./api.ts";
import { EventReader } from "./event-reader.ts";
import { CliError, type ExitCode, exitCodes } from "./exit-codes.ts";

export type GatewayOptions = {
  readonly url: string;
  readonly token?: string | undefined;
  readonly waiting?: Waiting;
  /** Another service that answers as the gateway does, in the words of messages; the gateway unless told. */
  readonly service?: Service;
  /** Of one call. */
  readonly answerMsMax?: number;
};
export type Service = {
  readonly name: string;
  readonly option: string;
  readonly variable: string;
  readonly token: string;
};

const GATEWAY: Service = {
  name: "gateway",
  option: "--gateway",
  variable: "TRIBUTARY_GATEWAY",
  token: "--token or set TRIBUTARY_TOKEN",
};
export type Query = Readonly<Record<string, string | undefined>>;
type Call = { readonly method?: string; readonly query?: Query; readonly body?: unknown };
type Streamed = { readonly stream?: AsyncIterable<Uint8Array>; readonly headers?: Readonly<Record<string, string>> };

const ANSWER_MS_MAX = 30_000;

/** The gateway understood and said no; `retry` when it may say yes to the same later. */
export class GatewayRefusal extends CliError {
  readonly code: string;
  readonly retry: boolean;
  /** The problem details, whole. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(exitCode: ExitCode, message: string, code: string, retry: boolean, details: object) {
    super(exitCode, message);
    this.name = "GatewayRefusal";
    this.code = code;
    this.retry = retry;
    this.details = { ...details };
  }
}

/** Tells people that an answer takes its time. */
export type Waiting = <T>(what: string, answer: Promise<T>) => Promise<T>;

export class GatewayClient {
  readonly #base: URL;
  readonly #token: string | undefined;
  readonly #waiting: Waiting;
  readonly #service: Service;
  readonly #answerMsMax: number;

  constructor(options: GatewayOptions) {
    const base = URL.parse(options.url);
    this.#service = options.service ?? GATEWAY;
    this.#answerMsMax = options.answerMsMax ?? ANSWER_MS_MAX;
    if (base === null || !/^https?:$/.test(base.protocol)) {
      const message = `${this.#service.option}: "${options.url}" is not an http:// or https:// URL.`;
      throw new CliError(exitCodes.usage, message);
    }
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    this.#base = base;
    this.#token = options.token;
    this.#waiting = options.waiting ?? ((_what, answer) => answer);
  }

  get origin(): string {
    return this.#base.origin;
  }

  /** Where a path of the gateway is, for people to open. */
  urlOf(path: string): string {
    return new URL(path.replace(/^\/+/, ""), this.#base).href;
  }

  call<T>(path: string, call: Call = {}): Promise<T> {
    return this.#waiting(`waiting for ${this.#base.origin}`, this.#call<T>(path, call));
  }

  /** The items of all pages. */
  async all<T>(path: string, query: Query = {}): Promise<readonly T[]> {
    const items: T[] = [];
    let after: string | undefined;
    do {
      const page: Page<T> = await this.call(path, { query: { ...query, after } });
      items.push(...page.items);
      after = page.next ?? undefined;
    } while (after !== undefined);
    return items;
  }

  /** A body that is not JSON, e.g. a picture. */
  async bytes(path: string, accepts: string): Promise<Buffer> {
    const response = await this.#fetch(path.replace(/^\/+/, ""), {}, AbortSignal.timeout(this.#answerMsMax));
    const body = await response.arrayBuffer().catch((error: unknown) => {
      throw this.#unreachable(error);
    });
    const bytes = Buffer.from(body);
    if (!response.ok) throw this.#refused(response, parseJson(bytes.toString("utf8")));
    if (!response.headers.get("content-type")?.startsWith(accepts)) throw this.#notAGateway(response);
    return bytes;
  }

  /** Whether a path is there. */
  async has(path: string): Promise<boolean> {
    const response = await this.#fetch(path, { method: "HEAD" }, AbortSignal.timeout(this.#answerMsMax));
    if (response.ok || response.status === 404) return response.ok;
    throw this.#refused(response, undefined);
  }

  /** Sends bytes as they come; `length` of them in all. */
  async upload(path: string, body: AsyncIterable<Uint8Array>, length: number, signal: AbortSignal): Promise<void> {
    const headers = { "content-type": "application/octet-stream", "content-length": `${length}` };
    const response = await this.#fetch(path, { method: "PUT", stream: body, headers }, signal);
    const text = await response.text().catch(() => "");
    if (!response.ok) throw this.#refused(response, parseJson(text));
  }

  /** Bytes as they come. */
  async *download(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const response = await this.#fetch(path, {}, signal);
    if (!response.ok) throw this.#refused(response, parseJson(await response.text().catch(() => "")));
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) yield chunk;
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #call<T>(path: string, call: Call): Promise<T> {
    const response = await this.#fetch(path, call, AbortSignal.timeout(this.#answerMsMax));
    const text = await response.text().catch((error: unknown) => {
      throw this.#unreachable(error);
    });
    const body = parseJson(text);
    if (!response.ok) throw this.#refused(response, body);
    if (body === undefined) throw this.#notAGateway(response);
    return body as T;
  }

  /** Events until the signal aborts. Their end without that is a failure. */
  async *events(path: string, query: Query, signal: AbortSignal): AsyncGenerator<unknown> {
    const response = await this.#fetch(path, { query }, signal).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      throw error;
    });
    if (response === undefined) return;
    if (!response.ok) throw this.#refused(response, parseJson(await response.text().catch(() => "")));
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || response.body === null) {
      throw this.#notAGateway(response);
    }
    const reader = new EventReader();
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
        for (const event of reader.push(decoder.decode(chunk, { stream: true }))) {
          if (event.name === "classification") yield JSON.parse(event.data);
          if (event.name === "dropped") throw new CliError(exitCodes.unreachable, "The gateway is shutting down.");
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof CliError ? error : this.#unreachable(error);
    }
    if (!signal.aborted)
      throw new CliError(exitCodes.unreachable, `${this.#base.origin} ended the connection. Try again.`);
  }

  async #fetch(
    path: string,
    { method = "GET", query = {}, body, stream, headers }: Call & Streamed,
    signal: AbortSignal,
  ): Promise<Response> {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    try {
      return await fetch(url, {
        method,
        signal,
        headers: {
          ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
          ...(body !== undefined && { "content-type": "application/json" }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        // Node wants to be told that a body goes out before the answer comes in.
        ...(stream !== undefined && { body: stream, duplex: "half" }),
      } as RequestInit);
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #unreachable(error: unknown): CliError {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const reason = (cause as { code?: unknown }).code ?? reasonOf(cause);
    const { name, option, variable } = this.#service;
    return new CliError(
      exitCodes.unreachable,
      `The ${name} at ${this.#base.origin} cannot be reached: ${reason}. Is it running? Point ${option} or ${variable} at it.`,
      { cause: error },
    );
  }

  #notAGateway(response: Response): CliError {
    const { name, option } = this.#service;
    const detail = `it answered ${response.status} without what was asked for`;
    return new CliError(
      exitCodes.failed,
      `${this.#base.origin} is not a Tributary ${name}: ${detail}. Check ${option}.`,
    );
  }

  #refused(response: Response, body: unknown): CliError {
    const problem = body as { code?: unknown; detail?: unknown; advice?: unknown } | undefined;
    if (typeof problem?.code !== "string" || typeof problem.detail !== "string") return this.#notAGateway(response);
    if (response.status === 401) {
      const { name, token } = this.#service;
      return new CliError(exitCodes.failed, `The ${name} wants a token: give ${token}.`);
    }
    const message = `${problem.detail} (${problem.code})`;
    return new GatewayRefusal(exitCodeOf(response.status), message, problem.code, problem.advice === "retry", problem);
  }
}

function exitCodeOf(status: number): ExitCode {
  if (status === 404) return exitCodes.notFound;
  return status === 400 ? exitCodes.usage : exitCodes.failed;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
