import { runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { doorOf } from "./door.ts";
import { RegistryModule } from "./registry.module.ts";

await runService({
  name: "model-registry",
  summary: "Keeps model packages: checks, signs and lists them, and evaluates challengers.",
  configSchema,
  check: checkConfig,
  door: doorOf,
  module: RegistryModule,
});
