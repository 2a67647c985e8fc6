/**
 * Reads a JSON value as a record of an Avro schema, strictly: every mistake is reported at its path.
 *
 * A fault names its path: `predictions[3].label: expected a string, found 7`. Nothing is ignored: an unknown field is a fault,
 * and so is a text that is not well-formed Unicode. What comes out fits the schema: bytes were base64, a long a number or a
 * string of digits, a union its bare value. A field that is left out comes from `fill`, else from the schema's default; else
 * it is a fault. Nesting is bounded before it is parsed (G9): a megabyte of brackets holds the parser, and with it all other
 * devices, far longer than any record. */
import type { AvroSchema } from "@tributary/contracts";

/** Stable: metrics, dead letters and tests name them. */
export type JsonFaultCode = "json-malformed" | "json-unknown-field" | "json-missing-field" | "json-wrong-type";

export class JsonFault extends Error {
  readonly code: JsonFaultCode;

  constructor(code: JsonFaultCode, message: string) {
    super(message);
    this.name = "JsonFault";
    this.code = code;
  }
}

export type JsonObject = { readonly [field: string]: unknown };

export type RecordRules<C> = {
  /** By record name: what is left out, from what was given. `at` is its index among several records. */
  readonly fill?: { readonly [record: string]: (given: JsonObject, context: C, at: string) => JsonObject };
  /** By record name, then by the field's name in Avro: its name in JSON. */
  readonly names?: { readonly [record: string]: { readonly [field: string]: string } };
};

const INT_MAX = 2 ** 31 - 1;
const LONG_MAX = 2n ** 63n - 1n;
/** What a date can be, in ms. */
const INSTANT_MAX = 8.64e15;
const NAMES_SHOWN_MAX = 12;
const DEPTH_MAX = 64;
/** The largest batch that is accepted, 1,024 predictions with every field, has about half as many. */
const VALUES_MAX = 65_536;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Anything in JSON, of any number of values. */
export function parseJson(payload: Uint8Array, valuesMax = Number.POSITIVE_INFINITY): unknown {
  const exceeded = boundExceeded(payload, valuesMax);
  if (exceeded !== undefined) throw new JsonFault("json-malformed", exceeded);
  try {
    return JSON.parse(utf8.decode(payload));
  } catch (error) {
    // V8 quotes what it found, which may be a whole image.
    const reason = error instanceof SyntaxError ? clip(error.message, 120) : "it is not UTF-8";
    throw new JsonFault("json-malformed", `not JSON: ${reason}`);
  }
}

const [QUOTE, BACKSLASH, BRACKET, BRACE, COMMA] = [0x22, 0x5c, 0x5b, 0x7b, 0x2c];
const [BRACKET_END, BRACE_END] = [0x5d, 0x7d];

/** The bound that a payload exceeds. Strings, and so images, are skipped by the search of the platform. */
function boundExceeded(payload: Uint8Array, valuesMax: number): string | undefined {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < payload.length; at++) {
    const byte = payload[at];
    if (byte === BRACKET || byte === BRACE) {
      if (++values > valuesMax) return `it has more than ${valuesMax} values`;
      if (++depth > DEPTH_MAX) return `nested deeper than ${DEPTH_MAX}`;
    } else if (byte === BRACKET_END || byte === BRACE_END) {
      depth--;
    } else if (byte === COMMA) {
      if (++values > valuesMax) return `it has more than ${valuesMax} values`;
    } else if (byte === QUOTE) {
      at = endOfString(payload, at);
      if (at < 0) return undefined; // and no JSON
    }
  }
  return undefined;
}

function endOfString(payload: Uint8Array, start: number): number {
  let at = payload.indexOf(QUOTE, start + 1);
  while (at > 0 && isEscaped(payload, at)) at = payload.indexOf(QUOTE, at + 1);
  return at;
}

function isEscaped(payload: Uint8Array, at: number): boolean {
  let backslashes = 0;
  while (payload[at - 1 - backslashes] === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

export function parseJsonObject(payload: Uint8Array): JsonObject {
  const value = parseJson(payload, VALUES_MAX);
  if (!isObject(value)) throw new JsonFault("json-malformed", `expected an object, found ${shown(value)}`);
  return value;
}

export class JsonRecordReader<C> {
  readonly #schema: AvroSchema;
  readonly #rules: RecordRules<C>;
  /** Avro names a type where it is first used, and refers to it afterwards. */
  readonly #named = new Map<string, AvroSchema>();
  /** The fields of each record by their names in JSON. */
  readonly #fields = new Map<AvroSchema, ReadonlyMap<string, AvroSchema>>();

  constructor(schema: AvroSchema, rules: RecordRules<C>) {
    this.#schema = schema;
    this.#rules = rules;
    this.#learn(schema);
  }

  read(value: JsonObject, context: C): JsonObject {
    return this.#record(this.#schema, value, "", context);
  }

  #record(schema: AvroSchema, value: unknown, path: string, context: C): JsonObject {
    if (!isObject(value)) throw wrong(path, "an object", value);
    const fields = this.#fieldsOf(schema);
    for (const name of Object.keys(value)) {
      if (fields.has(name)) continue;
      const known = [...fields.keys()].slice(0, NAMES_SHOWN_MAX).join(", ");
      const more = fields.size > NAMES_SHOWN_MAX ? ", ..." : "";
      throw new JsonFault("json-unknown-field", `${at(path, clip(name))}: unknown field (known: ${known}${more})`);
    }
    const given: { [field: string]: unknown } = {};
    for (const [name, field] of fields) {
      if (!Object.hasOwn(value, name)) continue;
      given[field.name] = this.#value(field.type, value[name], at(path, name), field.name, context);
    }
    const filled = { ...this.#rules.fill?.[schema.name]?.(given, context, path), ...given };
    const read: { [field: string]: unknown } = {};
    for (const [name, field] of fields) {
      const one = filled[field.name];
      read[field.name] = one === undefined ? field.default : one;
      if (read[field.name] === undefined) {
        throw new JsonFault("json-missing-field", `${at(path, name)}: missing`);
      }
    }
    return read;
  }

  #fieldsOf(schema: AvroSchema): ReadonlyMap<string, AvroSchema> {
    let fields = this.#fields.get(schema);
    if (fields === undefined) {
      const names = this.#rules.names?.[schema.name] ?? {};
      fields = new Map(schema.fields.map((field: AvroSchema) => [names[field.name] ?? field.name, field]));
      this.#fields.set(schema, fields);
    }
    return fields;
  }

  #value(schema: AvroSchema, value: unknown, path: string, name: string, context: C): unknown {
    if (Array.isArray(schema)) return this.#union(schema, value, path, name, context);
    const type = typeof schema === "string" ? schema : schema.type;
    switch (type) {
      case "record":
        return this.#record(schema, value, path, context);
      case "enum":
        if (typeof value !== "string" || !schema.symbols.includes(value)) {
          throw wrong(path, `one of ${schema.symbols.join(", ")}`, value);
        }
        return value;
      case "array":
        if (!Array.isArray(value)) throw wrong(path, "an array", value);
        return value.map((item, i) => this.#value(schema.items, item, `${path}[${i}]`, name, context));
      case "map":
        return this.#map(schema, value, path, name, context);
      case "boolean":
        if (typeof value !== "boolean") throw wrong(path, "true or false", value);
        return value;
      case "string":
        if (typeof value !== "string") throw wrong(path, "a string", value);
        if (!value.isWellFormed()) throw wrong(path, "well-formed Unicode", value);
        return value;
      case "bytes":
        return bytesOf(value, path);
      case "int":
        if (typeof value !== "number" || !Number.isInteger(value) || Math.abs(value) > INT_MAX) {
          throw wrong(path, `an integer of 32 bits`, value);
        }
        return value;
      case "long":
        return schema.logicalType === "timestamp-millis" ? instantOf(value, path) : longOf(value, path);
      case "float":
      case "double":
        if (typeof value !== "number" || !Number.isFinite(value)) throw wrong(path, "a number", value);
        return value;
      default: {
        const named = this.#named.get(type);
        if (named === undefined) throw new Error(`the schema's type ${JSON.stringify(type)} is not read from JSON`);
        return this.#value(named, value, path, name, context);
      }
    }
  }

  /** Only optional values are unions in our contract. */
  #union(branches: readonly AvroSchema[], value: unknown, path: string, name: string, context: C): unknown {
    if (value === null && branches.includes("null")) return null;
    const [branch, ...others] = branches.filter((one) => one !== "null");
    if (branch === undefined || others.length > 0) throw new Error("the schema's union is not read from JSON");
    return this.#value(branch, value, path, name, context);
  }

  #map(schema: AvroSchema, value: unknown, path: string, name: string, context: C): JsonObject {
    if (!isObject(value)) throw wrong(path, "an object", value);
    // A key may be __proto__, which an ordinary object would swallow.
    const read: { [key: string]: unknown } = Object.create(null);
    for (const [key, item] of Object.entries(value)) {
      if (!key.isWellFormed()) throw wrong(path, "keys of well-formed Unicode", key);
      read[key] = this.#value(schema.values, item, at(path, clip(key)), name, context);
    }
    return read;
  }

  #learn(schema: AvroSchema): void {
    if (Array.isArray(schema)) for (const branch of schema) this.#learn(branch);
    else if (typeof schema === "object" && schema !== null) {
      if (schema.name !== undefined) this.#named.set(schema.name, schema);
      for (const field of schema.fields ?? []) this.#learn(field.type);
      for (const inner of [schema.items, schema.values]) if (inner !== undefined) this.#learn(inner);
    }
  }
}

function longOf(value: unknown, path: string): bigint {
  if (typeof value === "number" && Number.isInteger(value)) {
    // JSON.parse has already rounded it: another record's number would be stored.
    if (!Number.isSafeInteger(value)) throw wrong(path, "an integer beyond 2^53 written as a string", value);
    return BigInt(value);
  }
  if (typeof value === "string" && /^-?\d{1,19}$/.test(value)) {
    const long = BigInt(value);
    if (long <= LONG_MAX && long >= -LONG_MAX) return long;
  }
  throw wrong(path, "an integer of 64 bits, as a number or a string", value);
}

function instantOf(value: unknown, path: string): number {
  const ms = Number(longOf(value, path));
  if (Math.abs(ms) > INSTANT_MAX) throw wrong(path, "milliseconds since 1970", value);
  return ms;
}

function bytesOf(value: unknown, path: string): Buffer {
  if (typeof value !== "string") throw wrong(path, "base64 in a string", value);
  // Node skips what is not base64, and would decode half of a text silently.
  if (value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
    throw wrong(path, "base64 (RFC 4648, padded, without line breaks)", value);
  }
  return Buffer.from(value, "base64");
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const at = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);

const wrong = (path: string, expected: string, found: unknown): JsonFault =>
  new JsonFault("json-wrong-type", `${path}: expected ${expected}, found ${shown(found)}`);

function shown(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return clip(typeof value === "string" ? `"${value.slice(0, 40)}"` : String(value));
}

/** Hostile text in a message stays short and printable. */
const clip = (text: string, charsMax = 40): string => {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
  return cut.toWellFormed().replace(/[^\x20-\x7e…]/g, "?");
};
