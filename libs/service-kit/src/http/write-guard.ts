/**
 * Who may change something: reading is open to whoever reaches the service.
 *
 * W1. With tokens, a change needs one of them.
 * W2. Without tokens, changes are open on loopback only, and only under its own name: a web page that has its own name
 *     resolve to 127.0.0.1 could otherwise make them through a visitor's browser.
 */
import type { IncomingMessage } from "node:http";
import type { CanActivate, ExecutionContext } from "@nestjs/common";
import { bearerCheck } from "./bearer.ts";
import { Problem } from "./problem.ts";

/** A host name or address that is this machine's own. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);

/** Of the Host header, without port and brackets. */
export const hostnameOf = ({ headers }: Pick<IncomingMessage, "headers">): string =>
  (headers.host ?? "").replace(/:\d{1,5}$/, "").replace(/^\[(.*)\]$/, "$1");

export class WriteGuard implements CanActivate {
  readonly #isKnown: (authorization: string | undefined) => boolean;
  readonly #isOpen: boolean;

  constructor(tokens: readonly string[]) {
    this.#isKnown = bearerCheck(tokens);
    this.#isOpen = tokens.length === 0;
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    if (request.method === "GET" || request.method === "HEAD") return true;
    if (this.#isOpen && !isLoopback(hostnameOf(request))) {
      const detail = "Without auth.tokens, changes are taken under 127.0.0.1, localhost and ::1 only.";
      throw new Problem(403, "host-foreign", "ask-a-person", detail); // W2
    }
    if (!this.#isKnown(request.headers.authorization)) {
      const detail = "Changes want a token: send Authorization: Bearer TOKEN with one of this service's auth.tokens.";
      const headers = { "WWW-Authenticate": "Bearer" };
      throw new Problem(401, "token-missing", "ask-a-person", detail, { headers }); // W1
    }
    return true;
  }
}
