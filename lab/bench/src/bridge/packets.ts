/** MQTT 3.1.1 packets made once and written many times: what a load generator can do without a client library. */

const PROTOCOL = Buffer.from([0, 4, ...Buffer.from("MQTT"), 4]);
const CLEAN_SESSION = 0x02;
const USER_AND_PASSWORD = 0xc0;
const PUBLISH_QOS_1 = 0x32;

export type Login = { readonly clientId: string; readonly password: string | null };

export function connectPacket({ clientId, password }: Login): Buffer {
  const flags = CLEAN_SESSION | (password === null ? 0 : USER_AND_PASSWORD);
  const login = password === null ? [] : [text(clientId), text(password)];
  return packet(0x10, [PROTOCOL, Buffer.from([flags, 0, 0]), text(clientId), ...login]);
}

/** QoS 1 PUBLISHes with the packet ids 1 to `payloads.length`, one behind the other, and where each of them begins. */
export function publishRing(topic: string, payloads: readonly Buffer[]): { bytes: Buffer; starts: readonly number[] } {
  const name = text(topic);
  const packets = payloads.map((payload, i) => {
    const id = Buffer.from([(i + 1) >> 8, (i + 1) & 0xff]);
    return packet(PUBLISH_QOS_1, [name, id, payload]);
  });
  const starts = [0];
  for (const { length } of packets) starts.push((starts.at(-1) ?? 0) + length);
  return { bytes: Buffer.concat(packets), starts };
}

function packet(head: number, parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([head, ...lengthBytes(length)]), ...parts]);
}

function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  for (let rest = length; bytes.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
  }
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
