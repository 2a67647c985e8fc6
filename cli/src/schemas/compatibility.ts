/**
 * Whether one Avro schema can read what another wrote, field by field, with every reason: Avro's resolution rules as our
 * codecs apply them. avsc decides the same but gives one reason at most; a test compares the two.
 *
 * K1. FULL_TRANSITIVE: the current schema can read, and can be read by, every earlier version.
 * K2. Every incompatible field is named by its path, not only the first.
 */
export type Obstacle = { readonly path: string; readonly why: string };
export type Verdict = {
  /** Version compared with. */
  readonly version: number;
  /** What the current schema cannot read of that version, and vice versa. */
  readonly backward: readonly Obstacle[];
  readonly forward: readonly Obstacle[];
};

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Versioned = { readonly version: number; readonly schema: Json };

export const fullTransitive = (today: Json, before: readonly Versioned[]): Verdict[] =>
  before.map(({ version, schema }) => ({
    version,
    backward: obstacles(today, schema),
    forward: obstacles(schema, today),
  })); // K1

type Complex = {
  readonly type: string;
  readonly name?: string;
  readonly fields?: readonly Field[];
  readonly symbols?: readonly string[];
  readonly default?: unknown;
  readonly items?: Json;
  readonly values?: Json;
  readonly size?: number;
  readonly aliases?: readonly string[];
};
type Field = {
  readonly name: string;
  readonly type: Json;
  readonly default?: unknown;
  readonly aliases?: readonly string[];
};
type Names = Map<string, Complex>;
type Side = { readonly schema: Json; readonly names: Names };

/** Why `reader` cannot read what `writer` wrote; empty when it can. */
export function obstacles(reader: Json, writer: Json): Obstacle[] {
  const compare = new Comparison();
  compare.types({ schema: reader, names: namesOf(reader) }, { schema: writer, names: namesOf(writer) }, "");
  return compare.found;
}

const PRIMITIVES = new Set(["null", "boolean", "int", "long", "float", "double", "bytes", "string"]);
/** Types that a reader of the key can also read. */
const PROMOTIONS: Readonly<Record<string, readonly string[]>> = {
  long: ["int"],
  float: ["int", "long"],
  double: ["int", "long", "float"],
  string: ["bytes"],
  bytes: ["string"],
};

class Comparison {
  readonly found: Obstacle[] = [];
  /** Pairs of records being compared, so that recursive schemas terminate. */
  readonly #open = new Set<string>();

  types(reader: Side, writer: Side, path: string): void {
    const written = resolved(writer);
    if (isUnion(written)) {
      for (const branch of written) this.types(reader, { ...writer, schema: branch }, path);
      return;
    }
    const read = resolved(reader);
    if (isUnion(read)) this.#intoUnion(read, reader, { ...writer, schema: written as unknown as Json }, path);
    else this.#simple(read as Complex, written as Complex, reader, writer, path);
  }

  #intoUnion(branches: readonly Json[], reader: Side, writer: Side, path: string): void {
    const fits = branches.some((branch) => {
      const attempt = new Comparison();
      for (const pair of this.#open) attempt.#open.add(pair);
      attempt.types({ ...reader, schema: branch }, writer, path);
      return attempt.found.length === 0;
    });
    if (!fits) this.#report(path, `${textOf(branches)} has no branch for ${textOf(writer.schema)}`);
  }

  #simple(read: Complex, written: Complex, reader: Side, writer: Side, path: string): void {
    const inner = (name: "items" | "values", step: string) =>
      this.types({ ...reader, schema: read[name] ?? null }, { ...writer, schema: written[name] ?? null }, path + step);
    if (read.type !== written.type) {
      const isWider = PROMOTIONS[read.type]?.includes(written.type) === true;
      if (!isWider) this.#report(path, `${textOf(read)} cannot be read from ${textOf(written)}`);
    } else if (read.type === "array") inner("items", "[]");
    else if (read.type === "map") inner("values", "{}");
    else if (read.name !== undefined && !sameName(read, written)) {
      this.#report(
        path,
        `${read.type} ${read.name} cannot be read from ${written.type} ${written.name}: the name differs`,
      );
    } else if (read.type === "record") this.#records(read, written, reader, writer, path);
    else if (read.type === "enum") this.#enums(read, written, path);
    else if (read.type === "fixed" && read.size !== written.size) {
      this.#report(path, `${read.size} bytes, written with ${written.size}`);
    }
  }

  #records(read: Complex, written: Complex, reader: Side, writer: Side, path: string): void {
    const pair = `${read.name} ${written.name}`;
    if (this.#open.has(pair)) return;
    this.#open.add(pair);
    for (const field of read.fields ?? []) {
      const names = [field.name, ...(field.aliases ?? [])];
      const source = written.fields?.find(({ name }) => names.includes(name));
      const at = path === "" ? field.name : `${path}.${field.name}`;
      if (source !== undefined) this.types({ ...reader, schema: field.type }, { ...writer, schema: source.type }, at);
      else if (field.default === undefined) this.#report(at, "it has no default and the writer's schema lacks it");
    }
    this.#open.delete(pair);
  }

  #enums(read: Complex, written: Complex, path: string): void {
    const unknown = (written.symbols ?? []).filter((symbol) => !read.symbols?.includes(symbol));
    if (unknown.length === 0 || read.default !== undefined) return;
    this.#report(path, `the enum has no default for the symbols it does not have: ${unknown.join(", ")}`);
  }

  #report(path: string, why: string): void {
    this.found.push({ path: path || "(the record)", why }); // K2
  }
}

const isUnion = (schema: unknown): schema is readonly Json[] => Array.isArray(schema);

/** A primitive as an object, a name as its definition. */
function resolved({ schema, names }: Side): Complex | readonly Json[] {
  if (isUnion(schema)) return schema;
  if (typeof schema === "string") {
    const named = names.get(schema) ?? names.get(lastPart(schema));
    return named ?? { type: schema };
  }
  const complex = schema as unknown as Complex;
  const inner: unknown = complex.type;
  if (typeof inner === "string")
    return PRIMITIVES.has(inner) || isComplex(inner) ? complex : resolved({ schema: inner, names });
  return resolved({ schema: inner as Json, names });
}

const isComplex = (type: string): boolean => ["record", "enum", "fixed", "array", "map"].includes(type);
const lastPart = (name: string): string => name.split(".").at(-1) ?? name;
const sameName = (read: Complex, written: Complex): boolean =>
  [read.name, ...(read.aliases ?? [])].some((name) => lastPart(name ?? "") === lastPart(written.name ?? ""));

/** Every named type inside, by its name without namespace. */
export function namesOf(schema: Json, names: Names = new Map()): Names {
  if (isUnion(schema)) for (const branch of schema) namesOf(branch, names);
  else if (typeof schema === "object" && schema !== null) {
    const complex = schema as unknown as Complex;
    if (complex.name !== undefined) names.set(lastPart(complex.name), complex);
    for (const field of complex.fields ?? []) namesOf(field.type, names);
    for (const inner of [complex.items, complex.values]) if (inner !== undefined) namesOf(inner, names);
    if (typeof complex.type === "object") namesOf(complex.type as Json, names);
  }
  return names;
}

/** A type in a few words. */
export function textOf(schema: unknown): string {
  if (Array.isArray(schema)) return `[${schema.map(textOf).join(", ")}]`;
  if (typeof schema !== "object" || schema === null) return String(schema);
  const { type, name, items, values } = schema as Complex & { readonly logicalType?: string };
  if (name !== undefined) return `${type} ${name}`;
  if (type === "array") return `array of ${textOf(items)}`;
  if (type === "map") return `map of ${textOf(values)}`;
  const { logicalType } = schema as { readonly logicalType?: string };
  return logicalType === undefined ? textOf(type) : `${textOf(type)} (${logicalType})`;
}
