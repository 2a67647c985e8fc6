/** Nothing is answered from tables that are still being read: a device that is not in them yet could be registered anew and
 * lose its password. */
import type { IncomingMessage } from "node:http";
import type { CanActivate, ExecutionContext } from "@nestjs/common";
import { Problem, pathOf } from "@tributary/service-kit";

const NEEDS_TABLES = /^\/api\//i;

export class StartingGuard implements CanActivate {
  readonly #health: () => true | string;

  /** `health`: true, or what is still missing. */
  constructor(health: () => true | string) {
    this.#health = health;
  }

  canActivate(context: ExecutionContext): boolean {
    const path = pathOf(context.switchToHttp().getRequest<IncomingMessage>());
    const health = this.#health();
    if (health === true || !NEEDS_TABLES.test(path)) return true;
    throw new Problem(503, "gateway-starting", "retry", `The gateway is ${health}. Try again.`, {
      headers: { "Retry-After": "1" },
    });
  }
}
