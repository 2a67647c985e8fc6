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

/** A message, text or packed numbers. */
export const lengthDelimited = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([varintOf(number * 8 + 2), varintOf(bytes.length), bytes]);

/** A whole number from 0 to 2^53 - 1. */
export const varint = (number: number, value: number): Buffer => Buffer.concat([varintOf(number * 8), varintOf(value)]);

function varintOf(value: number): Buffer {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} is written as a whole number`);
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}
