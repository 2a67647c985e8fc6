import { defineEvent } from "@tributary/telemetry";

export const schemaRegistryAway = defineEvent<{ code: string; attempt: number; waitMs: number; reason: string }>({
  name: "schema_registry_away",
  level: "warn",
  message: (e) => `${e.reason}; trying again in ${(e.waitMs / 1_000).toFixed(1)} s`,
  counter: {
    name: "tributary_schema_registry_failures_total",
    help: "Calls to the schema registry that came to nothing, by code",
    labels: ["code"],
  },
});

export const schemaRegistryRefused = defineEvent<{ code: string; reason: string }>({
  name: "schema_registry_refused",
  level: "fatal",
  message: (e) => e.reason,
  counter: {
    name: "tributary_schema_registry_failures_total",
    help: "Calls to the schema registry that came to nothing, by code",
    labels: ["code"],
  },
});

export const schemaRegistered = defineEvent<{ subject: string; id: number }>({
  name: "schema_registered",
  level: "info",
  message: (e) => `${e.subject} has our schema as ${e.id}`,
  counter: { name: "tributary_schema_registry_registered_total", help: "Schemas registered at start" },
});

export const schemaRegistryInUse = defineEvent<{ url: string; subjects: number }>({
  name: "schema_registry_in_use",
  level: "info",
  message: (e) => `the schema ids of ${e.subjects} subjects are those of ${e.url}`,
});

/** `outcome`: learned, unreadable, unknown, skipped (asked too often), or the code of a failed call. */
export const schemaLookedUp = defineEvent<{ topic: string; schema: string; outcome: string; reason: string }>({
  name: "schema_looked_up",
  level: "warn",
  message: (e) => `schema ${e.schema} on ${e.topic}: ${e.reason}`,
  counter: {
    name: "tributary_schema_registry_lookups_total",
    help: "Schemas that records named and that were not known from the start, by what came of asking",
    labels: ["outcome"],
  },
});
