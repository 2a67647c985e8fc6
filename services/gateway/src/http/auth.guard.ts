import type { IncomingMessage } from "node:http";
import type { CanActivate, ExecutionContext } from "@nestjs/common";
import { bearerCheck } from "./auth.ts";
import { pathOf } from "./problem.filter.ts";
import { Problem } from "./problem.ts";

/** Probes and scrapers carry no tokens. */
const OPEN = /^\/(health(\/|$)|metrics$)/;

export class AuthGuard implements CanActivate {
  readonly #isKnown: (authorization: string | undefined) => boolean;

  constructor(tokens: readonly string[]) {
    this.#isKnown = bearerCheck(tokens);
  }

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<IncomingMessage>();
    if (OPEN.test(pathOf(request)) || this.#isKnown(request.headers.authorization)) return true;
    throw new Problem(
      401,
      "token-missing",
      "ask-a-person",
      "This gateway wants a token: send Authorization: Bearer TOKEN with one of its auth.tokens.",
      { headers: { "WWW-Authenticate": "Bearer" } },
    );
  }
}
