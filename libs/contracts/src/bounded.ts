/**
 * Walks Avro binary without building it, so that a hostile record is refused before a decoder sees it: six bytes that
 * announce a huge array would otherwise make the decoder allocate until the process dies.
 *
 * A block announces at most as many items as bytes remain; no item of ours is empty. A record fills its buffer exactly. An int
 * has 32 bits: the decoder would hand on a wider one that no encoder takes. Where ranges are asked for, every number is in its
 * field's range (ranges.ts), and every double is finite. A fault names its place: `predictions[3].confidence: 7 is not 0 to
 * 1`.
 *
 * B2. Strings, bytes, arrays and maps are bounded by `DecodeLimits`. A string that holds a document is marked in its schema
 *     (`bytesMax`), and may be as long as bytes. */
import { ContractError, type ContractErrorCode } from "./errors.ts";
import { type FieldRange, type Ranges, rangeText } from "./ranges.ts";

export type DecodeLimits = {
  readonly stringBytesMax: number;
  readonly bytesMax: number;
  readonly arrayItemsMax: number;
  readonly mapEntriesMax: number;
};

export const DECODE_LIMITS: DecodeLimits = {
  stringBytesMax: 4_096,
  bytesMax: 8 * 1024 * 1024,
  arrayItemsMax: 65_536,
  mapEntriesMax: 4_096,
};

/** Returns the offset behind what it walked; throws Fault. */
type Walker = (bytes: Uint8Array, offset: number) => number;

// biome-ignore lint/suspicious/noExplicitAny: an Avro schema is JSON of many shapes
export type AvroSchema = any;

/** A fault on its way out: who lets it pass adds where it was. */
class Fault extends Error {
  readonly code: ContractErrorCode;
  readonly path: string[] = [];

  constructor(code: ContractErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  static within(error: unknown, part: string): unknown {
    if (error instanceof Fault) error.path.unshift(part);
    return error;
  }

  get asContractError(): ContractError {
    const path = this.path.join("").slice(1);
    return new ContractError(this.code, path === "" ? this.message : `${path}: ${this.message}`);
  }
}

type Scope = {
  readonly limits: DecodeLimits;
  /** Undefined: not asked for. */
  readonly ranges: Ranges | undefined;
  readonly named: Map<string, Walker>;
  /** Of the record that is being walked: what it holds in its arrays and maps. */
  readonly counted: { items: number };
};

/** A function that throws ContractError for what exceeds a bound, and with `ranges` also for what is out of its range. It
 * returns how many items the record has in all its arrays and maps. */
export function compileBoundsCheck(
  schema: AvroSchema,
  limits: DecodeLimits = DECODE_LIMITS,
  ranges?: Ranges,
): (bytes: Uint8Array) => number {
  const counted = { items: 0 };
  const walk = compile(schema, { limits, ranges, named: new Map(), counted }, "", {});
  return (bytes) => {
    let end: number;
    counted.items = 0;
    try {
      end = walk(bytes, 0);
    } catch (error) {
      throw error instanceof Fault ? error.asContractError : error;
    }
    if (end !== bytes.length) {
      throw new ContractError("record-trailing-bytes", `${bytes.length - end} bytes follow the record`);
    }
    return counted.items;
  };
}

/** `range` is that of the field which has the value, or has it in an array or map. */
function compile(schema: AvroSchema, scope: Scope, namespace: string, range: FieldRange): Walker {
  const { limits, named } = scope;
  if (Array.isArray(schema)) {
    const branches = schema.map((branch) => compile(branch, scope, namespace, range));
    return (bytes, offset) => {
      const index = readLong(bytes, offset);
      const branch = branches[index.value];
      if (branch === undefined) throw new Fault("record-union-branch", `no union branch ${index.value}`);
      return branch(bytes, index.end);
    };
  }
  const type = typeof schema === "string" ? schema : schema.type;
  switch (type) {
    case "null":
      return (_, offset) => offset;
    case "boolean":
      return (bytes, offset) => advance(bytes, offset, 1);
    case "int":
      return (bytes, offset) => {
        const { value, end } = readLong(bytes, offset);
        if ((value | 0) !== value) throw new Fault("record-number", `${value} is no int`);
        assertWithin(range, value);
        return end;
      };
    case "long":
      return (bytes, offset) => {
        const { value, end } = readLong(bytes, offset);
        assertWithin(range, value);
        return end;
      };
    case "float":
      return (bytes, offset) => advance(bytes, offset, 4);
    case "double":
      return scope.ranges === undefined ? (bytes, offset) => advance(bytes, offset, 8) : finiteDouble(range);
    case "string":
      return sized("string", stringBytesMax(schema, limits));
    case "bytes":
      return sized("bytes", limits.bytesMax);
    case "fixed":
      return remember(schema, named, namespace, (bytes, offset) => advance(bytes, offset, schema.size));
    case "enum": {
      const count = schema.symbols.length;
      return remember(schema, named, namespace, (bytes, offset) => {
        const index = readLong(bytes, offset);
        if (index.value < 0 || index.value >= count) {
          throw new Fault("record-enum-symbol", `${schema.name} has no symbol ${index.value}`);
        }
        return index.end;
      });
    }
    case "array": {
      const itemsMax = Math.min(limits.arrayItemsMax, range.maxItems ?? limits.arrayItemsMax);
      const item = compile(schema.items, scope, namespace, range);
      return blocks(item, itemsMax, "array", scope.counted, (_bytes, _at, index) => `[${index}]`);
    }
    case "map": {
      const entriesMax = Math.min(limits.mapEntriesMax, range.maxItems ?? limits.mapEntriesMax);
      const key = sized("string", limits.stringBytesMax);
      const value = compile(schema.values, scope, namespace, range);
      return blocks((bytes, offset) => value(bytes, key(bytes, offset)), entriesMax, "map", scope.counted, keyAt);
    }
    case "record":
      return recordOf(schema, scope, namespace);
    default: {
      if (typeof schema === "object" && typeof type === "object") return compile(type, scope, namespace, range);
      const walker = named.get(type) ?? named.get(`${namespace}.${type}`);
      if (walker === undefined) throw new ContractError("schema-unknown-type", `unknown Avro type ${type}`);
      return walker;
    }
  }
}

function recordOf(schema: AvroSchema, scope: Scope, namespace: string): Walker {
  const inner = schema.namespace ?? namespace;
  const names: string[] = schema.fields.map((field: AvroSchema) => `.${field.name}`);
  let fields: Walker[] = [];
  const record = remember(schema, scope.named, namespace, (bytes, offset) => {
    let at = offset;
    let index = 0;
    try {
      for (; index < fields.length; index++) at = (fields[index] as Walker)(bytes, at);
    } catch (error) {
      throw Fault.within(error, names[index] ?? "");
    }
    return at;
  });
  fields = schema.fields.map((field: AvroSchema) =>
    compile(field.type, scope, inner, scope.ranges?.get(`${schema.name}.${field.name}`) ?? {}),
  );
  return record;
}

function assertWithin(range: FieldRange, value: number): void {
  if (range.minimum !== undefined && value < range.minimum) throw outOfRange(range, value);
  if (range.maximum !== undefined && value > range.maximum) throw outOfRange(range, value);
}

const outOfRange = (range: FieldRange, value: number): Fault =>
  new Fault("value-out-of-range", `${value} is not ${rangeText(range)}`);

const scratch = new DataView(new ArrayBuffer(8));

function finiteDouble(range: FieldRange): Walker {
  return (bytes, offset) => {
    const end = advance(bytes, offset, 8);
    for (let i = 0; i < 8; i++) scratch.setUint8(i, bytes[offset + i] as number);
    const value = scratch.getFloat64(0, true);
    if (!Number.isFinite(value)) throw new Fault("value-out-of-range", `${value} is not a finite number`);
    assertWithin(range, value);
    return end;
  };
}

const stringBytesMax = ({ bytesMax }: AvroSchema, limits: DecodeLimits): number =>
  typeof bytesMax === "number" ? Math.min(bytesMax, limits.bytesMax) : limits.stringBytesMax;

function remember(schema: AvroSchema, named: Map<string, Walker>, namespace: string, walker: Walker): Walker {
  named.set(schema.name, walker);
  named.set(`${schema.namespace ?? namespace}.${schema.name}`, walker);
  return walker;
}

function sized(kind: string, max: number): Walker {
  return (bytes, offset) => {
    const length = readLong(bytes, offset);
    if (length.value < 0 || length.value > max) {
      throw new Fault("record-oversized", `a ${kind} of ${length.value} bytes; at most ${max} are accepted`);
    }
    return advance(bytes, length.end, length.value);
  };
}

/** `placeOf` an item that starts at `at` in its array or map; asked for when something is wrong with it. */
function blocks(
  item: Walker,
  itemsMax: number,
  kind: string,
  counted: { items: number },
  placeOf: (bytes: Uint8Array, at: number, index: number) => string,
): Walker {
  return (bytes, offset) => {
    let at = offset;
    let total = 0;
    for (;;) {
      const announced = readLong(bytes, at);
      at = announced.end;
      if (announced.value === 0) return at;
      const count = Math.abs(announced.value);
      if (announced.value < 0) at = readLong(bytes, at).end; // the block's size in bytes, which we do not trust
      const end = total + count;
      counted.items += count;
      if (count > bytes.length - at || end > itemsMax) {
        throw new Fault("record-block-count", `it announces ${end} ${kind} items; at most ${itemsMax} fit`);
      }
      for (; total < end; total++) {
        try {
          at = item(bytes, at);
        } catch (error) {
          throw Fault.within(error, placeOf(bytes, at, total));
        }
      }
    }
  };
}

const KEY_BYTES_SHOWN = 40;

/** Hostile text in a message stays short and printable. */
function keyAt(bytes: Uint8Array, at: number): string {
  const length = readLong(bytes, at);
  const shown = bytes.subarray(length.end, length.end + Math.min(length.value, KEY_BYTES_SHOWN));
  return `.${String.fromCharCode(...shown).replace(/[^\x20-\x7e]/g, "?")}`;
}

function advance(bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  if (end > bytes.length) throw new Fault("record-truncated", `ends ${end - bytes.length} bytes early`);
  return end;
}

/** Exact up to 2^53 and rounded beyond, which no bound of ours is near: a bigint would cost more than all else here. */
function readLong(bytes: Uint8Array, offset: number): { value: number; end: number } {
  let at = offset;
  let low = 0; // the first 28 bits, in an integer: nearly every length and count is this small
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Fault("record-truncated", "ends inside a number");
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value: (low >>> 1) ^ -(low & 1), end: at };
  }
  let zigzag = low;
  for (let bits = 28; bits < 70; bits += 7) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Fault("record-truncated", "ends inside a number");
    zigzag += (byte & 0x7f) * 2 ** bits;
    if (byte < 0x80) {
      if (bits === 63 && byte > 1) break;
      return { value: low & 1 ? -(zigzag + 1) / 2 : zigzag / 2, end: at };
    }
  }
  throw new Fault("record-number", "a number is longer than 64 bits");
}
