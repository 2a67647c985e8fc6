/** Random values of any schema of ours, from a seed. Not of libs/kernel: contracts import nothing of ours. */
import type { AvroSchema } from "./bounded.ts";

export type Random = () => number;

/** mulberry32 */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

const LETTERS = ["", "a", "é", "中", "🙂", "\u0000", "cam-01", "__proto__", "x".repeat(70)];
const LONGS = [0n, 1n, -1n, 63n, 64n, 2n ** 53n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)];

export function randomValue(schema: AvroSchema, random: Random, named = namedIn(schema)): unknown {
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  const some = <T>(make: () => T): T[] => Array.from({ length: random() < 0.2 ? 0 : below(5) }, make);
  const value = (inner: AvroSchema): unknown => randomValue(inner, random, named);
  const text = () => some(() => pick(LETTERS)).join("");

  if (Array.isArray(schema)) return value(pick(schema));
  if (typeof schema === "object" && schema.logicalType === "timestamp-millis") return below(2 ** 41);
  switch (typeof schema === "string" ? schema : schema.type) {
    case "null":
      return null;
    case "boolean":
      return random() < 0.5;
    case "int":
      return pick([0, 1, -1, 2 ** 31 - 1, -(2 ** 31), below(1_000)]);
    case "long":
      return pick(LONGS);
    case "float":
      return Math.fround(random());
    case "double":
      return pick([0, 1, -1.5, 1e300, random()]);
    case "string":
      return text();
    case "bytes":
      return Buffer.from(some(() => below(256)));
    case "enum":
      return pick(schema.symbols);
    case "array":
      return some(() => value(schema.items));
    case "map":
      // A plain object cannot hold "__proto__" as a key.
      return Object.fromEntries(some(() => [text().replaceAll("_", "-"), value(schema.values)]));
    case "record":
      return Object.fromEntries(schema.fields.map((field: AvroSchema) => [field.name, value(field.type)]));
    default: {
      const known = named.get(String(schema).split(".").at(-1) ?? "");
      if (known === undefined) throw new Error(`no schema named ${schema}`);
      return value(known);
    }
  }
}

/** Every record and enum, by name: a reference may come before its definition is walked. */
function namedIn(schema: AvroSchema, named = new Map<string, AvroSchema>()): Map<string, AvroSchema> {
  if (typeof schema !== "object" || schema === null) return named;
  if (schema.type === "record" || schema.type === "enum") named.set(schema.name, schema);
  for (const part of Object.values(schema)) namedIn(part, named);
  return named;
}
