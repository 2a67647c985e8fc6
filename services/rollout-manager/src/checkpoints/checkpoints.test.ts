/** An instance that starts again, whatever became of the topics and of its checkpoints. */
import { types } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { hashOf } from "@tributary/kernel";
import { followContext, MemoryKafka, silentTelemetry } from "@tributary/testing";
import { at, CREATED, forget, MINUTE, type Run, run, writtenBy } from "./checkpoints.test-kit.ts";
import { Checkpoints, FORMAT } from "./checkpoints.ts";

const END = 90;

const stories = new Map<number, MemoryKafka>();

/** Its records are made once: encoding them takes longer than most tests. */
function kafkaOf(seed: number): MemoryKafka {
  const story = stories.get(seed) ?? new MemoryKafka({ now: () => at(END) });
  if (!stories.has(seed)) writtenBy(story, seed, END);
  stories.set(seed, story);
  return copyOf(story);
}

function copyOf(kafka: MemoryKafka): MemoryKafka {
  const copy = new MemoryKafka({ now: () => at(END) });
  for (const { key, ...record } of kafka.written) copy.write({ ...record, key: key as string });
  return copy;
}

const wholes = new Map<number, Promise<Run>>();

/** An instance that was never stopped. */
function wholeOf(seed: number): Promise<Run> {
  const whole = wholes.get(seed) ?? run(kafkaOf(seed), { from: 5, until: END });
  wholes.set(seed, whole);
  return whole;
}

/** Looks that differ from those of an instance that was never stopped. */
const differing = ({ looks }: Run, whole: Run): readonly number[] =>
  [...looks].filter(([minute, seen]) => seen !== whole.looks.get(minute)).map(([minute]) => minute);

describe("an instance that was stopped", () => {
  test.each([
    [1, 11, 50],
    [1, 45, 85],
    [2, 70, 71],
  ])(
    "sees, with the topics' past deleted, what one sees that never was (seed %i, minute %i to %i)",
    async (seed, stoppedAt, startedAt) => {
      const whole = await wholeOf(seed);
      const kafka = kafkaOf(seed);
      await run(kafka, { from: 5, until: stoppedAt });
      forget(kafka, stoppedAt - 0.5);
      const again = await run(kafka, { from: startedAt, until: END });
      expect([...again.looks.keys()]).toEqual([...whole.looks.keys()].filter((minute) => minute > stoppedAt));
      expect(differing(again, whole)).toEqual([]);
      expect(again.looks.get(END)).toMatch(/"logHarm"/);
      expect(again.looks.get(END)).toMatch(/"comparison":\{/);
      // Control: on the topics alone it sees something else.
      const without = await run(kafka, { from: startedAt, until: END, isWithout: true });
      expect(differing(without, whole)).toContain(END);
    },
  );

  test("by kill -9 continues from the last that it wrote in time", async () => {
    const whole = await wholeOf(2);
    const kafka = kafkaOf(2);
    await run(kafka, { from: 5, until: 43, isStopped: false });
    forget(kafka, 35);
    const again = await run(kafka, { from: 80, until: END });
    const [first] = [...again.looks.keys()];
    expect(first).toBeGreaterThanOrEqual(39);
    expect(first).toBeLessThanOrEqual(44);
    expect(differing(again, whole)).toEqual([]);
  });

  test("several times, also in a row, is still the same", async () => {
    const whole = await wholeOf(1);
    const kafka = kafkaOf(1);
    for (const [from, until, isStopped] of [
      [5, 20, true],
      [21, 22, true],
      [30, 50, false],
      [51, 70, true],
    ] as const) {
      const part = await run(kafka, { from, until, isStopped });
      expect(differing(part, whole)).toEqual([]);
      if (isStopped) forget(kafka, until - 0.5);
    }
    expect(differing(await run(kafka, { from: 80, until: END }), whole)).toEqual([]);
  });

  test("before an experiment was created sees it as one that was there", async () => {
    const whole = await wholeOf(1);
    const kafka = kafkaOf(1);
    await run(kafka, { from: 5, until: 8 });
    forget(kafka, 7.5);
    const { looks } = await run(kafka, { from: 40, until: END });
    const experiment = (seen: string | undefined) => JSON.parse(seen ?? "[]")[1];
    // What the log holds by now is known here from the start.
    for (const [minute, seen] of looks)
      if (minute > CREATED) expect([minute, experiment(seen)]).toEqual([minute, experiment(whole.looks.get(minute))]);
    expect(experiment(looks.get(END)).arms[1].comparison).not.toBeNull();
  });

  test("counts and names what retention deleted after its checkpoint", async () => {
    const kafka = kafkaOf(1);
    await run(kafka, { from: 5, until: 30 });
    forget(kafka, 50);
    const { metrics } = await run(kafka, { from: 70, until: 75 });
    expect(metrics).toMatch(/tributary_rollout_records_lost_total(\{\S*\})? [1-9]/);
  });
});

/** Names and types of all that a state holds. */
function shapeOf(value: unknown): unknown {
  // What is read back is of another realm than a test's own Map.
  if (types.isMap(value))
    return ["map", ...new Set([...value.values()].map((one) => JSON.stringify(shapeOf(one))))].sort();
  if (types.isSet(value)) return "set";
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  if (Array.isArray(value)) return ["array", ...new Set(value.map((one) => JSON.stringify(shapeOf(one))))].sort();
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return Object.entries(value)
    .map(([name, one]) => [name, shapeOf(one)])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

/** Hash of the shape of a state, by format: whoever changes what a state holds raises FORMAT, and adds the new one here. */
const shapes: Readonly<Record<number, number>> = { 2: 62_738_160 };

test("a state that holds something else than before has another format", async () => {
  const kafka = kafkaOf(1);
  await run(kafka, { from: 5, until: 60 });
  const [at, clock] = [0, { now: () => at, monotonicMs: () => at, sleep: async () => {} }];
  const settings = {
    epoch: 0,
    propensityMean: 0.02,
    everyMs: MINUTE,
    sink: kafka,
    clock,
    telemetry: silentTelemetry(),
  };
  const checkpoints = new Checkpoints(settings);
  const stop = new AbortController();
  await (await checkpoints.follow(followContext(kafka, stop.signal))).caughtUp;
  stop.abort();
  expect(hashOf(JSON.stringify(shapeOf(await checkpoints.newest())))).toBe(shapes[FORMAT]);
});

describe("a checkpoint", () => {
  let first: Promise<MemoryKafka> | undefined;
  /** Kafka when an instance was stopped in minute 50. */
  const stoppedAt50 = async (): Promise<MemoryKafka> => {
    first ??= (async () => {
      const kafka = kafkaOf(1);
      await run(kafka, { from: 5, until: 50 });
      return kafka;
    })();
    return copyOf(await first);
  };
  const parts = (kafka: MemoryKafka) => kafka.records(topics.rolloutEvidence);
  const startedAt = async (kafka: MemoryKafka, settings = {}) => {
    const { looks, metrics } = await run(kafka, { from: 60, until: 62, settings });
    return { first: [...looks.keys()][0], metrics };
  };

  test("that is half written is passed over, and the one before it taken", async () => {
    const kafka = await stoppedAt50();
    const before = await startedAt(kafka);
    const copy = await stoppedAt50();
    const manifest = parts(copy).findLast(({ key }) => key?.endsWith("/manifest"));
    copy.clean(topics.rolloutEvidence, ({ offset }) => offset !== manifest?.offset);
    const after = await startedAt(copy);
    expect(before.first).toBe(51);
    expect(after.first).toBeGreaterThan(43);
    expect(after.first).toBeLessThan(51);
    expect(after.metrics).toMatch(/checkpoints_left_out_total\{.*why="damaged".*\} 1/);
  });

  test("of a moment that has not come yet, as by a wrong clock, is passed over", async () => {
    const kafka = await stoppedAt50();
    const manifest = parts(kafka).findLast(({ key }) => key?.endsWith("/manifest"));
    const record = topics.rolloutEvidence.codec.decodeConfluent(manifest?.value as Buffer);
    for (const { key, value } of parts(kafka)) {
      const part = topics.rolloutEvidence.codec.decodeConfluent(value as Buffer);
      if (part.generation !== record.generation) continue;
      kafka.put(topics.rolloutEvidence, key as string, { ...part, generation: "ahead", at: at(END + 600) });
    }
    const { first } = await startedAt(kafka);
    expect(first).toBeGreaterThan(43);
    expect(first).toBeLessThan(51);
  });

  test("that is damaged is passed over, and the one before it taken", async () => {
    const kafka = await stoppedAt50();
    const part = parts(kafka).findLast(({ key }) => key?.endsWith("/0"));
    const record = topics.rolloutEvidence.codec.decodeConfluent(part?.value as Buffer);
    const chunk = Buffer.from(record.chunk);
    chunk[100] = (chunk[100] as number) ^ 1;
    kafka.put(topics.rolloutEvidence, part?.key as string, { ...record, chunk });
    const { first, metrics } = await startedAt(kafka);
    expect(first).toBeGreaterThan(43);
    expect(first).toBeLessThan(51);
    expect(metrics).toMatch(/checkpoints_left_out_total\{.*why="damaged".*\} 1/);
  });

  test("of another format, epoch or scale is left out, and named: the topics are read as ever", async () => {
    for (const [why, settings] of [
      ["scale", { epoch: 1 }],
      ["scale", { propensityMean: 0.5 }],
    ] as const) {
      const kafka = await stoppedAt50();
      const { first, metrics } = await startedAt(kafka, settings);
      expect(first).toBe(10);
      expect(metrics).toMatch(new RegExp(`checkpoints_left_out_total\\{.*why="${why}".*\\} [1-9]`));
    }
    const kafka = await stoppedAt50();
    for (const { key, value } of parts(kafka)) {
      const record = topics.rolloutEvidence.codec.decodeConfluent(value as Buffer);
      kafka.put(topics.rolloutEvidence, key as string, { ...record, format: 99 });
    }
    const { first, metrics } = await startedAt(kafka);
    expect(first).toBe(10);
    expect(metrics).toMatch(/checkpoints_left_out_total\{.*why="format".*\} [1-9]/);
  });

  test("of two writers at once is whole, of one of them", async () => {
    const whole = await wholeOf(1);
    const kafka = kafkaOf(1);
    const both = [run(kafka, { from: 5, until: 50 }), run(kafka, { from: 5, until: 50 })];
    await Promise.all(both);
    expect(differing(await run(kafka, { from: 80, until: END }), whole)).toEqual([]);
  });

  test("is written at most every interval, by one instance, into two slots in turn", async () => {
    const kafka = kafkaOf(1);
    await run(kafka, { from: 5, until: 50, isStopped: false });
    const manifests = parts(kafka).filter(({ key }) => key?.endsWith("/manifest"));
    expect(manifests.length).toBeGreaterThan(6);
    expect(manifests.length).toBeLessThanOrEqual((50 - 5) / 5);
    for (const [i, { key }] of manifests.entries()) expect(key).toBe(`${i % 2 === 0 ? "a" : "b"}/manifest`);
    const atOf = (value: Buffer | null) => topics.rolloutEvidence.codec.decodeConfluent(value as Buffer).at;
    for (const [i, { value }] of manifests.slice(1).entries())
      expect(atOf(value) - atOf(manifests[i]?.value ?? null)).toBeGreaterThanOrEqual(5 * MINUTE);
  });
});
