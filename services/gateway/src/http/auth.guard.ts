/**
 * Who may come in, and when.
 *
 * A1. With tokens, one of them is needed. Probes and scrapers carry none, and the descriptions hold nothing of the fleet.
 * A2. Without tokens only loopback is open, and only under its own name: a web page that has its own name resolve to
 *     127.0.0.1 could otherwise register devices and read their passwords through a visitor's browser.
 * A3. Nothing is answered from tables that are still being read: a device that is not in them yet could be registered anew
 *     and lose its password.
 */
import type { IncomingMessage } from "node:http";
import type { CanActivate, ExecutionContext } from "@nestjs/common";
import { bearerCheck, hostnameOf, isLoopback, Problem, pathOf } from "@tributary/service-kit";

const OPEN = /^\/(health(\/|$)|metrics$|asyncapi(\.yaml)?$)/;
const NEEDS_TABLES = /^\/api\//i;

export type AuthGuardOptions = {
  readonly tokens: readonly string[];
  /** True, or what is still missing. */
  readonly health: () => true | string;
};

export class AuthGuard implements CanActivate {
  readonly #isKnown: (authorization: string | undefined) => boolean;
  readonly #isOpen: boolean;
  readonly #health: () => true | string;

  constructor({ tokens, health }: AuthGuardOptions) {
    this.#isKnown = bearerCheck(tokens);
    this.#isOpen = tokens.length === 0;
    this.#health = health;
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    const path = pathOf(request);
    if (OPEN.test(path)) return true;
    if (this.#isOpen && !isLoopback(hostnameOf(request))) throw foreignName(); // A2
    if (!this.#isKnown(request.headers.authorization)) throw tokenMissing(); // A1
    const health = this.#health();
    if (health !== true && NEEDS_TABLES.test(path)) throw starting(health); // A3
    return true;
  }
}

const tokenMissing = (): Problem =>
  new Problem(
    401,
    "token-missing",
    "ask-a-person",
    "This gateway wants a token: send Authorization: Bearer TOKEN with one of its auth.tokens.",
    { headers: { "WWW-Authenticate": "Bearer" } },
  );

const foreignName = (): Problem =>
  new Problem(
    403,
    "host-foreign",
    "ask-a-person",
    "This gateway has no auth.tokens and answers to 127.0.0.1, localhost and ::1 only. Give it tokens to use another name.",
  );

const starting = (why: string): Problem =>
  new Problem(503, "gateway-starting", "retry", `The gateway is ${why}. Try again.`, {
    headers: { "Retry-After": "1" },
  });
