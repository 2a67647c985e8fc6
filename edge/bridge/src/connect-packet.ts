/**
 * Reads MQTT's CONNECT (3.1 and 3.1.1) strictly, from bytes of a client that is not authenticated yet: pure, and bounded by its
 * caller. Everything that must close the connection by the specification is a fault here, UTF-8 included (MQTT-1.5.3-1, -2).
 */
import type { Connect } from "./auth.ts";

export type ConnectFault =
  | "connect-expected"
  | "connect-malformed"
  | "connect-oversized"
  | "connect-not-utf8"
  /** Answered by a return code: there are clients of later versions. */
  | "protocol-unsupported";

export type ConnectRead =
  | { readonly kind: "incomplete" }
  | { readonly kind: "fault"; readonly fault: ConnectFault }
  | { readonly kind: "connect"; readonly connect: Connect };

const CONNECT = 1;
const LENGTH_BYTES_MAX = 4;
const LEVELS: ReadonlyMap<string, number> = new Map([
  ["MQIsdp", 3],
  ["MQTT", 4],
]);
/** mosquitto's and others' mark of a bridge in the level's highest bit. */
const BRIDGE_BIT = 0x80;
const FLAG = { reserved: 1, will: 4, willQos: 0x18, willRetain: 0x20, password: 0x40, user: 0x80 } as const;
const INCOMPLETE: ConnectRead = { kind: "incomplete" };

class Malformed extends Error {
  readonly fault: ConnectFault;
  constructor(fault: ConnectFault) {
    super(fault);
    this.fault = fault;
  }
}

/** `bytes`: all that came so far. */
export function readConnect(bytes: Buffer, bytesMax: number): ConnectRead {
  try {
    const first = bytes[0];
    if (first === undefined) return INCOMPLETE;
    if (first >> 4 !== CONNECT) throw new Malformed("connect-expected");
    if ((first & 0x0f) !== 0) throw new Malformed("connect-malformed");
    const length = lengthOf(bytes);
    if (length === undefined) return INCOMPLETE;
    if (length.value > bytesMax) throw new Malformed("connect-oversized");
    if (bytes.length < length.end + length.value) return INCOMPLETE;
    return { kind: "connect", connect: bodyOf(bytes.subarray(length.end, length.end + length.value)) };
  } catch (error) {
    if (error instanceof Malformed) return { kind: "fault", fault: error.fault };
    throw error;
  }
}

/** The remaining length and where it ends; undefined while it is not there yet. */
function lengthOf(bytes: Buffer): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let i = 0; i < LENGTH_BYTES_MAX; i++) {
    const byte = bytes[1 + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) return { value, end: 2 + i };
  }
  throw new Malformed("connect-malformed");
}

function bodyOf(body: Buffer): Connect {
  const fields = new Fields(body);
  const name = fields.text();
  const level = fields.byte();
  if (!LEVELS.has(name)) throw new Malformed(name.startsWith("MQ") ? "protocol-unsupported" : "connect-malformed");
  if (LEVELS.get(name) !== (level & ~BRIDGE_BIT)) throw new Malformed("protocol-unsupported");
  const flags = fields.byte();
  const has = (flag: number) => (flags & flag) !== 0;
  const willQos = (flags & FLAG.willQos) >> 3;
  const isOdd = has(FLAG.reserved) || willQos === 3 || (!has(FLAG.will) && has(FLAG.willQos | FLAG.willRetain));
  if (isOdd || (has(FLAG.password) && !has(FLAG.user))) throw new Malformed("connect-malformed");
  fields.skip(2); // keep alive
  const clientId = fields.text();
  const will = has(FLAG.will) ? { topic: fields.text(), payload: fields.bytes() } : undefined;
  const user = has(FLAG.user) ? fields.text() : undefined;
  const password = has(FLAG.password) ? fields.bytes() : undefined;
  if (!fields.isEnd) throw new Malformed("connect-malformed");
  return { clientId, user, password, will };
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** MQTT's UTF-8 encoded string: well-formed and without U+0000. */
function textOf(bytes: Buffer): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new Malformed("connect-not-utf8");
  }
  if (text.includes("\0")) throw new Malformed("connect-not-utf8");
  return text;
}

class Fields {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  get isEnd(): boolean {
    return this.#at === this.#body.length;
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  byte(): number {
    return this.#take(1)[0] as number;
  }

  bytes(): Buffer {
    return this.#take(this.#take(2).readUInt16BE());
  }

  text(): string {
    return textOf(this.bytes());
  }

  #take(bytes: number): Buffer {
    const from = this.#at;
    if (from + bytes > this.#body.length) throw new Malformed("connect-malformed");
    this.#at = from + bytes;
    return this.#body.subarray(from, this.#at);
  }
}
