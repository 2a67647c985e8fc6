/**
 * The JSON Schemas of what devices send and receive in JSON. Those of uplinks are made from the Avro schema of the same record.
 * The bridge reads and writes JSON by code of its own; its tests hold the two together.
 */
import type { AvroSchema } from "./bounded.ts";
import type { FieldRange } from "./ranges.ts";
import { type UplinkStream, uplinkStreams } from "./topics.ts";

/** By record name, then by the field's name in Avro: its name in JSON. */
export const JSON_NAMES: { readonly [record: string]: { readonly [field: string]: string } } = {
  EdgeFrame: { jpeg: "image" },
};

/** By record name: what a message needs; of records that are not named, everything that has no default. */
export const JSON_NEEDS: { readonly [record: string]: readonly string[] } = {
  EdgeFrame: ["image"],
  EdgePredictions: ["predictions"],
  EdgePrediction: ["label", "confidence"],
  EdgeMetrics: ["windowMs"],
  EdgeSketches: ["windowMs"],
  DeviceReported: [],
};

export type JsonSchema = {
  readonly [key: string]: JsonSchema | readonly JsonSchema[] | readonly string[] | string | number | boolean;
};

export const jsonUplinkSchema = (stream: UplinkStream): JsonSchema =>
  schemaOf(uplinkStreams[stream].codec.current.schema, {}, new Map());

const ANSWER = {
  frameId: "string",
  deviceId: "string",
  bootId: "string",
  cameraId: "string",
  frameSeq: "string",
  label: "string",
  source: "string",
  confidence: "number",
  reason: "string",
  settledBy: "string",
  edgeLabel: "string",
  edgeConfidence: "number",
  latencyMs: "number",
};

export const jsonDownlinkSchemas = {
  results: {
    type: "object",
    description: "One frame's final answer, in the fields of FinalAnswer. bootId and frameSeq are decimal digits.",
    properties: {
      ...Object.fromEntries(Object.entries(ANSWER).map(([name, type]) => [name, { type }])),
      cloudLabel: { type: ["string", "null"] },
      cloudTarget: { type: ["string", "null"] },
    },
    required: [...Object.keys(ANSWER), "cloudLabel", "cloudTarget"],
  },
  sampling: {
    type: "object",
    properties: { key: { type: "string", contentEncoding: "base64", description: "32 bytes." } },
    required: ["key"],
  },
} satisfies { readonly [channel: string]: JsonSchema };

/** `range`: of the field, which holds for each number in it. `named`: Avro names a type where it is first used, and refers
 * to it afterwards. */
function schemaOf(schema: AvroSchema, { maxItems, ...range }: FieldRange, named: Map<string, AvroSchema>): JsonSchema {
  if (Array.isArray(schema)) return { anyOf: schema.map((branch) => schemaOf(branch, range, named)) };
  const known = typeof schema === "string" ? named.get(schema) : undefined;
  if (known !== undefined) return schemaOf(known, range, named);
  const type: string = typeof schema === "string" ? schema : schema.type;
  if (schema.name !== undefined) named.set(schema.name, schema);
  switch (type) {
    case "record":
      return recordOf(schema, named);
    case "enum":
      return { type: "string", enum: schema.symbols };
    case "array":
      return {
        type: "array",
        items: schemaOf(schema.items, range, named),
        ...(maxItems !== undefined && { maxItems }),
      };
    case "map": {
      const additionalProperties = schemaOf(schema.values, range, named);
      return { type: "object", additionalProperties, ...(maxItems !== undefined && { maxProperties: maxItems }) };
    }
    case "long":
      if (schema.logicalType === "timestamp-millis") return { type: "integer" };
      return { anyOf: [{ type: "integer", ...range }, DIGITS] };
    case "int":
      return { type: "integer", ...range };
    case "float":
    case "double":
      return { type: "number", ...range };
    case "bytes":
      return { type: "string", contentEncoding: "base64" };
    default:
      return { type }; // null, boolean, string
  }
}

/** Beyond 2^53 a number of JSON is not exact. */
const DIGITS: JsonSchema = { type: "string", pattern: "^-?[0-9]{1,19}$" };

function recordOf({ name, doc, fields }: AvroSchema, named: Map<string, AvroSchema>): JsonSchema {
  const nameOf = (field: AvroSchema): string => JSON_NAMES[name]?.[field.name] ?? field.name;
  const properties = fields.map((field: AvroSchema) => {
    const { minimum, maximum, maxItems } = field;
    const range = { ...(minimum !== undefined && { minimum }), ...(maximum !== undefined && { maximum }) };
    const schema = schemaOf(field.type, { ...range, ...(maxItems !== undefined && { maxItems }) }, named);
    return [nameOf(field), { ...schema, description: field.doc }];
  });
  const required = JSON_NEEDS[name] ?? fields.filter((field: AvroSchema) => field.default === undefined).map(nameOf);
  return {
    type: "object",
    description: doc,
    properties: Object.fromEntries(properties),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}
