/**
 * What every schema of ours has: docs on every type and field, enums that survive unknown symbols, one meaning a name, and no
 * attribute that nothing reads.
 */
import type { AvroSchema } from "../bounded.ts";

/** Avro's own, and those of ranges.ts. */
const FIELD_ATTRIBUTES = new Set(["name", "type", "doc", "default", "minimum", "maximum", "maxItems"]);

export type NamedSchema = { readonly name: string; readonly schema: AvroSchema };

export function lintSchemas(schemas: readonly NamedSchema[]): string[] {
  const problems: string[] = [];
  const meanings = new Map<string, { where: string; text: string }>();

  const lint = (where: string, schema: AvroSchema): void => {
    if (typeof schema !== "object") return;
    const inner = Array.isArray(schema) ? schema : [schema.items, schema.values].filter((part) => part !== undefined);
    for (const part of inner) lint(where, part);
    if (schema.type !== "record" && schema.type !== "enum") return;
    const at = `${where}.${schema.name}`;
    if (!schema.doc) problems.push(`${at} has no doc`);
    if (schema.type === "enum" && (schema.default !== "UNKNOWN" || !schema.symbols.includes("UNKNOWN"))) {
      problems.push(`${at}: a wire enum defaults to UNKNOWN, so that an old reader survives a new symbol`);
    }
    const text = JSON.stringify(schema);
    const before = meanings.get(schema.name);
    if (before === undefined) meanings.set(schema.name, { where: at, text });
    else if (before.text !== text) problems.push(`${at} is defined differently as ${before.where}`);
    for (const field of schema.fields ?? []) {
      if (!field.doc) problems.push(`${at}.${field.name} has no doc`);
      for (const name of Object.keys(field)) {
        if (!FIELD_ATTRIBUTES.has(name)) problems.push(`${at}.${field.name}: unknown attribute "${name}"`);
      }
      lint(at, field.type);
    }
  };
  for (const { name, schema } of schemas) lint(name, schema);
  return problems;
}
