import { type CanActivate, type ExecutionContext, Injectable } from "@nestjs/common";
import { Problem } from "@tributary/service-kit";
import { ModelRegistry } from "./model-registry.ts";

/** model-registry.ts M1 */
@Injectable()
export class RebuiltGuard implements CanActivate {
  constructor(private readonly models: ModelRegistry) {}

  canActivate(context: ExecutionContext): boolean {
    const { url = "" } = context.switchToHttp().getRequest<{ url?: string }>();
    const { health } = this.models;
    if (health === true || !/^\/(models|validation)(\/|\?|$)/i.test(url)) return true;
    throw new Problem(503, "registry-starting", "retry", `The registry is not ready: ${health}. Try again.`, {
      headers: { "Retry-After": "1" },
    });
  }
}
