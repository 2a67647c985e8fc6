/** The two framings: Avro single-object encoding on MQTT, Confluent's wire format on Kafka. Both wrap the same bytes. */
import { ContractError } from "./errors.ts";

const SINGLE_OBJECT_HEADER_BYTES = 10;
const CONFLUENT_HEADER_BYTES = 5;

export function frameSingleObject(fingerprint: string, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(SINGLE_OBJECT_HEADER_BYTES + payload.length);
  out[0] = 0xc3;
  out[1] = 0x01;
  out.writeBigUInt64LE(BigInt(`0x${fingerprint}`), 2);
  out.set(payload, SINGLE_OBJECT_HEADER_BYTES);
  return out;
}

export function openSingleObject(bytes: Uint8Array): { fingerprint: string; payload: Uint8Array } {
  if (bytes.length < SINGLE_OBJECT_HEADER_BYTES || bytes[0] !== 0xc3 || bytes[1] !== 0x01) {
    throw new ContractError("framing-unknown", "not Avro single-object encoding: it starts with C3 01");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fingerprint = view.getBigUint64(2, true).toString(16).padStart(16, "0");
  return { fingerprint, payload: bytes.subarray(SINGLE_OBJECT_HEADER_BYTES) };
}

export function frameConfluent(id: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(CONFLUENT_HEADER_BYTES + payload.length);
  out[0] = 0;
  out.writeInt32BE(id, 1);
  out.set(payload, CONFLUENT_HEADER_BYTES);
  return out;
}

export function openConfluent(bytes: Uint8Array): { id: number; payload: Uint8Array } {
  if (bytes.length < CONFLUENT_HEADER_BYTES || bytes[0] !== 0) {
    throw new ContractError("framing-unknown", "not Confluent's wire format: it starts with a zero byte");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { id: view.getInt32(1), payload: bytes.subarray(CONFLUENT_HEADER_BYTES) };
}

/** Reads the first field of an uplink record, which is always `deviceId`, without decoding the rest. */
export function readDeviceId(payload: Uint8Array): string {
  const first = payload[0];
  // A zigzag length of at most 63 characters fits one byte below 0x80; two bytes for 64.
  if (first === undefined) throw new ContractError("record-truncated", "an empty record");
  const second = payload[1] ?? 0;
  const [length, start] = first < 0x80 ? [first >> 1, 1] : [((first & 0x7f) | (second << 7)) >> 1, 2];
  if ((first & 1) === 1 || length > 64 || start + length > payload.length) {
    throw new ContractError("record-truncated", "the first field is not a device id");
  }
  return Buffer.from(payload.subarray(start, start + length)).toString("utf8");
}
