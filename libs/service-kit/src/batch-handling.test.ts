import { describe, expect, test } from "@jest/globals";
import { ContractError } from "@tributary/contracts";
import { type Batch, DeadLetters, type InRecord } from "@tributary/kafka";
import { type Clock, Failure, seededRandom } from "@tributary/kernel";
import { MemoryKafka } from "@tributary/testing";
import { type BatchHandler, handleBatch } from "./batch-handling.ts";

/** Values are numbers as text; "x" is what cannot be decoded. */
const codec = {
  decodeConfluent(bytes: Uint8Array): number {
    const text = Buffer.from(bytes).toString();
    if (text === "x") throw new ContractError("record-truncated", "ends early");
    return Number(text);
  },
};

const batchOf = (...values: (number | "x" | null)[]): Batch => ({
  topic: "edge.frames.v1",
  partition: 2,
  highWatermark: 1_000n,
  records: values.map((value, i) => ({
    topic: "edge.frames.v1",
    partition: 2,
    offset: BigInt(100 + i),
    key: "cam",
    value: value === null ? null : Buffer.from(String(value)),
    headers: {},
    timestamp: 0,
  })),
});

class Scene {
  readonly handled: number[] = [];
  readonly slept: number[] = [];
  readonly kafka = new MemoryKafka();
  readonly stop = new AbortController();
  sinkFaults = 0;
  #nowMs = 0;

  readonly clock: Clock = {
    now: () => this.#nowMs,
    monotonicMs: () => this.#nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      this.#nowMs += ms;
      this.slept.push(ms);
    },
  };

  constructor() {
    this.kafka.before = () => {
      if (this.sinkFaults-- > 0) throw new Failure("kafka-unavailable", "retry", "away");
    };
  }

  /** `fault` gives what handling a number throws. */
  run(batch: Batch, fault: (value: number) => unknown = () => undefined, retryMsMax = 60_000) {
    const handle: BatchHandler<number> = async ({ records }) => {
      for (const { value } of records) {
        const thrown = fault(value);
        if (thrown !== undefined) throw thrown;
      }
      this.handled.push(...records.map(({ value }) => value));
    };
    const deadLetters = new DeadLetters({ sink: this.kafka, group: "router" });
    const { clock } = this;
    const handling = { deadLetters, clock, random: seededRandom(1), retryMsMax };
    return handleBatch(batch, this.stop.signal, codec, handle, handling);
  }

  get letters(): readonly InRecord[] {
    return this.kafka.written;
  }

  get poison(): unknown[] {
    return this.letters.map(({ topic, value, headers }) => [
      topic,
      value === null ? null : String(value),
      headers?.["__connect.errors.offset"],
      headers?.["__connect.errors.exception.class.name"],
    ]);
  }
}

describe("a batch", () => {
  test("is handled without records that cannot be decoded, which become dead letters (batch-handling.ts B1)", async () => {
    const scene = new Scene();
    expect(await scene.run(batchOf(1, "x", 2, null, 3))).toEqual({ processed: 5 });
    expect(scene.handled).toEqual([1, 2, 3]);
    expect(scene.poison).toEqual([
      ["edge.frames.v1.router.dlq", "x", "101", "record-truncated"],
      ["edge.frames.v1.router.dlq", null, "103", "tombstone-unexpected"],
    ]);
  });

  test("is retried with growing waits while a Failure advises it, then thrown (batch-handling.ts B2, G9)", async () => {
    const scene = new Scene();
    let faults = 4;
    const flaky = () => (faults-- > 0 ? new Failure("busy", "retry", "later") : undefined);
    expect(await scene.run(batchOf(1, 2), flaky)).toEqual({ processed: 2 });
    expect([scene.handled, scene.slept.length, scene.letters]).toEqual([[1, 2], 4, []]);

    const always = new Scene();
    const busy = () => new Failure("busy", "retry", "never");
    await expect(always.run(batchOf(1), busy)).rejects.toMatchObject({ code: "busy" });
    expect(always.slept.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThanOrEqual(60_000);
    expect(Math.max(...always.slept)).toBeLessThanOrEqual(5_000);
    expect(always.letters).toEqual([]);
  });

  test("that needs a person is thrown at once without a dead letter (batch-handling.ts B3)", async () => {
    const scene = new Scene();
    await expect(scene.run(batchOf(1), () => new Failure("state", "ask-a-person", "?"))).rejects.toMatchObject({
      code: "state",
    });
    expect([scene.slept, scene.letters]).toEqual([[], []]);
  });

  test("with poison loses only the poison, whichever records are bad, over seeds (batch-handling.ts B4, G8)", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const values = Array.from({ length: 1 + Math.floor(random() * 20) }, (_, i) => i);
      const bugs = new Set(values.filter(() => random() < 0.15));
      const given = new Set(values.filter((value) => !bugs.has(value) && random() < 0.1));
      const scene = new Scene();
      const outcome = await scene.run(batchOf(...values), (value) => {
        if (bugs.has(value)) return new TypeError("a bug");
        return given.has(value) ? new Failure("unusable", "give-up", "no") : undefined;
      });
      const bad = values.filter((value) => bugs.has(value) || given.has(value));
      expect({
        seed,
        outcome,
        handled: scene.handled,
        poison: scene.letters.map(({ value }) => Number(value)),
      }).toEqual({
        seed,
        outcome: { processed: values.length },
        handled: values.filter((value) => !bad.includes(value)),
        poison: bad,
      });
    }
  });

  test("whose dead letters cannot be stored waits for Kafka: nothing is committed without them (batch-handling.ts B5)", async () => {
    const scene = new Scene();
    scene.sinkFaults = 3;
    expect(await scene.run(batchOf("x"))).toEqual({ processed: 1 });
    expect([scene.letters.length, scene.slept.length]).toEqual([1, 3]);
    const never = new Scene();
    never.sinkFaults = Number.POSITIVE_INFINITY;
    await expect(never.run(batchOf("x"))).rejects.toMatchObject({ code: "kafka-unavailable" });
  });

  test("that is interrupted by the stop counts as not processed, not as failed", async () => {
    const scene = new Scene();
    const outcome = await scene.run(batchOf(1, 2), () => {
      scene.stop.abort(new Error("stopping"));
      return new Failure("busy", "retry", "later");
    });
    expect([outcome, scene.letters]).toEqual([{ processed: 0 }, []]);
  });
});
