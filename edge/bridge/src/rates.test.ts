import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { seededRandom, systemClock } from "@tributary/kernel";
import { MemoryKafka } from "@tributary/testing";
import { bridgeConfigSchema } from "./config.ts";
import { DeadLetterWriter } from "./dead-letter-writer.ts";
import { Rate, RatesByDevice } from "./rates.ts";
import type { Refusal, RefusalReason, Uplink } from "./uplink.ts";

const limits = bridgeConfigSchema.parse({}).limits.perDevice;

describe("a rate", () => {
  test("over any time it grants its burst and what it earned, and one charge more (rates.ts R1), over seeds", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const rate = new Rate(100, 500, 0, seed % 2 === 0 ? 12.5 : 0);
      let [nowMs, passed, largest, beyond] = [0, 0, 0, 0];
      for (let i = 0; i < 2_000; i++) {
        const amount = Math.ceil(random() * 200);
        largest = Math.max(largest, amount);
        passed += amount;
        nowMs += rate.charge(amount, nowMs) + (random() < 0.1 ? random() * 100 : 0);
        if (passed > 500 + nowMs / 10 + 1e-6) beyond += 1;
      }
      expect([seed, beyond]).toEqual([seed, 0]);
      expect(largest).toBeGreaterThan(0);
    }
  });

  test("a device of many small messages has its whole rate, several at once and at most eight times a second (rates.ts R3)", () => {
    for (const sentPerSecond of [85, 200, 10_000]) {
      const { messages } = new RatesByDevice(limits, () => 0).of("rogue");
      let [nowMs, read, waits] = [0, 0, 0];
      for (; nowMs < 60_000; read++) {
        const waitMs = messages.charge(1, nowMs);
        if (waitMs > 0) waits++;
        nowMs += Math.max(waitMs, 1_000 / sentPerSecond);
      }
      expect(read / 60).toBeGreaterThan(0.99 * limits.messagesPerSecondMax);
      expect(read).toBeLessThanOrEqual(limits.messagesBurstMax + 60 * limits.messagesPerSecondMax + 1);
      expect(waits).toBeLessThanOrEqual(60 * 8);
    }
  });

  test("a new connection brings no new burst; a device that made everything good is forgotten (rates.ts R2)", () => {
    const clock = { nowMs: 0 };
    const rates = new RatesByDevice(limits, () => clock.nowMs);
    for (let i = 0; i < limits.messagesBurstMax; i++) rates.of("rogue").messages.charge(1, 0);
    expect(rates.of("rogue").messages.charge(1, 0)).toBeGreaterThan(0);
    const before = rates.of("rogue");
    clock.nowMs = 3_600_000;
    rates.of("another");
    expect(rates.of("rogue")).not.toBe(before);
  });
});

describe("dead letters beyond their rate", () => {
  const open = (monotonicMs = () => systemClock.monotonicMs()) => {
    const sink = new MemoryKafka();
    const throttled: string[] = [];
    const few = { ...limits, deadLettersBurstMax: 5, deadLettersPerSecondMax: 100 };
    const rates = new RatesByDevice(few, monotonicMs);
    const onThrottled = (deviceId: string, reason: string) => void throttled.push(`${deviceId} ${reason}`);
    return {
      log: sink.written,
      throttled,
      deadLetters: new DeadLetterWriter({
        store: async (_deviceId, letter) => void (await sink.send([letter])),
        clock: systemClock,
        rates,
        wholeBytesMax: 1_000_000,
        onThrottled,
      }),
    };
  };
  const uplink = (payload: Buffer): Uplink => ({ principal: "cam", topic: "t", payload, qos: 1, retain: false });
  const refusal = (reason: RefusalReason): Refusal => ({ kind: "refuse", stream: "frames", reason, message: "why" });

  test("garbage is acknowledged once Kafka has it, whole or in sum, and none is left out (dead-letter-writer.ts P1, P4)", async () => {
    const { log, throttled, deadLetters } = open(() => 0); // No rate recovers meanwhile, however slow the machine.
    const payloads = Array.from({ length: 200 }, (_, i) => Buffer.alloc(10_000, i));
    await Promise.all(payloads.map((payload) => deadLetters.store(uplink(payload), refusal("jpeg-corrupt"), 1, true)));
    const sums = log.filter(({ headers }) => headers?.["tributary.sum.messages"] !== undefined);
    const inSum = sums.reduce((sum, { headers }) => sum + Number(headers?.["tributary.sum.messages"]), 0);
    expect(log.length - sums.length + inSum).toBe(200);
    expect(sums).toHaveLength(1);
    const left = payloads.slice(200 - inSum);
    expect(sums[0]?.value).toEqual(left[0]?.subarray(0, 256));
    expect(sums[0]?.headers).toMatchObject({
      "tributary.sum.reasons": `jpeg-corrupt=${inSum}`,
      "__connect.errors.value.length": String(inSum * 10_000),
      "__connect.errors.value.sha256": createHash("sha256").update(Buffer.concat(left)).digest("hex"),
    });
    expect(throttled).toHaveLength(inSum);
  });

  test("a message that may become valid waits and is stored whole; behind a foreign broker it does not wait (dead-letter-writer.ts P3, P5)", async () => {
    const { log, deadLetters } = open();
    const startedMs = performance.now();
    const store = (mayWait: boolean) =>
      Promise.all(
        Array.from({ length: 25 }, (_, i) =>
          deadLetters.store(uplink(Buffer.alloc(100, i)), refusal("schema-unknown-fingerprint"), 1, mayWait),
        ),
      );
    await store(true);
    expect(performance.now() - startedMs).toBeGreaterThan(100); // 20 of them at 100 a second
    expect(log.map(({ value }) => value?.length)).toEqual(Array.from({ length: 25 }, () => 100));
    await store(false);
    expect(log).toHaveLength(50);
  });
});
