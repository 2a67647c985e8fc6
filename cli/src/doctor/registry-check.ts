/** Whether a schema registry has our schemas, and which other ones its subjects have. */
import { fingerprintOf, type Topic, topics } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import type { SchemaRegistryClient } from "@tributary/schema-registry";
import { obstacles } from "../schemas/compatibility.ts";
import { registered } from "../schemas/sources.ts";
import { type Finding, failed, ok, some, warning } from "./finding.ts";

const CHECK = "schema registry";
const ADVICE: Readonly<Record<string, string>> = {
  "schema-registry-unavailable": "start it, or check --registry; services wait for it and process no records",
  "schema-registry-bad-response": "the address is not a schema registry's: check the URL, and proxies in front of it",
  "schema-registry-refused": "it requires other credentials: USER:PASSWORD@ in the URL, or --token for the gateway's",
};

export async function checkRegistry(client: SchemaRegistryClient, prefix: string): Promise<Finding> {
  const missing: string[] = [];
  const newer: string[] = [];
  const conflicts: string[] = [];
  let found = 0;
  try {
    for (const topic of Object.values(topics) as Topic[]) {
      const subject = `${prefix}${topic.name}-value`;
      const versions = await registered(client, subject);
      if (versions === undefined || versions.length === 0) missing.push(subject);
      else {
        found++;
        const known = new Set(topic.codec.versions.map(({ fingerprint }) => fingerprint));
        const ours = topic.codec.current.schema;
        for (const { version, schema } of versions) {
          if (known.has(fingerprintOf(schema as never))) continue;
          const [first] = [...obstacles(ours, schema), ...obstacles(schema, ours)];
          if (first === undefined) newer.push(`${subject} v${version}`);
          else conflicts.push(`${subject} v${version}: ${first.path}: ${first.why}`);
        }
      }
    }
  } catch (error) {
    const code = String((error as { code?: unknown }).code ?? "");
    return failed(CHECK, reasonOf(error), ADVICE[code] ?? "check the registry's log");
  }
  const at = `${client.url}: ${found} subjects of ours`;
  if (conflicts.length > 0) {
    const advice = "services do not start: run tributary schemas check --registry, and decide which schema is right";
    return failed(CHECK, `${at}, in conflict: ${some(conflicts)}`, advice);
  }
  if (missing.length > 0) {
    const advice = "services register them when they start, with schemaRegistry.autoRegister; is --prefix right?";
    return warning(CHECK, `${at}, missing: ${some(missing)}`, advice);
  }
  if (newer.length > 0) {
    return warning(
      CHECK,
      `${at}, not known to this program: ${some(newer)}`,
      "they are compatible; update this program",
    );
  }
  return ok(CHECK, `${at}, all versions known`);
}
