import { describe, expect, test } from "@jest/globals";
import type { Answer, LabelBatch } from "@tributary/api";
import { type FinalAnswer, topics } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { type Before, cifarLabels, MemoryKafka, someAnswer, someBootId } from "@tributary/testing";
import { answersOf } from "../answers/answer.ts";
import { AnswerRing } from "../answers/ring.ts";
import { LabelCandidates } from "./candidates.ts";
import { judgeLabel } from "./check-label.ts";
import { FrameIndex } from "./frame-index.ts";
import { Labels } from "./labels.ts";
import { SeqRanges } from "./seq-ranges.ts";

const answerOf = (change: Partial<FinalAnswer>): Answer =>
  answersOf(
    { deviceId: "cam-01", bootId: someBootId, answers: [someAnswer(change)] },
    { partition: 0, offset: 1n, timestamp: 1e12 },
  )[0] as Answer;

describe("a label", () => {
  const frameId = `cam-01:${someBootId}:cam:1`;
  const found = { kind: "found", frame: { ...answerOf({}), at: null } } as const;
  const judge = (label: string | null, classes: readonly string[] | undefined = cifarLabels) =>
    judgeLabel({ frameId, label }, found, classes, false);

  test("is of a class of the frame's model, or none", () => {
    for (const label of ["cat", null]) expect(judge(label)).toEqual({ kind: "take", checked: true });
    expect(judgeLabel({ frameId, label: "anything" }, found, undefined, false).kind).toBe("take");
    expect(judge("Air-plane")).toMatchObject({ code: "label-unknown", message: expect.stringContaining('"airplane"') });
    expect(judge("zebra")).toMatchObject({ code: "label-unknown", message: expect.stringContaining("ship, truck") });
    expect(judge(" ")).toMatchObject({ code: "label-empty" });
  });

  test("of a frame that is not known is refused, unless allowed", () => {
    const label = { frameId, label: "cat" };
    expect(judgeLabel(label, { kind: "absent" }, undefined, false)).toMatchObject({ code: "frame-unknown" });
    expect(judgeLabel(label, { kind: "bounded" }, undefined, false)).toMatchObject({ code: "frame-search-bounded" });
    expect(judgeLabel(label, { kind: "absent" }, undefined, true)).toEqual({ kind: "take", checked: false });
  });
});

test("frames worth a label: samples before disagreements, newest first, bounded, gone once labelled", () => {
  const candidates = new LabelCandidates(2);
  const offer = (frameSeq: bigint, change: Partial<FinalAnswer>) => candidates.offer(answerOf({ frameSeq, ...change }));
  offer(1n, { sampleDrawn: true });
  offer(2n, { edgeLabel: "cat", cloudLabel: "dog" });
  offer(3n, { edgeLabel: "cat", cloudLabel: "cat" });
  offer(4n, { sampleDrawn: true, edgeLabel: "cat", cloudLabel: "dog" });
  offer(5n, {});
  offer(6n, { sampleDrawn: true });
  const next = (limit = 10) => candidates.next({}, limit).map(({ why, answer }) => `${why} ${answer.frameSeq}`);
  expect(next()).toEqual(["SAMPLE 6", "SAMPLE 4", "DISAGREEMENT 2"]);
  candidates.drop(`cam-01:${someBootId}:cam:4`);
  expect(next(2)).toEqual(["SAMPLE 6", "DISAGREEMENT 2"]);
  expect(candidates.next({ why: "DISAGREEMENT", deviceId: "cam-02" }, 9)).toEqual([]);
});

test("a label is taken of a frame that is forgotten while another is sought", async () => {
  const ring = new AnswerRing(2);
  const first = answerOf({ frameSeq: 1n });
  ring.add(first);
  const search = {
    within: async () => {
      for (const frameSeq of [2n, 3n]) ring.add(answerOf({ frameSeq }));
      return new Map();
    },
  };
  const policies = { version: () => undefined, list: () => [] };
  const none = { get: () => undefined, holds: () => false, emit: () => undefined, now: () => 0 };
  const parts = [{ search, ring, policies }, none, none, none, none, none, none, none, none];
  const labels = new Labels(...(parts as unknown as ConstructorParameters<typeof Labels>));
  const batch = [first.frameId, `cam-02:${someBootId}:cam:1`].map((frameId) => ({ frameId, label: "cat" }));
  const { accepted, refused } = await labels.take({ labels: batch, dryRun: true } as unknown as LabelBatch);
  expect(ring.get(first.frameId)).toBeUndefined();
  expect([accepted, refused.map(({ index, code }) => [index, code])]).toEqual([1, [[1, "frame-unknown"]]]);
});

test("a device that always disagrees leaves the others their candidates and their places", () => {
  const candidates = new LabelCandidates(100);
  const offer = (deviceId: string, frameSeq: number, change: Partial<FinalAnswer>) => {
    const answers = [someAnswer({ frameSeq: BigInt(frameSeq), ...change })];
    const at = { partition: 0, offset: 1n, timestamp: 1e12 };
    candidates.offer(answersOf({ deviceId, bootId: someBootId, answers }, at)[0] as Answer);
  };
  const disagrees = { edgeLabel: "cat", cloudLabel: "dog" };
  for (let i = 0; i < 8; i++) offer(`cam-${i}`, 1, disagrees);
  offer("cam-0", 2, { sampleDrawn: true });
  for (let i = 0; i < 1_000; i++) offer("rogue", i, disagrees);
  expect(candidates.count).toBe(101);
  const next = candidates.next({}, 20);
  const of = (deviceId: string) => next.filter(({ answer }) => answer.deviceId === deviceId);
  expect(next[0]).toMatchObject({ why: "SAMPLE", answer: { deviceId: "cam-0" } });
  expect(next.map(({ answer }) => answer.deviceId)).toEqual(expect.arrayContaining(["cam-1", "cam-7"]));
  expect([next.length, of("cam-0").length, of("rogue").length]).toEqual([20, 2, 11]);
  expect(candidates.next({}, 5).filter(({ answer }) => answer.deviceId === "rogue")).toHaveLength(1);
});

test.each([1, 2, 3, 4])("seed %i: ranges keep for every number the tag that was added first", (seed) => {
  const random = seededRandom(seed);
  const tags = [{ tag: "a" }, { tag: "b" }];
  const ranges = new SeqRanges<(typeof tags)[number]>();
  const first = new Map<bigint, (typeof tags)[number]>();
  let at = 50;
  for (let i = 0; i < 400; i++) {
    at = random() < 0.8 ? at + 1 : Math.floor(random() * 200);
    const tag = tags[random() < 0.9 ? 0 : 1] as (typeof tags)[number];
    ranges.add(BigInt(at), tag);
    if (!first.has(BigInt(at))) first.set(BigInt(at), tag);
  }
  for (let seq = -1n; seq < 500n; seq++) expect([seq, ranges.get(seq)]).toEqual([seq, first.get(seq)]);
  const runs = [...first].filter(([seq, tag]) => first.get(seq - 1n) !== tag);
  expect(ranges.count).toBe(runs.length);
});

describe("the index of frames", () => {
  const NOW = 1e12;
  /** Counts what is read; a search is stopped after so many records. */
  class Log extends MemoryKafka {
    readCount = 0;
    stopAfter = Number.POSITIVE_INFINITY;
    stop = new AbortController();
    override before: Before = (call) => {
      if (call !== "read") return;
      if (this.readCount === this.stopAfter) this.stop.abort();
      else this.readCount++;
    };

    append(deviceId: string, from: number, count: number): void {
      const answers = Array.from({ length: count }, (_, i) => someAnswer({ frameSeq: BigInt(from + i) }));
      this.put(topics.classifications, deviceId, { deviceId, bootId: someBootId, answers });
    }
  }
  const id = (deviceId: string, seq: number) => ({
    deviceId,
    bootId: someBootId,
    cameraId: "cam",
    frameSeq: BigInt(seq),
  });
  const kinds = async (index: FrameIndex, log: Log, ...ids: ReturnType<typeof id>[]) =>
    [...(await index.find(ids, log.stop.signal)).values()].map(({ kind }) => kind);

  test("reads a log once, continues where a search stopped, and returns absent only when all was read", async () => {
    const log = new Log({ now: () => NOW });
    for (let i = 0; i < 10; i++) log.append("d", i * 5 + 1, 5);
    const index = new FrameIndex({ reader: log, recordsMax: 100, rangesMax: 100 });
    log.stopAfter = 4;
    expect(await kinds(index, log, id("d", 3), id("d", 40), id("d", 99))).toEqual(["found", "bounded", "bounded"]);
    log.stopAfter = Number.POSITIVE_INFINITY;
    log.stop = new AbortController();
    expect(await kinds(index, log, id("d", 3), id("d", 40), id("d", 99))).toEqual(["found", "found", "absent"]);
    log.append("d", 99, 1);
    expect(await kinds(index, log, id("d", 99), id("e", 1))).toEqual(["found", "absent"]);
    expect([log.readCount, index.rangeCount]).toEqual([11, 2]);
    const [known] = [...(await index.find([id("d", 99)], log.stop.signal)).values()];
    const at = known?.kind === "found" ? (known.frame.at ?? 0) : 0;
    expect(Math.abs(at - NOW)).toBeLessThanOrEqual(300_000);
    const short = new FrameIndex({ reader: log, recordsMax: 1, rangesMax: 100 });
    expect(await kinds(short, log, id("d", 99), id("d", 3))).toEqual(["found", "bounded"]);
  });

  test("of devices with equal parts, the one forgets whose part is the oldest", async () => {
    const log = new Log({ now: () => NOW });
    for (let i = 0; i < 20; i++) log.append(`d${i}`, 1, 2);
    const index = new FrameIndex({ reader: log, recordsMax: 100, rangesMax: 5 });
    expect(await kinds(index, log, id("d19", 2), id("d0", 2))).toEqual(["found", "bounded"]);
    expect(index.rangeCount).toBe(5);
  });

  test("a device that invents cameras, or numbers with gaps, forgets its own and nobody else's", async () => {
    const log = new Log({ now: () => NOW });
    const forgotten = new Set<string>();
    const onForgotten = (deviceId: string) => forgotten.add(deviceId);
    const rogue = (answers: Partial<FinalAnswer>[]) =>
      log.put(topics.classifications, "rogue", {
        deviceId: "rogue",
        bootId: someBootId,
        answers: answers.map((one) => someAnswer(one)),
      });
    for (let i = 0; i < 10; i++) log.append(`d${i}`, 1, 2);
    for (let i = 0; i < 50; i++) rogue([{ cameraId: `cam-${i}a` }, { cameraId: `cam-${i}b`, frameSeq: 7n }]);
    for (let i = 0; i < 10; i++) log.append(`d${i}`, 9, 2);
    for (let i = 0; i < 200; i++) rogue([{ cameraId: "cam-49b", frameSeq: BigInt(10 + 2 * i) }]);
    const index = new FrameIndex({ reader: log, recordsMax: 1_000, rangesMax: 40, onForgotten });
    for (let i = 0; i < 10; i++) {
      const sought = await kinds(index, log, id(`d${i}`, 1), id(`d${i}`, 10), id(`d${i}`, 5));
      expect(sought).toEqual(["found", "found", "absent"]);
    }
    expect(await kinds(index, log, { ...id("rogue", 1), cameraId: "cam-0a" })).toEqual(["bounded"]);
    expect(await kinds(index, log, { ...id("rogue", 408), cameraId: "cam-49b" })).toEqual(["found"]);
    expect([...forgotten]).toEqual(["rogue"]);
    expect(index.rangeCount).toBeGreaterThan(25); // of its only camera it forgets half at a time
    expect(index.rangeCount).toBeLessThanOrEqual(40);
  });

  test("records that are older than the first search read are read by the next ones", async () => {
    const log = new Log({ now: () => NOW });
    log.append("d", 1, 1);
    for (let i = 0; i < 25; i++) log.append("rogue", i, 1);
    const index = new FrameIndex({ reader: log, recordsMax: 10, rangesMax: 100 });
    expect(await kinds(index, log, id("d", 1), id("d", 2))).toEqual(["bounded", "bounded"]);
    expect(await kinds(index, log, id("d", 1), id("d", 2))).toEqual(["found", "absent"]);
    expect(log.readCount).toBe(26);
  });
});
