import type { Server } from "node:http";
import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { ModelRegistry } from "./model-registry.ts";
import { RegistryModule } from "./registry.module.ts";

/** A large model over a slow line; whoever sends it has a token. */
const UPLOAD_MS_MAX = 3_600_000;

void runService({
  name: "model-registry",
  summary: "Keeps model packages: checks, signs and lists them, and judges challengers.",
  configSchema,
  check: checkConfig,
  module: async (context) => {
    const parts = await ModelRegistry.open(context);
    context.health.add("models", () => parts.health);
    return RegistryModule.of(parts, context.config, context.telemetry);
  },
  prepare: (app) => {
    (app.getHttpServer() as Server).requestTimeout = UPLOAD_MS_MAX;
  },
});
