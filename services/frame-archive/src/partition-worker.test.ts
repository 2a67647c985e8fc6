/** What a partition keeps, stores and knows after a kill: partition-worker.ts, rebuild.ts, tables/, pictures/sweep.ts. */
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { FolderBlobStore } from "@tributary/blob-store";
import { ArchivedFrame, type DriftVerdict, type EdgeFrame, type GroundTruth, topics } from "@tributary/contracts";
import { Failure, formatFrameId, systemClock } from "@tributary/kernel";
import type { DecodedRecord } from "@tributary/service-kit";
import {
  MemoryKafka,
  silentTelemetry,
  someAnswer,
  someBootId,
  someDriftVerdict,
  someFrame,
  someJpeg,
  tempDir,
} from "@tributary/testing";
import { PartitionWorker } from "./partition-worker.ts";
import { DiskWatch } from "./pictures/disk-watch.ts";
import { sweep } from "./pictures/sweep.ts";
import { ArchiveIndex } from "./tables/archive-index.ts";
import { OpenScopes } from "./tables/open-scopes.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const dir = tempDir("frame-archive");
const jpegs: Buffer[] = [];
beforeAll(async () => {
  for (let i = 0; i < 4; i++) jpegs.push(await someJpeg({ side: 16, colour: `#${i}${i}8` }));
});
afterAll(() => dir.remove());

let folders = 0;
/** A worker of partition 0; what it shares with its successor is given. */
async function rig(shared: Partial<Awaited<ReturnType<typeof newShared>>> = {}, settings: object = {}) {
  const all = { ...(await newShared()), ...shared };
  const { kafka, blobs, scopes, index } = all;
  const telemetry = silentTelemetry();
  const worker = new PartitionWorker({
    number: 0,
    reader: kafka,
    fence: kafka,
    blobs,
    disk: new DiskWatch({
      dir: all.folder,
      waitMsMax: 200,
      probe: async () => {},
      clock: systemClock,
      random: () => 0,
      telemetry,
    }),
    tables: { scopes, index, siteOf: (deviceId) => (deviceId === "one" ? "north" : "") },
    settings: {
      caps: { framesPerDay: 1_000, framesPerClassDay: 300, bytesPerDay: 1 << 24 },
      sentFramesMax: 100,
      backlogFramesMax: 50,
      ttlMs: 90 * DAY_MS,
      pixelsMax: 1_000_000,
      ...settings,
    },
    clock: systemClock,
    telemetry,
  });
  const outcomes = async () =>
    Object.fromEntries(
      (await telemetry.metrics()).split("\n").flatMap((line) => {
        const [, outcome, count] = /^tributary_archive_frames_total\{.*outcome="([a-z-]+)".*\} (\d+)$/.exec(line) ?? [];
        return outcome === undefined ? [] : [[outcome, Number(count)]];
      }),
    );
  return { ...all, worker, outcomes };
}

async function newShared() {
  const folder = join(dir.path, `${folders++}`);
  return {
    kafka: new MemoryKafka(),
    folder,
    blobs: await FolderBlobStore.open({ dir: folder }),
    scopes: new OpenScopes(),
    index: indexOf(),
  };
}
const indexOf = (change: object = {}) =>
  new ArchiveIndex({ framesMax: 1_000, bytesTotalMax: 1 << 30, deviceShareMax: 1, labelsMax: 100, ...change });

const frameOf = (seq: number, change: Partial<EdgeFrame> = {}): EdgeFrame =>
  someFrame({ deviceId: "one", frameSeq: BigInt(seq), jpeg: jpegs[seq % 4] as Buffer, ...change });
const idOf = (seq: number, deviceId = "one") =>
  formatFrameId({ deviceId, bootId: someBootId, cameraId: "cam", frameSeq: BigInt(seq) });

/** Written to Kafka, and as the consumer brings it. */
function sent(kafka: MemoryKafka, frames: readonly EdgeFrame[], at = Date.now()): DecodedRecord<EdgeFrame>[] {
  return frames.map((value) => {
    const place = kafka.put(topics.frames, value.deviceId, value, { partition: 0, timestamp: at });
    return { ...place, key: value.deviceId, headers: {}, timestamp: at, value };
  });
}
function event<T extends { readonly deviceId: string }>(
  kafka: MemoryKafka,
  topic: Parameters<typeof kafka.put<T>>[0],
  value: T,
): DecodedRecord<T>[] {
  const place = kafka.put(topic, value.deviceId, value, { partition: 0 });
  return [{ ...place, key: value.deviceId, headers: {}, timestamp: Date.now(), value }];
}
const labelled = (kafka: MemoryKafka, seq: number, label: string | null = "dog") => {
  const id = { deviceId: "one", bootId: someBootId, cameraId: "cam", frameSeq: BigInt(seq) };
  const about = {
    label,
    source: "PERSON",
    labelledBy: "ann",
    labelledAt: Date.now(),
    labelSet: null,
    comment: null,
    frameAt: null,
  };
  return event<GroundTruth>(kafka, topics.groundTruth, { ...id, ...about } as GroundTruth);
};
const answered = (kafka: MemoryKafka, seq: number, cloudLabel: string) => {
  const answer = someAnswer({
    frameSeq: BigInt(seq),
    source: "CLOUD",
    label: cloudLabel,
    cloudLabel,
    confidence: 0.97,
  });
  return event(kafka, topics.classifications, { deviceId: "one", bootId: someBootId, answers: [answer] });
};
const archived = (kafka: MemoryKafka): ArchivedFrame[] => kafka.values(topics.archivedFrames);
const kept = (kafka: MemoryKafka) => archived(kafka).map(({ frameSeq, why }) => `${frameSeq} ${why}`);
const namesIn = async (blobs: FolderBlobStore) => (await Array.fromAsync(blobs.list())).map(({ digest }) => digest);

describe("a partition", () => {
  test("keeps what was drawn at once, and what is labelled or disagreed on when that comes", async () => {
    const { kafka, worker, blobs, outcomes } = await rig();
    await worker.frames(
      sent(kafka, [frameOf(1, { sampleDrawn: true, samplePropensity: 0.25 }), frameOf(2), frameOf(3)]),
    );
    expect(kept(kafka)).toEqual(["1 SAMPLE"]);
    await worker.labels(labelled(kafka, 2));
    await worker.labels(labelled(kafka, 3, null));
    await worker.answers(answered(kafka, 3, "dog"));
    // An answer and a label that come before their frame.
    await worker.answers(answered(kafka, 4, "dog"));
    await worker.labels(labelled(kafka, 5));
    await worker.answers(answered(kafka, 6, "cat"));
    await worker.frames(sent(kafka, [frameOf(4), frameOf(5), frameOf(6)]));
    expect(kept(kafka)).toEqual(["1 SAMPLE", "2 LABELLED", "3 DISAGREEMENT", "4 DISAGREEMENT", "5 LABELLED"]);
    const [first, , third] = archived(kafka);
    expect(first).toMatchObject({ site: "north", samplePropensity: 0.25, edgeLabel: "cat", cloudLabel: null });
    expect(third).toMatchObject({ cloudLabel: "dog", cloudConfidence: 0.97, verdictId: "" });
    expect(first?.expiresAt).toBe((first?.receivedAt ?? 0) + 90 * DAY_MS);
    expect(new Set(await namesIn(blobs))).toEqual(new Set(archived(kafka).map(({ digest }) => digest)));
    expect(await outcomes()).toEqual({ kept: 5, "no-reason": 3 });
  });

  test("killed between picture and record, the next owner keeps the frame once (W1)", async () => {
    const first = await rig();
    const { kafka, blobs } = first;
    const batch = sent(kafka, [frameOf(1, { sampleDrawn: true }), frameOf(2, { sampleDrawn: true }), frameOf(3)]);
    kafka.before = (call) => {
      if (call === "send") throw new Error("killed");
    };
    await expect(first.worker.frames(batch)).rejects.toMatchObject({ code: "partition-send-failed" });
    expect(await namesIn(blobs)).toHaveLength(2);
    expect(archived(kafka)).toEqual([]);
    kafka.before = undefined;
    const next = await rig(first);
    await next.worker.frames(batch);
    await next.worker.frames(batch);
    await (await rig(first)).worker.frames(batch);
    expect(kept(kafka)).toEqual(["1 SAMPLE", "2 SAMPLE"]);
    expect(await namesIn(blobs)).toHaveLength(2);
  });

  test("a blob store that is away keeps the batch, and costs no bound", async () => {
    const shared = await newShared();
    let isAway = true;
    const put: FolderBlobStore["put"] = (bytes, options) =>
      isAway
        ? Promise.reject(new Failure("blob-store-unavailable", "retry", "away"))
        : shared.blobs.put(bytes, options);
    const { kafka, worker, outcomes } = await rig({ ...shared, blobs: { put } as FolderBlobStore });
    const batch = sent(kafka, [frameOf(1, { sampleDrawn: true }), frameOf(2)]);
    await expect(worker.frames(batch)).rejects.toMatchObject({ advice: "retry" });
    isAway = false;
    await worker.frames(batch);
    expect(kept(kafka)).toEqual(["1 SAMPLE"]);
    expect(await outcomes()).toMatchObject({ kept: 1 });
  });

  test("after a takeover, labels of frames that the former owner read are found in Kafka (W3, R2)", async () => {
    const first = await rig();
    const { kafka } = first;
    await first.worker.frames(sent(kafka, [frameOf(1), frameOf(2)]));
    await first.worker.labels(labelled(kafka, 9)); // its frame comes to the next owner
    await first.worker.revoke();
    const { worker } = await rig(first);
    await worker.labels(labelled(kafka, 1));
    await worker.answers(answered(kafka, 2, "dog"));
    await worker.frames(sent(kafka, [frameOf(9)]));
    expect(kept(kafka)).toEqual(["1 LABELLED", "2 DISAGREEMENT", "9 LABELLED"]);
  });

  test("a frame that Kafka has deleted by then is counted and not kept", async () => {
    const { kafka, worker, outcomes } = await rig();
    await worker.frames(sent(kafka, [frameOf(1), frameOf(2)]));
    kafka.clean(topics.frames, () => true, 1n);
    await worker.labels([...labelled(kafka, 1), ...labelled(kafka, 2)]);
    expect(kept(kafka)).toEqual(["2 LABELLED"]);
    expect(await outcomes()).toMatchObject({ gone: 1, kept: 1 });
  });

  test("a cloud answer that comes later is written into the record", async () => {
    const { kafka, worker } = await rig();
    await worker.frames(sent(kafka, [frameOf(1, { sampleDrawn: true })]));
    await worker.answers(answered(kafka, 1, "dog"));
    await worker.answers(answered(kafka, 1, "dog"));
    expect(archived(kafka)).toMatchObject([
      { why: "SAMPLE", cloudLabel: null },
      { why: "SAMPLE", cloudLabel: "dog", cloudConfidence: 0.97 },
    ]);
  });

  test("while a verdict is open, frames of its cameras since its onset are kept, also those before it opened", async () => {
    const { kafka, worker, scopes } = await rig();
    const now = Date.now();
    await worker.frames(sent(kafka, [frameOf(1)], now - 3 * HOUR_MS));
    await worker.frames(sent(kafka, [frameOf(2), frameOf(3, { cameraId: "other" })], now - HOUR_MS));
    const devices = [{ deviceId: "one", cameras: ["cam"], since: now - 2 * HOUR_MS }];
    const verdict = { ...someDriftVerdict(), verdictId: "v1", state: "OPEN", devices } as DriftVerdict;
    scopes.changed("v1", verdict);
    await worker.keepScopes(10);
    await worker.frames(sent(kafka, [frameOf(4), frameOf(5, { deviceId: "two" })]));
    expect(archived(kafka).map(({ frameSeq, why, verdictId }) => `${frameSeq} ${why} ${verdictId}`)).toEqual([
      "2 SCOPE v1",
      "4 SCOPE v1",
    ]);
    scopes.changed("v1", { ...verdict, state: "CLOSED" });
    await worker.frames(sent(kafka, [frameOf(6)]));
    await worker.keepScopes(10);
    expect(archived(kafka)).toHaveLength(2);
  });

  test("a hostile device reaches its own bounds, and costs the others nothing", async () => {
    const index = indexOf({ deviceShareMax: 0.5, bytesTotalMax: 20_000 });
    const caps = { framesPerDay: 20, framesPerClassDay: 5, bytesPerDay: 1 << 20 };
    const { kafka, worker, outcomes } = await rig({ index }, { caps });
    const hostile = (seq: number, change: Partial<EdgeFrame> = {}) =>
      frameOf(seq, { deviceId: "hostile", sampleDrawn: true, ...change });
    const huge = Buffer.from(jpegs[0] as Buffer);
    const sof = huge.indexOf(Buffer.from([0xff, 0xc0]));
    huge.writeUInt16BE(60_000, sof + 5);
    huge.writeUInt16BE(60_000, sof + 7);
    await worker.frames(
      sent(kafka, [
        hostile(1, { jpeg: Buffer.from("no picture") }),
        hostile(2, { jpeg: huge }),
        hostile(3, { deviceId: "a/b" }),
        ...Array.from({ length: 40 }, (_, i) => hostile(10 + i)),
        frameOf(1, { sampleDrawn: true }),
      ]).map((record) => (record.value.deviceId === "a/b" ? { ...record, key: "hostile" } : record)),
    );
    expect(archived(kafka).filter(({ deviceId }) => deviceId === "one")).toHaveLength(1);
    expect(archived(kafka).filter(({ deviceId }) => deviceId === "hostile")).toHaveLength(18);
    for (const record of archived(kafka)) index.archived(record, Date.now());
    expect(await outcomes()).toMatchObject({ "not-jpeg": 1, "too-large": 1, "device-mismatch": 1, "day-frames": 22 });
    // On the next days, its share of the archive.
    await worker.frames(sent(kafka, [hostile(100), hostile(101)], Date.now() + DAY_MS));
    const before = await outcomes();
    for (let i = 0; i < 40; i++) {
      const past = { ...(archived(kafka)[3] as ArchivedFrame), frameSeq: BigInt(1_000 + i) };
      index.archived({ ...past, deviceId: "hostile" }, Date.now());
    }
    await worker.frames(sent(kafka, [hostile(102), frameOf(2, { sampleDrawn: true })], Date.now() + DAY_MS));
    expect(await outcomes()).toMatchObject({ kept: Number(before.kept) + 1, "device-share": 1 });
  });
});

test("a full disk delays frames; one that stays full costs them, counted, until it has space (W4, G9)", async () => {
  const { kafka, worker, blobs, outcomes } = await rig();
  const put = blobs.put.bind(blobs);
  let failures = 1;
  blobs.put = async (...args) => {
    const cause = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    if (failures-- > 0) throw new Failure("blob-store-unavailable", "retry", "blobs cannot be stored", { cause });
    return put(...args);
  };
  const frames = (seq: number) => worker.frames(sent(kafka, [frameOf(seq, { sampleDrawn: true })]));
  await frames(1);
  expect(kept(kafka)).toEqual(["1 SAMPLE"]);
  failures = 99;
  await frames(2);
  expect(await outcomes()).toMatchObject({ kept: 1, "disk-full": 1 });
  failures = 0;
  await frames(3);
  expect(kept(kafka)).toEqual(["1 SAMPLE", "3 SAMPLE"]);
});

describe("the archive", () => {
  const page = (index: ArchiveIndex, query: object = {}, now = Date.now()) => index.list({ limit: 100, ...query }, now);
  const followed = (index: ArchiveIndex, kafka: MemoryKafka, now = Date.now()) => {
    for (const { value } of kafka.records(topics.archivedFrames)) {
      index.archived(ArchivedFrame.decodeConfluent(value as Buffer), now);
    }
    for (const truth of kafka.values(topics.groundTruth)) index.labelled(truth);
  };

  test("lists frames newest first, page by page, with their newest label, and filters them", async () => {
    const { kafka, worker, index } = await rig();
    const now = Date.now();
    for (let seq = 1; seq <= 7; seq++) {
      await worker.frames(sent(kafka, [frameOf(seq, { sampleDrawn: seq !== 7 })], now - (10 - (seq >> 1)) * 1_000));
    }
    await worker.labels([...labelled(kafka, 7), ...labelled(kafka, 7, "frog"), ...labelled(kafka, 3, null)]);
    followed(index, kafka);
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const { items, next } = page(index, { limit: 2, ...(after !== undefined && { after }) });
      ids.push(...items.map(({ frameId }) => frameId));
      after = next ?? undefined;
    } while (after !== undefined);
    expect(ids).toEqual([6, 7, 4, 5, 2, 3, 1].map((seq) => idOf(seq)));
    expect(page(index, { why: "LABELLED" }).items).toMatchObject([
      { frameId: idOf(7), sampleDrawn: false, label: { label: "frog", source: "PERSON", labelledBy: "ann" } },
    ]);
    expect(page(index, { labelled: "true" }).items).toHaveLength(1);
    expect(page(index, { sampleDrawn: "true", site: "north", device: "one" }).items).toHaveLength(6);
    expect(page(index, { site: "south" }).items).toEqual([]);
    const between = { since: new Date(now - 9_000).toISOString(), until: new Date(now - 8_000).toISOString() };
    expect(page(index, between).items.map(({ frameId }) => frameId)).toEqual([idOf(2), idOf(3)]);
    expect(() => page(index, { after: "yesterday" })).toThrow(/next/);
  });

  test("deletes what expires and what no record names, and nothing that is recent or not yet known (S1, S2)", async () => {
    const { kafka, worker, index, blobs, folder } = await rig();
    await worker.frames(sent(kafka, [frameOf(1, { sampleDrawn: true }), frameOf(2, { sampleDrawn: true })]));
    const orphan = await blobs.put(
      (async function* () {
        yield jpegs[3] as Buffer;
      })(),
      { bytesMax: 1 << 20 },
    );
    const [one, two] = archived(kafka).map(({ digest }) => digest) as [string, string];
    let now = Date.now();
    const clock = { ...systemClock, now: () => now };
    let isCurrent = false;
    const options = { blobs, index, clock, telemetry: silentTelemetry(), unusedMsMax: HOUR_MS };
    const swept = async () => {
      await sweep({ ...options, isCurrent: async () => isCurrent });
      return new Set(await namesIn(blobs));
    };
    followed(index, kafka);
    now += 2 * HOUR_MS;
    expect(await swept()).toEqual(new Set([one, two, orphan.digest]));
    isCurrent = true;
    const age = (digest: string, at: number) =>
      utimesSync(join(folder, "sha256", digest.slice(0, 2), digest), at / 1_000, at / 1_000);
    age(orphan.digest, now); // stored a moment ago
    expect(await swept()).toEqual(new Set([one, two, orphan.digest]));
    age(orphan.digest, now - 2 * HOUR_MS);
    expect(await swept()).toEqual(new Set([one, two]));
    expect(index.find(idOf(1), now)).toMatchObject({ digest: one });
    now += 90 * DAY_MS;
    expect(index.find(idOf(1), now)).toBe("expired");
    expect(await swept()).toEqual(new Set());
    expect([index.find(idOf(1), now), index.find(idOf(9), now), index.bytesTotal]).toEqual(["expired", undefined, 0]);
    const later = indexOf(); // of an instance that starts later
    followed(later, kafka, now);
    expect([later.count, later.find(idOf(2), now)]).toEqual([0, "expired"]);
  });

  test("beyond its bound of frames the oldest leave it", async () => {
    const { kafka, worker } = await rig();
    const index = indexOf({ framesMax: 2 });
    for (let seq = 1; seq <= 3; seq++) await worker.frames(sent(kafka, [frameOf(seq, { sampleDrawn: true })]));
    followed(index, kafka);
    expect(
      page(index)
        .items.map(({ frameId }) => frameId)
        .sort(),
    ).toEqual([idOf(2), idOf(3)]);
    expect(index.isNamed(archived(kafka)[0]?.digest as string)).toBe(false);
  });
});
