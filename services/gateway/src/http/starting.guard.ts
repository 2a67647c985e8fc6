/** Nothing is answered from tables that are still being read: a device that is not in them yet could be registered anew and
 * lose its password. */
import type { IncomingMessage } from "node:http";
import { type CanActivate, type ExecutionContext, Inject, Injectable } from "@nestjs/common";
import { Problem, pathOf } from "@tributary/service-kit";
import { GatewayState } from "../gateway-state.ts";

const NEEDS_TABLES = /^\/api\//i;

@Injectable()
export class StartingGuard implements CanActivate {
  constructor(@Inject(GatewayState) private readonly state: Pick<GatewayState, "health">) {}

  canActivate(context: ExecutionContext): boolean {
    const path = pathOf(context.switchToHttp().getRequest<IncomingMessage>());
    const { health } = this.state;
    if (health === true || !NEEDS_TABLES.test(path)) return true;
    throw new Problem(503, "gateway-starting", "retry", `The gateway is ${health}. Try again.`, {
      headers: { "Retry-After": "1" },
    });
  }
}
