/** Protocol buffers without a schema: walks the fields of a message, and writes fields. Unreadable fields are reported as such. */
import { invariant } from "@tributary/kernel";

export type Field = {
  readonly number: number;
  /** Of a varint; 0 otherwise. Exact up to 2^53. */
  readonly value: number;
  /** Of a length-delimited field: a message, text or packed numbers. */
  readonly bytes: Buffer | null;
  /** The field as it is written, of whatever type. */
  readonly raw: Buffer;
};

export class UnreadableMessage extends Error {}

export function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new UnreadableMessage("cut short");
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    let value = 0;
    let bytes: Buffer | null = null;
    switch (tag % 8) {
      case 0:
        value = varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        bytes = message.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new UnreadableMessage(`wire type ${tag % 8}`);
    }
    if (at > message.length) throw new UnreadableMessage("cut short");
    yield { number: Math.floor(tag / 8), value, bytes, raw: message.subarray(start, at) };
  }
}

/** The whole numbers (int32, int64) of a field, one or packed; negative ones take ten bytes. */
export function integersOf({ bytes, raw }: Field): bigint[] {
  if (bytes !== null) return varintsOf(bytes);
  return varintsOf(raw).slice(1); // Without the field's number.
}

function varintsOf(bytes: Buffer): bigint[] {
  const values: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    values.push(BigInt.asIntN(64, value));
    value = 0n;
    shift = 0n;
  }
  if (shift > 0n) throw new UnreadableMessage("cut short");
  return values;
}

/** A message, text or packed numbers. */
export const lengthDelimited = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([varintOf(number * 8 + 2), varintOf(bytes.length), bytes]);

/** A whole number from 0 to 2^53 - 1. */
export const varint = (number: number, value: number): Buffer => Buffer.concat([varintOf(number * 8), varintOf(value)]);

/** A whole number that may be negative (int32, int64). */
export function integer(number: number, value: number): Buffer {
  invariant(Number.isSafeInteger(value), `${value} is written as a whole number`);
  if (value >= 0) return varint(number, value);
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    if (rest < 0x80n) return Buffer.concat([varintOf(number * 8), Buffer.from([...bytes, Number(rest)])]);
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}

/** A float32. */
export function float(number: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varintOf(number * 8 + 5), bytes]);
}

function varintOf(value: number): Buffer {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} is written as a whole number`);
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}
