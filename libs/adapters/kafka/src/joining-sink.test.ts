import { describe, expect, test } from "@jest/globals";
import { type Clock, Failure, seededRandom } from "@tributary/kernel";
import {
  JoiningSink,
  PRODUCER_STATE_LOST,
  type ProducerClient,
  RECORD_OVERSIZED,
  SINK_CLOSED,
  SINK_FULL,
  UNAVAILABLE,
} from "./joining-sink.ts";
import type { OutRecord, Position } from "./ports.ts";

/** Time stands still unless a test moves it: no delivery is ever late. */
const stillClock: Clock = {
  now: () => 0,
  monotonicMs: () => 0,
  sleep: (_ms, signal) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true })),
};

/** A log that fails where the test demands it; one call at a time, or the test fails. */
class FakeProducer implements ProducerClient {
  readonly name = "fake";
  readonly log: string[] = [];
  readonly requests: number[] = [];
  renewals = 0;
  readonly #fault: (records: readonly OutRecord[], call: number) => Failure | undefined;
  #busy = false;

  constructor(fault: (records: readonly OutRecord[], call: number) => Failure | undefined = () => undefined) {
    this.#fault = fault;
  }

  async produce(records: readonly OutRecord[]): Promise<readonly Position[]> {
    expect(this.#busy).toBe(false); // joining-sink.ts S1
    this.#busy = true;
    await new Promise((resolve) => setImmediate(resolve));
    this.#busy = false;
    const fault = this.#fault(records, this.requests.length);
    this.requests.push(records.length);
    if (fault !== undefined) throw fault;
    return records.map(({ topic, key, value }) => {
      this.log.push(`${key}=${value}`);
      return { topic, partition: 0, offset: BigInt(this.log.length - 1) };
    });
  }

  async renew(): Promise<void> {
    this.renewals++;
  }

  async close(): Promise<void> {}
}

const record = (key: string, value: string | number): OutRecord => ({
  topic: "t",
  key,
  value: Buffer.from(`${value}`),
});
const away = () => new Failure(UNAVAILABLE, "retry", "Kafka is away");

describe("joining sink", () => {
  test("joins waiting sends into few requests and returns to each its own positions (joining-sink.ts S1, S2)", async () => {
    const producer = new FakeProducer();
    const sink = new JoiningSink(producer, { clock: stillClock });
    const sends = Array.from({ length: 1_000 }, (_, i) => sink.send([record(`k${i % 7}`, i), record("twin", i)]));
    const positions = await Promise.all(sends);
    expect(producer.requests.length).toBeLessThan(5);
    positions.forEach((pair, i) => {
      expect(pair.map(({ offset }) => producer.log[Number(offset)])).toEqual([`k${i % 7}=${i}`, `twin=${i}`]);
    });
    expect(sink.pendingBytes).toBe(0);
  });

  test("a caller that repeats from the first rejection keeps its order through any faults (joining-sink.ts S3)", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const producer = new FakeProducer(() => {
        const u = random();
        if (u < 0.2) return away();
        return u < 0.3 ? new Failure(PRODUCER_STATE_LOST, "retry", "epoch") : undefined;
      });
      const sink = new JoiningSink(producer, { clock: stillClock, batchBytesMax: 300 });
      const device = async (key: string) => {
        for (let next = 0; next < 20; ) {
          const window = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, i) =>
            sink.send([record(key, next + i)]),
          );
          const outcomes = await Promise.allSettled(window);
          const rejected = outcomes.findIndex(({ status }) => status === "rejected");
          // None may overtake a rejected one.
          if (rejected >= 0) expect(outcomes.slice(rejected).every(({ status }) => status === "rejected")).toBe(true);
          next += rejected < 0 ? window.length : rejected;
        }
      };
      await Promise.all(["a", "b", "c"].map(device));
      for (const key of ["a", "b", "c"]) {
        const values = producer.log.filter((line) => line.startsWith(key)).map((line) => Number(line.slice(2)));
        const steps = values.map((value, i) => value - (values[i - 1] ?? -1));
        expect({ seed, key, inOrder: steps.every((step) => step === 1) }).toEqual({ seed, key, inOrder: true });
      }
    }
  });

  test("an outage while the refused record is searched: no send overtakes a rejected one (joining-sink.ts S3, S5)", async () => {
    const producer = new FakeProducer((records, call) => {
      if (records.length > 1) return new Failure("kafka-record-refused", "give-up", "one of them");
      return call === 2 ? away() : undefined;
    });
    const sink = new JoiningSink(producer, { clock: stillClock });
    const outcomes = await Promise.allSettled(["1", "2", "3", "4"].map((value) => sink.send([record("k", value)])));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "rejected"]);
    expect([producer.log, sink.pendingBytes]).toEqual([["k=1"], 0]);
  });

  test("a record Kafka refuses permanently rejects only its own send (joining-sink.ts S5)", async () => {
    const refused = (records: readonly OutRecord[]) =>
      records.some(({ value }) => `${value}` === "bad")
        ? new Failure("kafka-record-refused", "give-up", "bad")
        : undefined;
    const producer = new FakeProducer(refused);
    const sink = new JoiningSink(producer, { clock: stillClock });
    const outcomes = await Promise.allSettled(["1", "bad", "3", "4"].map((value) => sink.send([record("k", value)])));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect(producer.log).toEqual(["k=1", "k=3", "k=4"]);
  });

  test("a producer whose state is lost is replaced and the same records are sent again, five times at most", async () => {
    const lost = () => new Failure(PRODUCER_STATE_LOST, "retry", "OUT_OF_ORDER_SEQUENCE_NUMBER");
    const twice = new FakeProducer((_, call) => (call < 2 ? lost() : undefined));
    await new JoiningSink(twice, { clock: stillClock }).send([record("k", 1)]);
    expect([twice.renewals, twice.log]).toEqual([2, ["k=1"]]);
    const always = new FakeProducer(lost);
    const sent = new JoiningSink(always, { clock: stillClock }).send([record("k", 1)]);
    await expect(sent).rejects.toMatchObject({ code: PRODUCER_STATE_LOST, advice: "retry" });
    expect(always.requests).toHaveLength(6);
  });

  test("a client that hangs is given up, replaced, and everything queued is rejected (joining-sink.ts S3)", async () => {
    const producer = new FakeProducer();
    let hangs = true;
    const hanging: ProducerClient = {
      name: "hanging",
      produce: (records) => (hangs ? new Promise(() => {}) : producer.produce(records)),
      renew: () => producer.renew(),
      close: () => producer.close(),
    };
    let expire: (() => void) | undefined;
    const clock: Clock = {
      ...stillClock,
      sleep: (ms, signal) =>
        ms < 60_000 ? stillClock.sleep(ms, signal) : new Promise((resolve) => (expire = () => resolve())),
    };
    const sink = new JoiningSink(hanging, { clock, batchBytesMax: 100 });
    const sends = Promise.allSettled([sink.send([record("k", 1)]), sink.send([record("k", 2)])]);
    await new Promise((resolve) => setImmediate(resolve));
    expire?.();
    for (const outcome of await sends)
      expect(outcome).toMatchObject({ reason: { code: UNAVAILABLE, advice: "retry" } });
    hangs = false;
    await sink.send([record("k", 1)]);
    expect([producer.renewals, producer.log]).toEqual([1, ["k=1"]]);
  });

  test("lingers for others, never longer than a send may wait, and not at all once a request is full (joining-sink.ts S6)", async () => {
    let nowMs = 0;
    const sleepers = new Set<{ readonly untilMs: number; readonly wake: () => void }>();
    const clock: Clock = {
      now: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          const sleeper = { untilMs: nowMs + ms, wake: () => sleepers.delete(sleeper) && resolve() };
          sleepers.add(sleeper);
          signal?.addEventListener("abort", () => sleepers.delete(sleeper) && reject(signal.reason), { once: true });
        }),
    };
    const passed = async (ms: number) => {
      nowMs += ms;
      for (const { untilMs, wake } of sleepers) if (untilMs <= nowMs) wake();
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    const producer = new FakeProducer();
    const sink = new JoiningSink(producer, { clock, lingerMsMax: 5, batchBytesMax: 1_000 });
    const sends = [sink.send([record("k", 1)])];
    await passed(3);
    sends.push(sink.send([record("k", 2)]));
    await passed(1);
    expect(producer.requests).toEqual([]);
    await passed(1);
    expect(producer.requests).toEqual([2]);
    const large = { topic: "t", key: "k", value: Buffer.alloc(1_000) };
    sends.push(sink.send([record("k", 3)]));
    await passed(1);
    sends.push(sink.send([large]));
    await passed(0);
    expect(producer.requests).toEqual([2, 1, 1]); // the full one at once, and the one behind it
    sends.push(sink.send([record("k", 4)]));
    await passed(1);
    const closed = sink.close();
    await passed(0);
    expect(producer.requests).toEqual([2, 1, 1, 1]); // closing does not linger
    await Promise.all([...sends, closed]);
    expect(sleepers.size).toBe(0);
  });

  test("bounds: a record too large, too many bytes waiting, a closed sink (joining-sink.ts S4)", async () => {
    const producer = new FakeProducer();
    const sink = new JoiningSink(producer, { clock: stillClock, recordBytesMax: 1_000, pendingBytesMax: 2_000 });
    const large = { topic: "t", key: "k", value: Buffer.alloc(1_000) };
    await expect(sink.send([large])).rejects.toMatchObject({ code: RECORD_OVERSIZED, advice: "give-up" });
    const held = Array.from({ length: 4 }, () => sink.send([{ ...large, value: Buffer.alloc(400) }]));
    await expect(sink.send([{ ...large, value: Buffer.alloc(400) }])).rejects.toMatchObject({ code: SINK_FULL });
    let isDrained = false;
    const drained = sink.drained(0).then(() => {
      isDrained = true;
    });
    expect(isDrained).toBe(false);
    await Promise.all([...held, drained]);
    const last = sink.send([record("k", "last")]);
    await sink.close();
    await expect(last).resolves.toHaveLength(1);
    await expect(sink.send([record("k", 1)])).rejects.toMatchObject({ code: SINK_CLOSED });
  });
});
