/** What the gateway knows better of its failures than the service kit's filter: it reads Kafka alone, and the schema registry's
 * refusals have statuses of their own. */
import type { Failure } from "@tributary/kernel";
import { SchemaRegistryError } from "@tributary/schema-registry";
import { Problem } from "@tributary/service-kit";

export function problemOf(failure: Failure): Problem | undefined {
  if (failure instanceof SchemaRegistryError) {
    const { status, code, message, errorCode } = failure;
    return new Problem(status, code, "give-up", message, { extensions: { error_code: errorCode } });
  }
  if (failure.advice !== "retry") return undefined;
  const more = { headers: { "Retry-After": "1" }, cause: failure };
  return new Problem(503, "kafka-unavailable", "retry", "Kafka cannot be read right now. Try again.", more);
}
