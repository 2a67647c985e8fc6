import { describe, expect, test } from "@jest/globals";
import type { UplinkStream } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { bridgeConfigSchema } from "./config.ts";
import { type Cost, costOf, type Dimension, dimensionNames } from "./cost.ts";
import { DeviceRates } from "./rates.ts";
import type { Uplink, Verdict } from "./uplink.ts";

const limits = bridgeConfigSchema.parse({}).limits.perDevice;
const dimensions = Object.keys(dimensionNames) as Dimension[];

const BYTES = Buffer.alloc(2_100_000);

type Message = { readonly bytes: number; readonly cost: Cost };

function message(
  stream: UplinkStream,
  items: number,
  bytes: number,
  how: "avro" | "json" | "refused" = "avro",
): Message {
  const payload = BYTES.subarray(0, bytes);
  const topic = `tributary/v1/d/up/${stream}${how === "avro" ? "" : "/json"}`;
  const uplink: Uplink = { principal: "d", topic, payload, qos: 1, retain: false };
  const id = { deviceId: "d", bootId: 1n, seq: 1n };
  const verdict: Verdict =
    how === "refused"
      ? { kind: "refuse", reason: "json-malformed", stream, message: "" }
      : { kind: "store", stream, id, value: payload, items };
  return { bytes, cost: costOf(uplink, verdict) };
}

const batch = (predictions: number) => message("predictions", predictions, 300 + 85 * predictions);

/** As the bridge does: messages and bytes from the header, the cost once it is parsed. Returns when the next may be read. */
function pass(rates: DeviceRates, { bytes, cost }: Message, nowMs: number): number {
  const waitMs = Math.max(rates.messages.charge(1, nowMs), rates.bytes.charge(bytes, nowMs), rates.debtMs(nowMs));
  rates.charge(cost, nowMs + waitMs);
  return nowMs + waitMs;
}

describe("what messages cost", () => {
  test("in no dimension does a device get more than its burst, its rate and one message, and none waits long (rates.ts R1), over seeds", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const rates = new DeviceRates("d", limits, 0);
      const passed = { records: 0, kafkaBytes: 0, parsingMs: 0 };
      let nowMs = 0;
      let waitedMsMax = 0;
      for (let i = 0; i < 300; i++) {
        const one = hostile(random);
        const readAtMs = pass(rates, one, nowMs);
        waitedMsMax = Math.max(waitedMsMax, readAtMs - nowMs);
        nowMs = readAtMs;
        for (const dimension of dimensions) {
          const earned = limits[`${dimension}BurstMax`] + (limits[`${dimension}PerSecondMax`] * nowMs) / 1_000;
          const isWithin = passed[dimension] <= earned + 1e-3; // without the message that exceeds it
          if (!isWithin) throw new Error(`seed ${seed}: ${passed[dimension]} ${dimension} in ${nowMs} ms`);
          passed[dimension] += one.cost[dimension];
        }
      }
      expect([seed, waitedMsMax < 3_000]).toEqual([seed, true]);
    }
  });

  test("a device of the highest documented rate never waits, nor do four cameras of 60 frames a second", () => {
    const devices = {
      "two cameras of 30 frames/s, a third sent": [
        ...spread(20, message("frames", 0, 65_536)),
        { atMs: 500, ...batch(60) },
      ],
      "240 predictions a second": [...spread(20, message("frames", 0, 65_536)), { atMs: 500, ...batch(240) }],
      "photos in JSON": spread(20, message("frames", 0, 87_500, "json")),
      "batches in JSON": [{ atMs: 500, ...message("predictions", 60, 20_000, "json") }],
      "windows of eight cameras": Array.from({ length: 8 }, (_, i) => ({
        atMs: 100 * i,
        ...message("sketches", 3_000, 20_000),
      })),
    };
    for (const [name, second] of Object.entries(devices)) {
      const rates = new DeviceRates("d", limits, 0);
      let waitedMs = 0;
      for (let s = 0; s < 120; s++) {
        for (const one of second) waitedMs += pass(rates, one, s * 1_000 + one.atMs) - s * 1_000 - one.atMs;
      }
      expect([name, waitedMs]).toEqual([name, 0]);
    }
  });

  test("a backlog of batches drains at the rate of records", () => {
    const rates = new DeviceRates("d", limits, 0);
    let nowMs = 0;
    for (let left = 120_000; left > 0; left -= 256) nowMs = pass(rates, batch(256), nowMs);
    expect(nowMs / 1_000).toBeGreaterThan((120_000 - limits.recordsBurstMax - 512) / limits.recordsPerSecondMax);
    expect(nowMs / 1_000).toBeLessThan(125);
  });
});

const spread = (perSecond: number, one: Message) =>
  Array.from({ length: perSecond }, (_, i) => ({ atMs: (i * 1_000) / perSecond, ...one }));

function hostile(random: Random): Message {
  const dice = random();
  if (dice < 0.4) return batch(Math.ceil(random() * 1_024));
  if (dice < 0.6) return message("frames", 0, Math.ceil(random() * 2_000_000));
  if (dice < 0.8) return message("predictions", Math.ceil(random() * 1_024), 30_000, "json");
  return message("sketches", 0, Math.ceil(random() * 1_400_000), "refused");
}
