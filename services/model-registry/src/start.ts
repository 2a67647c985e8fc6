import { changesSomething, runService } from "@tributary/service-kit";
import { checkConfig, configSchema } from "./config.ts";
import { RegistryModule } from "./registry.module.ts";

/** Bound of a JSON body; a model's files are uploaded as bytes. */
const BODY_BYTES_MAX = 100 * 1024;

await runService({
  name: "model-registry",
  summary: "Keeps model packages: checks, signs and lists them, and evaluates challengers.",
  configSchema,
  check: checkConfig,
  door: ({ auth }) => ({
    tokens: auth.tokens,
    wantsToken: changesSomething,
    bodyBytesMax: BODY_BYTES_MAX,
    bringsFile: (method, path) => method === "PUT" && path.startsWith("/blobs/"),
  }),
  module: RegistryModule,
});
