/** Connections before they are authenticated, on real sockets. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { waitFor } from "@tributary/testing";
import mqttPacket from "mqtt-packet";
import type { ConnectRefusal } from "./auth.ts";
import { bridgeConfigSchema } from "./config.ts";
import { PreAuth } from "./preauth.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function started(limits: object, verdict: () => Promise<ConnectRefusal | undefined> = async () => undefined) {
  const telemetry = createTelemetry({ service: "bridge", level: "silent", defaultMetrics: false });
  const config = bridgeConfigSchema.parse({ kafka: { brokers: ["127.0.0.1:1"] }, limits });
  const admitted: { deviceId: string; received: string }[] = [];
  const preAuth = new PreAuth({
    config,
    clock: systemClock,
    telemetry,
    authenticate: verdict,
    mayAdmit: () => undefined,
    admit: (socket, deviceId) => {
      socket.on("error", () => {});
      admitted.push({ deviceId, received: socket.read()?.toString("latin1") ?? "" });
      socket.write("in");
    },
  });
  const server: Server = createServer((socket) => preAuth.accept(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  ends.push(
    () => preAuth.close(),
    () => void server.close(),
  );
  const open = async (localAddress = "127.0.0.1"): Promise<Socket> => {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    ends.push(() => socket.destroy());
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  };
  const counted = async (code: string) => {
    const line = (await telemetry.metrics()).split("\n").find((l) => l.includes(`code="${code}"`));
    return Number(line?.split(" ").at(-1) ?? 0);
  };
  return { preAuth, open, admitted, counted };
}

const hello = (clientId: string) =>
  mqttPacket.generate({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 9,
    clientId,
    username: clientId,
    password: Buffer.from("p"),
  } as mqttPacket.Packet);

const closed = (socket: Socket) => new Promise<"closed">((resolve) => socket.once("close", () => resolve("closed")));
const heard = (socket: Socket) =>
  Promise.race([
    new Promise<string>((resolve) => socket.once("data", (bytes) => resolve(bytes.toString("latin1")))),
    closed(socket),
  ]);

test("a device is admitted with all its bytes, in whichever pieces they came", async () => {
  const { open, admitted, preAuth } = await started({});
  const socket = await open();
  const bytes = Buffer.concat([hello("cam-1"), Buffer.from("and more")]);
  for (const byte of bytes.subarray(0, 9)) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(bytes.subarray(9));
  expect(await heard(socket)).toBe("in");
  expect(admitted).toEqual([{ deviceId: "cam-1", received: bytes.toString("latin1") }]);
  expect([preAuth.size, preAuth.bytes]).toEqual([0, 0]);
});

test("silence ends after its time, and a CONNECT that drips does too (preauth.ts P2)", async () => {
  const { open, counted, preAuth } = await started({ connectMsMax: 300 });
  const [silent, dripping] = [await open(), await open()];
  const drip = setInterval(() => dripping.write(Buffer.from([0x10])), 50);
  dripping.write(hello("cam-1").subarray(0, 8));
  ends.push(() => clearInterval(drip));
  await Promise.all([closed(silent), closed(dripping)]);
  expect((await counted("connect-late")) + (await counted("connect-malformed"))).toBe(2);
  expect([preAuth.size, preAuth.bytes]).toEqual([0, 0]);
});

test("a device is heard while its own address and others are full of silence (preauth.ts P1)", async () => {
  const limits = { unauthenticatedMax: 40, unauthenticatedPerAddressMax: 20 };
  const { open, counted, preAuth } = await started(limits);
  const silent = await Promise.all(Array.from({ length: 120 }, (_, i) => open(`127.0.0.${2 + (i % 3)}`)));
  await waitFor(() => preAuth.size === 40, { what: "the pool to be full" });
  for (const address of ["127.0.0.2", "127.0.0.9"]) {
    const device = await open(address);
    device.write(hello("cam-1"));
    expect([address, await heard(device)]).toEqual([address, "in"]);
  }
  expect(preAuth.size).toBeLessThanOrEqual(40);
  expect(await counted("unauthenticated-full")).toBeGreaterThanOrEqual(80);
  expect(silent.length).toBe(120);
});

test("unauthenticated connections' bytes are bounded for each and in all (preauth.ts P1)", async () => {
  const neverChecked = new Promise<undefined>(() => {});
  const { open, counted, preAuth } = await started({ unauthenticatedBytesMax: 1_048_576 }, () => neverChecked);
  const sockets = await Promise.all(Array.from({ length: 40 }, () => open()));
  for (const socket of sockets) socket.write(Buffer.concat([hello("cam-1"), Buffer.alloc(60_000)]));
  await waitFor(async () => (await counted("unauthenticated-full")) > 0, { what: "one to give way" });
  expect(preAuth.bytes).toBeLessThanOrEqual(1_048_576);
  for (const socket of sockets) socket.destroy();
  await waitFor(() => preAuth.size === 0, { what: "all to be gone" });
  expect(preAuth.bytes).toBe(0);
  const one = await open();
  one.write(Buffer.concat([hello("cam-1"), Buffer.alloc(200_000)]));
  await closed(one);
  expect(await counted("connect-oversized")).toBe(1);
});

test("a refused client gets its return code and is disconnected, also if it stays open", async () => {
  const { open, counted, preAuth } = await started({}, async () => "device-unknown");
  const socket = await open();
  socket.write(hello("nobody"));
  expect(await heard(socket)).toBe("\x20\x02\x00\x05");
  await waitFor(() => preAuth.size === 0, { what: "the refused to be gone" });
  expect(await counted("device-unknown")).toBe(1);
});
