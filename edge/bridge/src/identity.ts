/** The first three fields of every uplink record, read without decoding the rest. */
import { readDeviceId } from "@tributary/contracts";

export type RecordIdentity = { readonly deviceId: string; readonly bootId: bigint; readonly seq: bigint };

/** Of a payload that passed its codec's bounds check. */
export function readIdentity(payload: Uint8Array): RecordIdentity {
  const deviceId = readDeviceId(payload);
  const length = readLong(payload, 0);
  const boot = readLong(payload, length.end + Number(length.value));
  const seq = readLong(payload, boot.end);
  return { deviceId, bootId: boot.value, seq: seq.value };
}

function readLong(bytes: Uint8Array, offset: number): { readonly value: bigint; readonly end: number } {
  let value = 0n;
  let at = offset;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = bytes[at++] ?? 0;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return { value: (value >> 1n) ^ -(value & 1n), end: at };
}
