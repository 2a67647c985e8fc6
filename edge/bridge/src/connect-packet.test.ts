import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import mqttPacket from "mqtt-packet";
import { readConnect } from "./connect-packet.ts";

const BYTES_MAX = 16_384;
const good = {
  cmd: "connect",
  protocolId: "MQTT",
  protocolVersion: 4,
  clean: true,
  keepalive: 30,
  clientId: "cam-1",
  username: "cam-1",
  password: Buffer.from("secret"),
  will: { topic: "tributary/v1/cam-1/availability", payload: Buffer.from("offline"), qos: 1, retain: true },
} as const;
const bytesOf = (change: object = {}) => mqttPacket.generate({ ...good, ...change } as mqttPacket.Packet);
const faultOf = (bytes: Buffer) => {
  const read = readConnect(bytes, BYTES_MAX);
  return read.kind === "fault" ? read.fault : read.kind;
};
/** Replaces the first `from` in the packet by bytes of the same number. */
const patched = (bytes: Buffer, from: string, to: Buffer) => {
  const copy = Buffer.from(bytes);
  to.copy(copy, copy.indexOf(from));
  return copy;
};

test("a CONNECT packet is read whole, in whichever pieces it comes, and the bytes after it are untouched", () => {
  const bytes = bytesOf();
  for (let length = 0; length < bytes.length; length++) {
    expect([length, readConnect(bytes.subarray(0, length), BYTES_MAX).kind]).toEqual([length, "incomplete"]);
  }
  const read = readConnect(Buffer.concat([bytes, Buffer.from("more")]), BYTES_MAX);
  expect(read).toMatchObject({
    kind: "connect",
    connect: { clientId: "cam-1", user: "cam-1", password: good.password, will: { topic: good.will.topic } },
  });
  expect(faultOf(bytesOf({ protocolId: "MQIsdp", protocolVersion: 3, will: undefined }))).toBe("connect");
});

test("invalid input closes the connection: other packets, bad UTF-8, NUL, odd flags, wrong lengths", () => {
  const bytes = bytesOf();
  expect(faultOf(mqttPacket.generate({ cmd: "pingreq" }))).toBe("connect-expected");
  expect(faultOf(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toBe("connect-expected");
  expect(faultOf(patched(bytes, "cam-1", Buffer.from([0x63, 0x61, 0xff, 0xfe, 0x31])))).toBe("connect-not-utf8");
  expect(faultOf(patched(bytes, "cam-1", Buffer.from("ca\0-1")))).toBe("connect-not-utf8");
  expect(faultOf(patched(bytes, "tributary", Buffer.from([0xed, 0xa0, 0x80])))).toBe("connect-not-utf8"); // a surrogate
  expect(faultOf(patched(bytes, "tributary", Buffer.from([0xc0, 0xaf])))).toBe("connect-not-utf8"); // an overlong slash
  const flags = bytes.indexOf("MQTT") + 5;
  for (const odd of [0x01, 0x18, 0x40]) {
    const copy = Buffer.from(bytes);
    copy[flags] = odd === 0x40 ? 0x42 : (copy[flags] as number) | odd;
    expect([odd, faultOf(copy)]).toEqual([odd, "connect-malformed"]);
  }
  expect(faultOf(Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 1]))).toBe("connect-malformed");
  expect(faultOf(Buffer.from([0x10, 0xff, 0xff, 0x7f]))).toBe("connect-oversized");
  expect(faultOf(Buffer.from([0x10, 2, 0, 9]))).toBe("connect-malformed");
  expect(faultOf(Buffer.from([0x12, 0]))).toBe("connect-malformed");
  expect(faultOf(bytesOf({ protocolVersion: 5 }))).toBe("protocol-unsupported");
});

test("any bytes give a verdict, and an accepted packet is read alike by the broker's own parser", () => {
  for (let seed = 1; seed <= 20_000; seed++) {
    const random = seededRandom(seed);
    const bytes = Buffer.from(bytesOf());
    for (let hits = Math.floor(random() * 4); hits >= 0; hits--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    const read = readConnect(bytes, BYTES_MAX);
    if (read.kind !== "connect") continue;
    const parser = mqttPacket.parser();
    let theirs: mqttPacket.IConnectPacket | undefined;
    parser.on("error", () => {});
    parser.on("packet", (packet) => {
      theirs ??= packet as mqttPacket.IConnectPacket;
    });
    parser.parse(bytes);
    const { clientId, user, password } = read.connect;
    expect([seed, theirs?.clientId, theirs?.username, theirs?.password]).toEqual([seed, clientId, user, password]);
  }
});
