/**
 * Encodes and decodes one record type, in every version that ever landed.
 *
 * Decoding checks bounds first (bounded.ts), so no input can exhaust memory.
 *
 * C2. Whatever landed version wrote the bytes, the reader gets today's shape (Avro schema resolution).
 * C3. Avro `long` is a bigint, `timestamp-millis` a number of milliseconds.
 * C4. A newer writer's schema is learned only if today's shape can be read from it, and a bounded number (G9).
 * C5. Ranges (ranges.ts) are checked where devices' records come in, by today's schema whatever version wrote them; not where
 *     stored ones are read, since one from before its range was known must not stop a partition. */
import avro from "avsc";
import { type AvroSchema, compileBoundsCheck } from "./bounded.ts";
import { ContractError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { frameConfluent, frameSingleObject, openConfluent, openSingleObject } from "./framing.ts";
import { type Ranges, rangesOf } from "./ranges.ts";

/** One landed version of a schema. `id` is the registry's, `fingerprint` CRC-64-AVRO. */
export type SchemaVersion = {
  readonly version: number;
  readonly id: number;
  readonly fingerprint: string;
  readonly schema: AvroSchema;
};

const int64 = avro.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64LE(value);
    return buffer;
  },
  fromJSON: (value: number | string) => BigInt(value),
  toJSON: (value: bigint) => Number(value),
  isValid: (value: unknown) => typeof value === "bigint",
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

/** avsc builds the long under a logical type itself, past the registry: here it is a number, which milliseconds fit. */
class TimestampMillis extends avro.types.LogicalType {
  override _fromValue(value: unknown): number {
    return Number(value);
  }
  override _toValue(value: unknown): unknown {
    return typeof value === "number" && Number.isFinite(value) ? Math.round(value) : undefined;
  }
  override _resolve(type: avro.Type): ((value: unknown) => number) | undefined {
    return avro.Type.isType(type, "long") || avro.Type.isType(type, "logical:timestamp-millis")
      ? (value) => Number(value)
      : undefined;
  }
}

const typeOf = (schema: AvroSchema): avro.Type =>
  avro.Type.forSchema(schema, {
    registry: { long: int64 },
    logicalTypes: { "timestamp-millis": TimestampMillis },
    wrapUnions: false,
  } as unknown as Parameters<typeof avro.Type.forSchema>[1]);

const LEARNED_MAX = 64;

type Reader = { readonly check: (bytes: Uint8Array) => void; readonly read: (bytes: Buffer) => unknown };

export class Codec<T> {
  /** Record name, e.g. EdgeFrame. */
  readonly name: string;
  /** Oldest first; the last is what we write. */
  readonly versions: readonly SchemaVersion[];
  readonly current: SchemaVersion;
  readonly #type: avro.Type;
  readonly #ranges: Ranges;
  readonly #checks = new Map<SchemaVersion, (bytes: Uint8Array) => number>();
  readonly #readers = new Map<SchemaVersion, Reader>();
  readonly #older = new Map<SchemaVersion, avro.Type>();
  readonly #learned = new Map<number, SchemaVersion>();

  constructor(name: string, versions: readonly SchemaVersion[]) {
    const current = versions.at(-1);
    if (current === undefined) throw new ContractError("schema-unknown-type", `${name} has no version`);
    this.name = name;
    this.versions = versions;
    this.current = current;
    this.#type = typeOf(current.schema);
    this.#ranges = rangesOf(current.schema);
  }

  /** Bare Avro binary, in today's schema by default. Throws ContractError `record-undecodable`, naming the field, when
   * the value does not fit. */
  encode(value: T, version: SchemaVersion = this.current): Buffer {
    const type = version === this.current ? this.#type : this.#olderType(version);
    let wrong: string | undefined;
    const valid = type.isValid(value, {
      errorHook: (path: string[], any: unknown) => {
        wrong ??= `${path.join(".")} = ${String(any)}`;
      },
    });
    if (!valid) throw new ContractError("record-undecodable", `${this.name}: ${wrong ?? "not a record"}`);
    return type.toBuffer(value);
  }

  /** Bare Avro binary, written by `version` (ours by default). */
  decode(bytes: Uint8Array, version: SchemaVersion = this.current): T {
    const reader = this.#reader(version);
    reader.check(bytes);
    try {
      return reader.read(asBuffer(bytes)) as T;
    } catch (error) {
      throw new ContractError("record-undecodable", `${this.name}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Checks bounds and ranges of bare binary without building it: what a bridge does before it reframes. Throws
   * ContractError, which names the field. Returns how many items the record has in all its arrays and maps. C5 */
  check(bytes: Uint8Array, version: SchemaVersion = this.current): number {
    let check = this.#checks.get(version);
    if (check === undefined) {
      check = compileBoundsCheck(version.schema, undefined, this.#ranges);
      this.#checks.set(version, check);
    }
    return check(bytes);
  }

  /** Confluent wire format V0: 0x00, registry id (big endian), binary. */
  encodeConfluent(value: T): Buffer {
    return frameConfluent(this.current.id, this.encode(value));
  }

  decodeConfluent(bytes: Uint8Array): T {
    const { id, payload } = openConfluent(bytes);
    return this.decode(payload, this.versionById(id));
  }

  /** Avro single-object encoding: C3 01, fingerprint (little endian), binary. */
  encodeSingleObject(value: T, version: SchemaVersion = this.current): Buffer {
    return frameSingleObject(version.fingerprint, this.encode(value, version));
  }

  decodeSingleObject(bytes: Uint8Array): T {
    const { fingerprint, payload } = openSingleObject(bytes);
    return this.decode(payload, this.versionByFingerprint(fingerprint));
  }

  /** Makes records readable that a newer writer than this build marked with `id`. False: today's shape cannot be read from
   * that schema, or too many were learned. C4 */
  learn(id: number, schema: AvroSchema): boolean {
    if (this.#learned.has(id)) return true;
    if (this.#learned.size >= LEARNED_MAX) return false;
    try {
      this.#type.createResolver(typeOf(schema));
      this.#learned.set(id, { version: 0, id, fingerprint: fingerprintOf(schema), schema });
      return true;
    } catch {
      return false;
    }
  }

  versionById(id: number): SchemaVersion {
    const version = this.versions.find((candidate) => candidate.id === id) ?? this.#learned.get(id);
    if (version === undefined) throw new ContractError("schema-unknown-id", `${this.name} has no schema id ${id}`);
    return version;
  }

  /** Of those that landed, and those learned since. */
  withFingerprint(fingerprint: string): SchemaVersion | undefined {
    const isIt = (candidate: SchemaVersion): boolean => candidate.fingerprint === fingerprint;
    return this.versions.find(isIt) ?? [...this.#learned.values()].find(isIt);
  }

  versionByFingerprint(fingerprint: string): SchemaVersion {
    const version = this.withFingerprint(fingerprint);
    if (version !== undefined) return version;
    throw new ContractError("schema-unknown-fingerprint", `${this.name} has no schema with fingerprint ${fingerprint}`);
  }

  /** For people and `-o json`: bigints as numbers or, above 2^53, decimal strings; bytes as base64. */
  toJson(value: T): unknown {
    return JSON.parse(JSON.stringify(value, jsonSafe));
  }

  #olderType(version: SchemaVersion): avro.Type {
    let type = this.#older.get(version);
    if (type === undefined) {
      type = typeOf(version.schema);
      this.#older.set(version, type);
    }
    return type;
  }

  #reader(version: SchemaVersion): Reader {
    let reader = this.#readers.get(version);
    if (reader === undefined) {
      const check = compileBoundsCheck(version.schema);
      if (version === this.current) {
        reader = { check, read: (bytes) => this.#type.fromBuffer(bytes) };
      } else {
        const resolver = this.#type.createResolver(this.#olderType(version));
        reader = { check, read: (bytes) => this.#type.fromBuffer(bytes, resolver) };
      }
      this.#readers.set(version, reader);
    }
    return reader;
  }
}

export function jsonSafe(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") {
    return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value.toString();
  }
  const bytes = value as { type?: unknown; data?: unknown } | null;
  if (bytes !== null && typeof bytes === "object" && bytes.type === "Buffer" && Array.isArray(bytes.data)) {
    return Buffer.from(bytes.data).toString("base64");
  }
  return value;
}

/** Whether `reader` can read what `writer` wrote. Throws with the reason when not. */
export function assertReadable(reader: AvroSchema, writer: AvroSchema): void {
  typeOf(reader).createResolver(typeOf(writer));
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
