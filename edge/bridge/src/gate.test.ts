import { createHash } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import mqttPacket, { type IPublishPacket } from "mqtt-packet";
import { ByteBudget } from "./budget.ts";
import { PacketGate } from "./gate.ts";
import { PacketScanner, PUBLISH } from "./packet-scanner.ts";

const publish = (bytes: number, messageId = 1): Buffer =>
  mqttPacket.generate({
    cmd: "publish",
    topic: "t",
    payload: Buffer.alloc(bytes),
    qos: 1,
    messageId,
    dup: false,
    retain: false,
  });

describe("the packet scanner", () => {
  test("finds every header wherever the stream is cut", () => {
    const lengths = [0, 1, 100, 126, 127, 128, 300, 16_384, 200_000];
    const stream = Buffer.concat([mqttPacket.generate({ cmd: "pingreq" }), ...lengths.map((n) => publish(n))]);
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const scanner = new PacketScanner();
      const found: number[] = [];
      for (let from = 0; from < stream.length; ) {
        const to = Math.min(stream.length, from + 1 + Math.floor(random() ** 4 * 100_000));
        const chunk = stream.subarray(from, to);
        for (let at = 0; at < chunk.length; ) {
          const scanned = scanner.scan(chunk, at);
          if (scanned.header?.type === PUBLISH) found.push(scanned.header.length - 5);
          at = scanned.at;
        }
        from = to;
      }
      expect([seed, found, scanner.isInside]).toEqual([seed, lengths, false]);
    }
  });

  test("a length of five bytes is no length", () => {
    const scanner = new PacketScanner();
    scanner.scan(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), 0);
    expect(scanner.isMalformed).toBe(true);
  });
});

describe("the byte budget", () => {
  test("grants in order, never beyond its bounds, and gives everything back", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const budget = new ByteBudget(1_000, 400);
      const clients = Array.from({ length: 6 }, () => ({ account: budget.open(), held: [] as number[], waits: false }));
      for (let step = 0; step < 300; step++) {
        const client = clients[Math.floor(random() * clients.length)] as (typeof clients)[number];
        if (!client.waits && random() < 0.6) {
          const bytes = 1 + Math.floor(random() * (random() < 0.1 ? 1_000 : 200));
          client.waits = true;
          const granted = () => {
            client.held.push(bytes);
            client.waits = false;
          };
          if (client.account.take(bytes, granted)) granted();
        } else {
          const bytes = client.held.shift();
          if (bytes !== undefined) client.account.give(bytes);
        }
        const sums = clients.map((c) => c.held.reduce((a, b) => a + b, 0));
        const sum = sums.reduce((a, b) => a + b, 0);
        const isBounded = sum <= 1_000 && clients.every((c, i) => c.held.length <= 1 || (sums[i] as number) <= 400); // budget.ts B1
        if (budget.usedBytes !== sum || !isBounded) throw new Error(`seed ${seed}, step ${step}: ${sums}`);
      }
      while (clients.some((c) => c.held.length > 0)) {
        for (const c of clients) for (const bytes of c.held.splice(0)) c.account.give(bytes);
      }
      expect([seed, budget.usedBytes, clients.some((c) => c.waits)]).toEqual([seed, 0, false]); // no client waits forever
    }
  });
});

describe("the gate", () => {
  const opened: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of opened.splice(0)) await close();
  });
  const open = async (totalMax: number, packetBytesMax = 100_000) => {
    const budget = new ByteBudget(totalMax, totalMax);
    const clock = { nowMs: 0 };
    const violations: string[] = [];
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
    const device = connect((server.address() as { port: number }).port, "127.0.0.1");
    device.on("error", () => {});
    const gate = new PacketGate(await accepted, {
      budget,
      packetBytesMax,
      packetMsMax: 1_000,
      monotonicMs: () => clock.nowMs,
      onViolation: (_, violation) => violations.push(violation),
    });
    gate.authenticated();
    const packets: number[] = [];
    const received: IPublishPacket[] = [];
    const parser = mqttPacket.parser();
    parser.on("packet", (packet) => {
      if (packet.cmd !== "publish") return;
      received.push(packet);
      packets.push(packet.messageId as number);
    });
    // As aedes reads.
    gate.on("readable", () => {
      for (let chunk = gate.read(); chunk !== null; chunk = gate.read()) parser.parse(chunk);
    });
    const close = async () => {
      device.destroy();
      gate.destroy();
      await new Promise((resolve) => server.close(resolve));
    };
    opened.push(close);
    return { budget, clock, violations, device, gate, packets, received, close };
  };
  const turns = async (until: () => boolean) => {
    for (let i = 0; i < 500 && !until(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  };

  test("continues only as passed bytes are released, and then everything passes in order", async () => {
    const { budget, device, gate, packets, close } = await open(60_000);
    const ids = Array.from({ length: 200 }, (_, i) => i + 1);
    const sent = Buffer.concat(ids.map((id) => publish(20_000, id)));
    let isWritten = false;
    device.write(sent, () => {
      isWritten = true;
    });
    await turns(() => packets.length >= 2);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(packets).toEqual([1, 2]); // two of 21 kB with their overhead fit in 60 kB
    expect(budget.usedBytes).toBeLessThanOrEqual(60_000);
    expect(isWritten).toBe(false); // the socket is not read: 4 MB do not fit into its buffers
    while (packets.length < ids.length) {
      const before = packets.length;
      gate.nextGrant().release();
      await turns(() => packets.length > before);
      expect(packets.length).toBeGreaterThan(before);
    }
    expect(packets).toEqual(ids);
    await close();
    expect(budget.usedBytes).toBe(0);
  });

  test("a control packet beyond its bound ends the connection before its body is read", async () => {
    const { device, violations, gate, budget, close } = await open(1_000_000);
    const subscriptions = [{ topic: "t".repeat(20_000), qos: 1 as const }];
    device.write(mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions }).subarray(0, 10));
    await turns(() => gate.destroyed);
    expect(violations).toEqual(["packet-oversized"]);
    expect(budget.usedBytes).toBe(0);
    await close();
  });

  test("of a PUBLISH beyond the bound the first passes, wherever the stream is cut, and what follows it is whole (gate.ts T2)", async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = seededRandom(seed);
      const { device, gate, budget, close, received } = await open(300_000);
      const sizes = [0, 90, 99_000, 100_000, 150_000, 2_000_000].sort(() => random() - 0.5);
      const sent = sizes.map((bytes, i) => Buffer.alloc(bytes, i + 1));
      const topics = sizes.map(() => "t".repeat(1 + Math.floor(random() * 200)));
      const stream = Buffer.concat(
        sent.flatMap((payload, i) => [
          mqttPacket.generate({ cmd: "pingreq" }),
          mqttPacket.generate({
            cmd: "publish",
            topic: topics[i] as string,
            payload,
            qos: (i % 2) as 0 | 1,
            messageId: i + 1,
            dup: false,
            retain: random() < 0.5,
          }),
        ]),
      );
      const reading = (async () => {
        for (let i = 0; i < sizes.length; i++) {
          await turns(() => received.length > i);
          expect(budget.usedBytes).toBeLessThanOrEqual(300_000);
          const payload = sent[i] as Buffer;
          const { whole, release } = gate.nextGrant();
          const isOversized = payload.length >= 100_000;
          expect(received[i]).toMatchObject({ topic: topics[i], qos: i % 2 });
          const passed = payload.subarray(0, isOversized ? 65_536 : payload.length);
          expect(passed.equals(received[i]?.payload as Buffer)).toBe(true);
          const sha256 = createHash("sha256").update(payload).digest("hex");
          expect(whole).toEqual(isOversized ? { bytes: payload.length, sha256 } : undefined);
          release();
        }
      })();
      for (let at = 0; at < stream.length; ) {
        const bytes = 1 + Math.floor(random() * (random() < 0.8 ? 6 : 200_000));
        const isDrained = device.write(stream.subarray(at, at + bytes));
        at += bytes;
        // Each part is read by itself.
        await new Promise((resolve) => (isDrained ? setImmediate(resolve) : device.once("drain", resolve)));
      }
      await reading;
      expect([seed, budget.usedBytes]).toEqual([seed, 0]);
      await close();
    }
  });

  test("an oversized PUBLISH whose topic is longer than itself ends the connection", async () => {
    const { device, violations, gate, budget, close } = await open(1_000_000, 10_000);
    device.write(Buffer.from([0x32, 0xff, 0x7f, 0xff, 0xff]));
    await turns(() => gate.destroyed);
    expect([violations, budget.usedBytes]).toEqual([["packet-malformed"], 0]);
    await close();
  });

  test("an oversized PUBLISH may be slow while bytes arrive, and not when it stops", async () => {
    const { clock, device, violations, gate, packets, close } = await open(2_000_000);
    const packet = publish(900_000);
    const pause = async (part: Buffer) => {
      device.write(part);
      await new Promise((resolve) => setTimeout(resolve, 30));
      clock.nowMs += 600;
      gate.sweep();
    };
    for (let at = 0; at < packet.length; at += 150_000) await pause(packet.subarray(at, at + 150_000));
    await turns(() => packets.length === 1);
    expect([packets, violations]).toEqual([[1], []]);
    await pause(packet.subarray(0, 500_000));
    await pause(Buffer.alloc(0));
    await pause(Buffer.alloc(0));
    expect(violations).toEqual(["packet-slow"]);
    await close();
  });

  test("a packet that arrives in bursts still has to arrive in time", async () => {
    const { clock, device, violations, gate, close } = await open(2_000_000, 1_000_000);
    const packet = publish(900_000);
    for (let burst = 0; burst < 3; burst++) {
      const before = device.bytesWritten;
      device.write(packet.subarray(burst * 200_000, (burst + 1) * 200_000));
      await turns(() => device.bytesWritten === before + 200_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
      clock.nowMs += 600;
      gate.sweep();
    }
    expect(violations).toEqual(["packet-slow"]);
    await close();
  });

  test("a device beyond its rate is read more slowly, and everything passes in order (gate.ts T5)", async () => {
    const { device, gate, packets, close } = await open(10_000_000);
    let charged = 0;
    gate.authenticated((bytes) => {
      charged += bytes;
      return charged > 50_000 ? 20 : 0;
    });
    const ids = Array.from({ length: 15 }, (_, i) => i + 1);
    device.write(Buffer.concat(ids.map((id) => publish(10_000, id))));
    const startedMs = performance.now();
    await turns(() => packets.length >= 4);
    expect(packets.length).toBeLessThan(8);
    await turns(() => packets.length === 15);
    expect(packets).toEqual(ids);
    expect(performance.now() - startedMs).toBeGreaterThan(150);
    await close();
  });

  test("the packet behind a large message waits until that is charged, and for what it cost (gate.ts T6)", async () => {
    const { device, gate, packets, close } = await open(10_000_000);
    let debtMs = 0;
    gate.authenticated(undefined, () => debtMs);
    device.write(Buffer.concat([publish(10, 1), publish(10_000, 2), publish(10, 3), publish(10, 4)]));
    await turns(() => packets.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(packets).toEqual([1, 2]);
    for (const debt of [0, 50]) {
      debtMs = debt;
      gate.nextGrant().charged();
    }
    debtMs = 0;
    const startedMs = performance.now();
    await turns(() => packets.length === 4);
    expect([packets, performance.now() - startedMs > 30]).toEqual([[1, 2, 3, 4], true]);
    await close();
  });

  test("a device that does not read its messages is not read either", async () => {
    const { device, gate, packets, close } = await open(1_000_000);
    gate.write(Buffer.alloc(16_000_000));
    device.write(Buffer.concat([publish(10, 1), publish(10, 2)]));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(packets).toEqual([]);
    device.resume();
    await turns(() => packets.length === 2);
    expect(packets).toEqual([1, 2]);
    await close();
  });
});
