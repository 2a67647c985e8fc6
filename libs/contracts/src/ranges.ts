/**
 * The ranges of a schema's fields: `minimum` and `maximum` of a number, or of each number in an array or map; `maxItems` of an
 * array or map. They stand beside `doc` in JSON Schema's words, as attributes, which Avro lets a schema have and readers that
 * do not know them pass over.
 */
import type { AvroSchema } from "./bounded.ts";

export type FieldRange = { readonly minimum?: number; readonly maximum?: number; readonly maxItems?: number };

/** By record and field: `EdgePrediction.confidence`. */
export type Ranges = ReadonlyMap<string, FieldRange>;

export function rangesOf(schema: AvroSchema, ranges: Map<string, FieldRange> = new Map()): Ranges {
  if (typeof schema !== "object" || schema === null) return ranges;
  const inner = Array.isArray(schema) ? schema : [schema.type, schema.items, schema.values];
  for (const part of inner) rangesOf(part, ranges);
  for (const { name, type, minimum, maximum, maxItems } of schema.fields ?? []) {
    const given = Object.entries({ minimum, maximum, maxItems }).filter(([, bound]) => bound !== undefined);
    if (given.length > 0) ranges.set(`${schema.name}.${name}`, Object.fromEntries(given));
    rangesOf(type, ranges);
  }
  return ranges;
}

/** For people: `0 to 1`, `at least 0`. */
export function rangeText({ minimum, maximum }: FieldRange): string {
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  return minimum === undefined ? `at most ${maximum}` : `at least ${minimum}`;
}
