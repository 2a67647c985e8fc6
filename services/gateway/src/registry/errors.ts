/** What a client of the schema registry is answered: Confluent's body, since its clients decide by `error_code`. */
import type { ProblemDetails } from "@tributary/service-kit";

export const REGISTRY_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";

const REGISTRY_PATHS = /^\/(subjects|schemas|config|mode|compatibility)(\/|$)/i;

/** A refusal that is not the registry's own has the HTTP status for its code, as Confluent's have. Undefined: another path. */
export const refusalOf = (path: string, { status, detail, error_code = status }: ProblemDetails) =>
  REGISTRY_PATHS.test(path) ? { mediaType: REGISTRY_MEDIA_TYPE, body: { error_code, message: detail } } : undefined;
