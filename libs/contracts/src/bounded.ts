/**
 * Walks Avro binary without building it, so that a hostile record is refused before a decoder sees it: six bytes that
 * announce a huge array would otherwise make the decoder allocate until the process dies.
 *
 * B1. A block announces at most as many items as bytes remain; no item of ours is empty.
 * B2. Strings, bytes, arrays and maps are bounded by `DecodeLimits`. A string that holds a document says so in its schema
 *     (`bytesMax`), and may be as long as bytes.
 * B3. A record fills its buffer exactly.
 * B4. An int has 32 bits: the decoder would hand on a wider one that no encoder takes.
 */
import { ContractError } from "./errors.ts";

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

/** Returns the offset behind what it walked; throws ContractError. */
type Walker = (bytes: Uint8Array, offset: number) => number;

// biome-ignore lint/suspicious/noExplicitAny: an Avro schema is JSON of many shapes
export type AvroSchema = any;

export function compileBoundsCheck(schema: AvroSchema, limits: DecodeLimits = DECODE_LIMITS): (b: Uint8Array) => void {
  const named = new Map<string, Walker>();
  const walk = compile(schema, limits, named, "");
  return (bytes) => {
    const end = walk(bytes, 0);
    if (end !== bytes.length) {
      throw new ContractError("record-trailing-bytes", `${bytes.length - end} bytes follow the record`); // B3
    }
  };
}

function compile(schema: AvroSchema, limits: DecodeLimits, named: Map<string, Walker>, namespace: string): Walker {
  if (Array.isArray(schema)) {
    const branches = schema.map((branch) => compile(branch, limits, named, namespace));
    return (bytes, offset) => {
      const index = readLong(bytes, offset);
      const branch = branches[Number(index.value)];
      if (branch === undefined) throw new ContractError("record-union-branch", `no union branch ${index.value}`);
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
        if (BigInt.asIntN(32, value) !== value) throw new ContractError("record-number", `${value} is no int`); // B4
        return end;
      };
    case "long":
      return (bytes, offset) => readLong(bytes, offset).end;
    case "float":
      return (bytes, offset) => advance(bytes, offset, 4);
    case "double":
      return (bytes, offset) => advance(bytes, offset, 8);
    case "string":
      return sized("string", stringBytesMax(schema, limits)); // B2
    case "bytes":
      return sized("bytes", limits.bytesMax); // B2
    case "fixed":
      return remember(schema, named, namespace, (bytes, offset) => advance(bytes, offset, schema.size));
    case "enum": {
      const count = schema.symbols.length;
      return remember(schema, named, namespace, (bytes, offset) => {
        const index = readLong(bytes, offset);
        if (index.value < 0n || index.value >= count) {
          throw new ContractError("record-enum-symbol", `${schema.name} has no symbol ${index.value}`);
        }
        return index.end;
      });
    }
    case "array":
      return blocks(compile(schema.items, limits, named, namespace), limits.arrayItemsMax, "array");
    case "map": {
      const key = sized("string", limits.stringBytesMax);
      const value = compile(schema.values, limits, named, namespace);
      return blocks((bytes, offset) => value(bytes, key(bytes, offset)), limits.mapEntriesMax, "map");
    }
    case "record": {
      const inner = schema.namespace ?? namespace;
      let fields: Walker[] = [];
      const record = remember(schema, named, namespace, (bytes, offset) => {
        let at = offset;
        for (const field of fields) at = field(bytes, at);
        return at;
      });
      fields = schema.fields.map((field: AvroSchema) => compile(field.type, limits, named, inner));
      return record;
    }
    default: {
      if (typeof schema === "object" && typeof type === "object") return compile(type, limits, named, namespace);
      const walker = named.get(type) ?? named.get(`${namespace}.${type}`);
      if (walker === undefined) throw new ContractError("schema-unknown-type", `unknown Avro type ${type}`);
      return walker;
    }
  }
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
    if (length.value < 0n || length.value > max) {
      throw new ContractError("record-oversized", `a ${kind} of ${length.value} bytes; at most ${max} are accepted`);
    }
    return advance(bytes, length.end, Number(length.value));
  };
}

function blocks(item: Walker, itemsMax: number, kind: string): Walker {
  return (bytes, offset) => {
    let at = offset;
    let total = 0n;
    for (;;) {
      const announced = readLong(bytes, at);
      at = announced.end;
      if (announced.value === 0n) return at;
      let count = announced.value;
      if (count < 0n) {
        count = -count;
        at = readLong(bytes, at).end; // the block's size in bytes, which we do not trust
      }
      total += count;
      // B1, B2
      if (count > bytes.length - at || total > itemsMax) {
        throw new ContractError("record-block-count", `a ${kind} announces ${total} items; at most ${itemsMax} fit`);
      }
      for (let i = 0n; i < count; i++) at = item(bytes, at);
    }
  };
}

function advance(bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  if (end > bytes.length) throw new ContractError("record-truncated", `ends ${end - bytes.length} bytes early`);
  return end;
}

function readLong(bytes: Uint8Array, offset: number): { value: bigint; end: number } {
  let at = offset;
  let low = 0; // the first 28 bits, in a number: nearly every length and count is this small
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined) throw new ContractError("record-truncated", "ends inside a number");
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value: BigInt((low >>> 1) ^ -(low & 1)), end: at };
  }
  let value = BigInt(low >>> 0);
  for (let shift = 28n; shift < 70n; shift += 7n) {
    const byte = bytes[at++];
    if (byte === undefined) throw new ContractError("record-truncated", "ends inside a number");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (value >= 1n << 64n) break;
      return { value: (value >> 1n) ^ -(value & 1n), end: at };
    }
  }
  throw new ContractError("record-number", "a number is longer than 64 bits");
}
