import { afterEach, describe, expect, test } from "@jest/globals";
import type { ClockReading } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { ClockWatch } from "./clock-watch.ts";

const HOUR_MS = 3_600_000;
const KAFKA_AT_ZERO = 1_700_000_000_000;
const telemetry = createTelemetry({ service: "test", level: "silent" });
const watches: ClockWatch[] = [];
afterEach(() => Promise.all(watches.splice(0).map((watch) => watch.close())));

/** A process whose wall clock is `aheadMs` ahead of Kafka's; each sleep waits for `tick`. */
function world(reading: () => ClockReading | undefined) {
  let aheadMs = 0;
  let wakes: (() => void)[] = [];
  const clock: Clock = {
    now: () => KAFKA_AT_ZERO + 1_000 + aheadMs,
    monotonicMs: () => 1_000,
    sleep: (_, signal) =>
      new Promise((resolve, reject) => {
        wakes.push(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
  const kafkaClock = { read: async () => reading(), close: async () => {} };
  const watch = new ClockWatch({ kafkaClock, clock, telemetry, offsetMsMax: 5_000 });
  watches.push(watch);
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    watch,
    set: (ms: number) => {
      aheadMs = ms;
    },
    start: () => {
      watch.start();
      return settle();
    },
    tick: () => {
      for (const wake of wakes.splice(0)) wake();
      wakes = [];
      return settle();
    },
  };
}

const exact = { kafkaAtZero: KAFKA_AT_ZERO, uncertaintyMs: 2 };

describe("a process's clock against Kafka's", () => {
  test("is waited for once, agrees, and is shown", async () => {
    const { watch, start, set } = world(() => exact);
    expect(watch.check()).toBe("not compared with Kafka's yet");
    set(4_900);
    await start();
    expect(watch.check()).toBe(true);
    expect(await telemetry.metrics()).toContain("tributary_clock_offset_seconds 4.9");
  });

  test.each([
    [2 * HOUR_MS, "7200.0 s ahead of Kafka's; at most 5 s is allowed: let NTP set both"],
    [-2 * HOUR_MS, "7200.0 s behind Kafka's; at most 5 s is allowed: let NTP set both"],
    [10 * 365 * 24 * HOUR_MS, "315360000.0 s ahead of Kafka's; at most 5 s is allowed: let NTP set both"],
    [-10 * 365 * 24 * HOUR_MS, "315360000.0 s behind Kafka's; at most 5 s is allowed: let NTP set both"],
  ])("%i ms off: not ready, with the reason and the offset (W1)", async (ms, reason) => {
    const { watch, start, set } = world(() => exact);
    set(ms);
    await start();
    expect(watch.check()).toBe(reason);
  });

  test("that jumps while the process runs shows at once, and is forgiven when it is set right", async () => {
    const { watch, start, set } = world(() => exact);
    await start();
    expect(watch.check()).toBe(true);
    set(-HOUR_MS);
    expect(watch.check()).toContain("3600.0 s behind");
    set(0);
    expect(watch.check()).toBe(true);
  });

  test("bounds what goes by it: never beyond Kafka's, and right again at once (clock-watch.ts W3)", async () => {
    const { watch, start, set } = world(() => exact);
    set(6 * HOUR_MS);
    expect(watch.bounded.now()).toBe(KAFKA_AT_ZERO + 1_000 + 6 * HOUR_MS); // Kafka's is not known yet.
    await start();
    await watch.tried;
    expect(watch.bounded.now()).toBe(KAFKA_AT_ZERO + 1_000);
    set(-HOUR_MS);
    expect(watch.bounded.now()).toBe(KAFKA_AT_ZERO + 1_000 - HOUR_MS);
    set(0);
    expect(watch.bounded.now()).toBe(KAFKA_AT_ZERO + 1_000);
  });

  test("subtracts the uncertainty of the round trip (clock-watch.ts W1)", async () => {
    const { watch, start, set } = world(() => ({ ...exact, uncertaintyMs: 3_000 }));
    set(7_900);
    await start();
    expect(watch.check()).toBe(true);
    set(8_100);
    expect(watch.check()).toContain("8.1 s ahead");
  });

  test("is no reason to be unready while it cannot be compared; the last reading counts on (clock-watch.ts W2)", async () => {
    let reading: ClockReading | undefined;
    const { watch, start, tick, set } = world(() => reading);
    set(HOUR_MS);
    await start();
    expect(watch.check()).toBe(true);
    reading = exact;
    await tick();
    expect(watch.check()).toContain("3600.0 s ahead");
    reading = undefined;
    await tick();
    expect(watch.check()).toContain("3600.0 s ahead");
  });
});
