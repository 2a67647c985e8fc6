/** The ids of a registry that is not the gateway's, for commands that read or write records themselves. */
import type { ExternalSchemaRegistry, SchemaRegistryAccess } from "@tributary/schema-registry";
import type { Io } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { waitingFor } from "./progress.ts";
import { registryFailed } from "./registry-options.ts";

const ANSWER_MS_MAX = 15_000;

/** Close it in the end. */
export async function schemaIdsOf(
  access: SchemaRegistryAccess,
  prefix: string,
  io: Io,
): Promise<ExternalSchemaRegistry> {
  const [{ ExternalSchemaRegistry }, { createTelemetry }] = await Promise.all([
    import("@tributary/schema-registry"),
    import("@tributary/telemetry"),
  ]);
  const telemetry = createTelemetry({ service: "cli", level: "silent", defaultMetrics: false, write: () => {} });
  const registry = new ExternalSchemaRegistry({
    schemaRegistry: { ...access, autoRegister: false },
    prefix,
    telemetry,
  });
  registry.start();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new CliError(exitCodes.unreachable, `The schema registry at ${access.url}: ${registry.health}.`));
  }, ANSWER_MS_MAX);
  try {
    await waitingFor(io)(`asking ${access.url}`, Promise.race([registry.ready(), late.promise]));
    return registry;
  } catch (error) {
    registry.close();
    throw registryFailed(error);
  } finally {
    clearTimeout(timer);
    telemetry.close();
  }
}
