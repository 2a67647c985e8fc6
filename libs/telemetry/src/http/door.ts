/**
 * The door of every HTTP port: who may ask, decided from the request's head before a byte of its body is read.
 *
 * D1. The Host is one that this port answers to (hosts.ts).
 * D2. No page of another site asks, unless its origin is listed (sites.ts); a listed one gets the CORS headers it needs.
 * D3. A body is what the path takes: JSON, under any name of it, or bytes where a file is sent. A form can send neither.
 *     Reading takes no body.
 * D4. Where a token is wanted, it is one of ours; wrong ones are slowed by address (guesses.ts).
 * D5. A body is not larger than the port takes, which is checked before it is read where its length is stated.
 * D6. A body arrives within `bodyMsMax`; a file goes on for as long as it brings `fileBytesMin` in that time (G9).
 * D7. A refusal names the rule, is counted by it, and logged with the peer's address. Of a body that nobody wants at most
 *     64 KiB are taken, so that the client can read why; then the connection ends.
 * D8. Pictures, and lists of them, always need a right: one of the tokens. A port without tokens gives them only if nobody but
 *     programs of this machine can ask: it listens on loopback, and answers to no other name and no other origin.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "../telemetry.ts";
import { httpRefused } from "./events.ts";
import { Guesses } from "./guesses.ts";
import { hostnameOf, isHostAllowed, isLoopback } from "./hosts.ts";
import { Problem, type ProblemDetails } from "./problem.ts";
import { PROBLEM_MEDIA_TYPE, pathOf, peerOf, respond } from "./respond.ts";
import { crossSiteOf } from "./sites.ts";
import { Tokens } from "./tokens.ts";

/** The settings of a port. */
export type DoorAddress = {
  readonly host: string;
  /** Names it answers to besides loopback's. */
  readonly hosts: readonly string[];
  /** Origins of web pages that may use it. */
  readonly origins: readonly string[];
};

/** What a program asks of its port's callers; without it: an open port that takes no body. */
export type DoorPolicy = {
  /** Empty: open. */
  readonly tokens?: readonly string[];
  /** Which requests want one of the tokens; all by default. */
  readonly wantsToken?: (method: string, path: string) => boolean;
  /** Which requests read pictures or lists of them: these need a right (D8), whatever `wantsToken` says. */
  readonly readsPictures?: (method: string, path: string) => boolean;
  /** Of a JSON body; 0: none is taken. */
  readonly bodyBytesMax?: number;
  /** Which requests bring a file, as application/octet-stream, of any size. */
  readonly bringsFile?: (method: string, path: string) => boolean;
  /** The body of a refusal on a path whose clients read no problem details; undefined: problem details. */
  readonly refusalOf?: (path: string, details: ProblemDetails) => Refusal | undefined;
};

export type Refusal = { readonly mediaType: string; readonly body: object };

export type DoorOptions = DoorPolicy & {
  readonly address: DoorAddress;
  readonly telemetry: Pick<Telemetry, "emit">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly bodyMsMax?: number;
  readonly fileBytesMin?: number;
};

/** `wantsToken` of a port that everybody may read. */
export const changesSomething = (method: string): boolean => method !== "GET" && method !== "HEAD";

/** Who may read pictures at a port: holders of its tokens, programs of its machine, or, until it has tokens, nobody. */
export type PictureReaders = "token" | "machine" | "nobody";

export function pictureReaders(tokens: readonly string[], { host, hosts, origins }: DoorAddress): PictureReaders {
  if (tokens.length > 0) return "token";
  return isLoopback(host) && hosts.length === 0 && origins.length === 0 ? "machine" : "nobody";
}

const CHALLENGE = { "WWW-Authenticate": "Bearer" };
const NO_TOKENS =
  "Pictures need a token, and this service has none: set its auth.tokens. Without them it gives pictures only to programs of its own machine.";

const FILE = "application/octet-stream";
const JSON_TYPE = "application/json";
/** RFC 6839, e.g. application/vnd.schemaregistry.v1+json. */
const JSON_SUFFIX = /^application\/[\w.-]+\+json$/;
const BODY_MS_MAX = 60_000;
const FILE_BYTES_MIN = 64 * 1024;
const HEAD_MS_MAX = 10_000;
const DISCARDED_BYTES_MAX = 64 * 1024;
const DISCARDED_MS_MAX = 2_000;
const PREFLIGHT_SECONDS = "600";

type Judged = { readonly request: IncomingMessage; readonly method: string; readonly path: string };

export class Door {
  readonly #options: DoorOptions;
  readonly #tokens: Tokens;
  readonly #guesses: Guesses;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#tokens = new Tokens(options.tokens ?? []);
    this.#guesses = new Guesses(this.#tokens, options.clock);
  }

  /** Bounds what a connection may take before there is a request. Call it before the server listens. */
  guard(server: Server): void {
    server.headersTimeout = HEAD_MS_MAX;
    server.requestTimeout = 0; // D6: a file that arrives may take its time
    Object.assign(server, { connectionsCheckingInterval: 1_000 });
  }

  /** False: the request is answered. */
  admits(request: IncomingMessage, response: ServerResponse): boolean {
    const judged = { request, method: request.method ?? "", path: pathOf(request) };
    try {
      this.#checkHost(judged);
      if (this.#answersPreflight(judged, response)) return false;
      this.#checkSite(judged);
      this.#checkBody(judged);
      this.#checkToken(judged);
      this.#checkSize(judged);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#refuse(judged, response, error);
      return false;
    }
    if (hasBody(request)) this.#awaitBody(judged);
    return true;
  }

  #checkHost({ request }: Judged): void {
    const { address } = this.#options;
    const rule = { listensOn: address.host, isOpen: this.#tokens.isEmpty, hosts: address.hosts };
    const hostname = hostnameOf(request);
    if (isHostAllowed(hostname, rule)) return;
    const shown = hostname.slice(0, 100);
    const detail = `This port does not answer to the name "${shown}". If it is meant to, list it under http.hosts.`;
    throw new Problem(403, "host-foreign", "ask-a-person", detail);
  }

  #checkSite({ request, method }: Judged): void {
    const found = crossSiteOf(method, request.headers, this.#options.address.origins);
    if (found === undefined) return;
    const detail = `A page of another site asks (${found.header}: ${found.value.slice(0, 200)}). If it may, list its origin under http.origins.`;
    throw new Problem(403, "site-foreign", "ask-a-person", detail);
  }

  /** CORS, for listed origins alone. */
  #answersPreflight({ request, method }: Judged, response: ServerResponse): boolean {
    const { origin } = request.headers;
    if (origin === undefined || !this.#options.address.origins.includes(origin)) return false;
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("vary", "Origin");
    if (method !== "OPTIONS") return false;
    response.writeHead(204, {
      "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
      "access-control-allow-headers": "authorization, content-type, last-event-id",
      "access-control-max-age": PREFLIGHT_SECONDS,
    });
    response.end();
    return true;
  }

  #checkBody({ request, method, path }: Judged): void {
    const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
    const isRead = method === "GET" || method === "HEAD" || method === "OPTIONS";
    if (!hasBody(request)) {
      if (isRead || type === "" || this.#takes(type, method, path)) return;
    } else if (isRead) {
      throw new Problem(400, "body-unexpected", "give-up", `${method} takes no body.`);
    }
    if (this.#takes(type, method, path)) return;
    const wanted = this.#isFile(method, path) ? FILE : JSON_TYPE;
    const detail = `This takes ${wanted}, not ${type === "" ? "a body without Content-Type" : type.slice(0, 100)}.`;
    throw new Problem(415, "media-type", "give-up", detail);
  }

  #takes(type: string, method: string, path: string): boolean {
    if (this.#isFile(method, path)) return type === FILE;
    return type === JSON_TYPE || JSON_SUFFIX.test(type);
  }

  #isFile(method: string, path: string): boolean {
    return this.#options.bringsFile?.(method, path) === true;
  }

  #checkToken({ request, method, path }: Judged): void {
    if (this.#options.readsPictures?.(method, path) === true) this.demandRight(request);
    else if (!this.#tokens.isEmpty && this.#options.wantsToken?.(method, path) !== false) this.#demandToken(request);
  }

  /** D8, for a handler that learns only from its data that it is asked for a picture. @throws Problem */
  demandRight(request: IncomingMessage): void {
    const { tokens = [], address } = this.#options;
    const readers = pictureReaders(tokens, address);
    if (readers === "token") this.#demandToken(request);
    if (readers !== "nobody") return;
    throw new Problem(401, "pictures-need-a-token", "ask-a-person", NO_TOKENS, { headers: CHALLENGE });
  }

  #demandToken(request: IncomingMessage): void {
    const verdict = this.#guesses.judge(peerOf(request), request.headers.authorization);
    switch (verdict) {
      case "right":
        return;
      case "missing": {
        const detail = "This wants a token: send Authorization: Bearer TOKEN with one of this service's auth.tokens.";
        throw new Problem(401, "token-missing", "ask-a-person", detail, { headers: CHALLENGE });
      }
      case "wrong":
        throw new Problem(401, "token-wrong", "ask-a-person", "The token is none of this service's auth.tokens.", {
          headers: CHALLENGE,
        });
      case "too-many": {
        const detail = "Too many wrong tokens came from this address. Try again later.";
        throw new Problem(429, "token-guesses", "retry", detail, { headers: { "Retry-After": "10" } });
      }
      default:
        verdict satisfies never;
    }
  }

  #checkSize({ request, method, path }: Judged): void {
    const { bodyBytesMax = 0 } = this.#options;
    if (!hasBody(request) || this.#isFile(method, path)) return;
    const length = Number(request.headers["content-length"] ?? 0);
    if (bodyBytesMax > 0 && length <= bodyBytesMax) return;
    const detail = bodyBytesMax === 0 ? "This port takes no body." : `${bodyBytesMax} bytes at most.`;
    throw new Problem(413, "request-too-large", "give-up", detail);
  }

  #awaitBody(judged: Judged): void {
    const { bodyMsMax = BODY_MS_MAX, fileBytesMin = FILE_BYTES_MIN } = this.#options;
    const { request, method, path } = judged;
    const { socket } = request;
    const isFile = this.#isFile(method, path);
    let seen = socket.bytesRead;
    const timer = setInterval(() => {
      if (isFile && socket.bytesRead - seen >= fileBytesMin) {
        seen = socket.bytesRead;
        return;
      }
      clearInterval(timer);
      const detail = isFile
        ? `less than ${fileBytesMin} bytes in ${bodyMsMax} ms`
        : `the body did not arrive in ${bodyMsMax} ms`;
      this.#report(judged, new Problem(408, "body-late", "retry", detail));
      socket.destroy();
    }, bodyMsMax);
    timer.unref();
    const done = () => clearInterval(timer);
    request.once("end", done);
    request.once("close", done);
  }

  #refuse(judged: Judged, response: ServerResponse, problem: Problem): void {
    this.#report(judged, problem);
    const { details, headers } = problem;
    const refusal = this.#options.refusalOf?.(judged.path, details) ?? { mediaType: PROBLEM_MEDIA_TYPE, body: details };
    respond(response, details.status, refusal.mediaType, refusal.body, headers);
    discard(judged.request);
  }

  #report({ request, method, path }: Judged, { details }: Problem): void {
    const { code, status, detail } = details;
    const peer = peerOf(request);
    this.#options.telemetry.emit(httpRefused, { code, status, method, path: path.slice(0, 200), peer, detail });
  }
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

function discard(request: IncomingMessage): void {
  if (!hasBody(request)) return;
  const { socket } = request;
  let bytes = 0;
  const late = setTimeout(() => socket.destroy(), DISCARDED_MS_MAX);
  late.unref();
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DISCARDED_BYTES_MAX) socket.destroy();
  });
  request.once("close", () => clearTimeout(late));
  request.on("error", () => {});
}
