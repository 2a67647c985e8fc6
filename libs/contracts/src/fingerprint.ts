/** Parsing Canonical Form and CRC-64-AVRO (Avro specification 1.11, "Schema Fingerprints"). */
import type { AvroSchema } from "./bounded.ts";

const EMPTY = 0xc15d213aa4d7a795n;
const TABLE: bigint[] = Array.from({ length: 256 }, (_, i) => {
  let fp = BigInt(i);
  for (let bit = 0; bit < 8; bit++) fp = (fp >> 1n) ^ (EMPTY & -(fp & 1n) & 0xffffffffffffffffn);
  return fp;
});

/** 16 lower-case hex digits, most significant first; single-object encoding writes them least significant first. */
export function fingerprintOf(schema: AvroSchema): string {
  let fp = EMPTY;
  for (const byte of new TextEncoder().encode(canonicalForm(schema))) {
    fp = (fp >> 8n) ^ (TABLE[Number((fp ^ BigInt(byte)) & 0xffn)] as bigint);
  }
  return fp.toString(16).padStart(16, "0");
}

const PRIMITIVES = new Set(["null", "boolean", "int", "long", "float", "double", "bytes", "string"]);

export function canonicalForm(schema: AvroSchema, namespace = ""): string {
  if (typeof schema === "string") return JSON.stringify(PRIMITIVES.has(schema) ? schema : fullName(schema, namespace));
  if (Array.isArray(schema)) return `[${schema.map((branch) => canonicalForm(branch, namespace)).join(",")}]`;
  const { type } = schema;
  if (PRIMITIVES.has(type)) return JSON.stringify(type);
  if (typeof type === "object") return canonicalForm(type, namespace);
  if (type === "array") return `{"type":"array","items":${canonicalForm(schema.items, namespace)}}`;
  if (type === "map") return `{"type":"map","values":${canonicalForm(schema.values, namespace)}}`;
  const inner = schema.namespace ?? namespace;
  const name = JSON.stringify(fullName(schema.name, inner));
  if (type === "enum") return `{"name":${name},"type":"enum","symbols":${JSON.stringify(schema.symbols)}}`;
  if (type === "fixed") return `{"name":${name},"type":"fixed","size":${schema.size}}`;
  const fields = schema.fields.map(
    (field: AvroSchema) => `{"name":${JSON.stringify(field.name)},"type":${canonicalForm(field.type, inner)}}`,
  );
  return `{"name":${name},"type":"record","fields":[${fields.join(",")}]}`;
}

const fullName = (name: string, namespace: string): string =>
  name.includes(".") || namespace === "" ? name : `${namespace}.${name}`;
