/** What trainings ask of datasets, from Kafka's records to a stored version, with an archive that serves pictures. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { FolderObjectStore } from "@tributary/blob-store";
import { type TrainingRun, topics } from "@tributary/contracts";
import { parseFrameId, systemClock } from "@tributary/kernel";
import type { Health } from "@tributary/service-kit";
import { MemoryKafka, silentTelemetry, someModel, tempDir } from "@tributary/testing";
import type { TableReader } from "../sinks.ts";
import { someDataset } from "../trainer.test-kit.ts";
import { DatasetStore } from "./dataset-store.ts";
import { type SiteFrame, siteFrames } from "./datasets.test-kit.ts";
import { Freezer } from "./freezer.ts";
import { KafkaDatasets } from "./kafka-datasets.ts";

const dir = tempDir("kafka-datasets");
const kafka = new MemoryKafka({ partitions: 2 });
const { signal } = new AbortController();
const now = Date.now();
const model = someModel({ name: "edge", version: "1.0.0", labels: ["cat", "dog"] });

let frames: SiteFrame[];
let archive: Server;
let datasets: KafkaDatasets;

const label = (frame: SiteFrame, name: string | null, labelledBy = "ada") => {
  const record = {
    label: name,
    source: "PERSON" as const,
    labelledBy,
    labelledAt: now,
    labelSet: null,
    comment: null,
    frameAt: null,
  };
  kafka.put(topics.groundTruth, frame.deviceId, { ...parseFrameId(frame.frameId), ...record });
};

function archived(frame: SiteFrame, more: object = {}): void {
  const { digest, sampleDrawn, samplePropensity, jpeg, deviceId, frameId } = frame;
  kafka.put(topics.archivedFrames, deviceId, {
    ...parseFrameId(frameId),
    ...{ digest, sampleDrawn, samplePropensity, why: "SAMPLE", verdictId: "", bytes: jpeg.length },
    ...{ receivedAt: now, expiresAt: now + 86_400_000, site: "north", modelDigest: model.modelDigest },
    ...{ edgeLabel: "cat", edgeConfidence: 0.5, cloudLabel: "dog", cloudConfidence: 0.99, reason: "SAMPLE" },
    ...more,
  });
}

const token = "the-archives-token";

const run = (more: Partial<TrainingRun> = {}): TrainingRun => {
  const slice = { slice: "site=north", devices: [], since: now - 1_000 };
  return { model: "edge", runId: "run-1", verdictId: "verdict-1", ...slice, ...more } as unknown as TrainingRun;
};

beforeAll(async () => {
  frames = await siteFrames(120, 3);
  const jpegs = new Map(frames.map(({ frameId, jpeg }) => [frameId, jpeg]));
  archive = createServer((request, response) => {
    const jpeg = jpegs.get(decodeURIComponent((request.url ?? "").slice("/frames/".length)));
    if (request.headers.authorization !== `Bearer ${token}`) response.writeHead(401).end();
    else response.writeHead(jpeg === undefined ? 410 : 200, { "content-type": "image/jpeg" }).end(jpeg);
  });
  await new Promise<void>((listening) => archive.listen(0, "127.0.0.1", listening));
  kafka.put(topics.models, "edge/1.0.0", model);
  const aliases = { name: "edge", aliases: { champion: "1.0.0" }, changedAt: now, changedBy: "ada" };
  kafka.put(topics.modelAliases, "edge", { ...kafka.values(topics.modelAliases)[0], validation: null, ...aliases });
  for (const [i, frame] of frames.entries()) {
    archived(frame, i === 0 ? { site: "south" } : i === 1 ? { expiresAt: now - 1 } : {});
    if (i < 110) label(frame, i % 2 === 0 ? "cat" : "dog");
  }
  label(frames[2] as SiteFrame, "dog", "bob");
  label(frames[3] as SiteFrame, null);
  const store = new DatasetStore(await FolderObjectStore.open({ dir: join(dir.path, "remote") }));
  const freezer = new Freezer({ store, workDir: join(dir.path, "work"), now: () => now, hashMsMax: 60_000 });
  const { port } = archive.address() as AddressInfo;
  datasets = new KafkaDatasets(
    kafka as unknown as TableReader,
    systemClock,
    () => 0.5,
    silentTelemetry(),
    {
      ...{
        store,
        freezer,
        frameArchive: { url: `http://127.0.0.1:${port}`, token },
        cloudFloor: 0.9,
        labelMsMax: 86_400_000,
      },
      labels: { wanted: 80, trainMin: 20, gateMin: 20 },
    },
    { add: () => {} } as unknown as Health,
  );
  await datasets.onModuleInit();
});
afterAll(async () => {
  await datasets.onApplicationShutdown();
  archive.close();
  dir.remove();
});

test("a training counts labels, freezes a version of its slice, and reads it", async () => {
  expect(await datasets.count(run())).toEqual({ refused: expect.stringContaining("edge has no base set") });
  datasets.table.put(someDataset({ version: "base", kind: "BASE" }));
  const count = await datasets.count(run());
  expect(count).toMatchObject({
    usable: 80,
    leftOut: { unlabelled: 10, "labels-contradict": 1, "cannot-be-labelled": 1 },
  });
  const dataset = await datasets.freeze(run(), signal);
  if ("refused" in dataset) throw new Error(dataset.refused);
  expect(dataset).toMatchObject({ baseVersion: "base", labelSources: { PERSON: 80 }, runId: "run-1" });
  expect(await datasets.freeze(run(), signal)).toMatchObject({ md5: dataset.md5 });
  datasets.table.put(dataset);
  await datasets.materialise("edge", dataset.version, join(dir.path, "training"), signal);
  expect(datasets.labelsSince("edge", now - 60_000)).toBe(109);
  expect(datasets.labelsSince("edge", Date.now() + 60_000)).toBe(0);
});

test("the slice is its devices, its camera or its site; the cloud's labels count without drift only", async () => {
  const usable = async (more: Partial<TrainingRun>) => {
    const count = await datasets.count(run(more));
    return "refused" in count ? count.refused : count.usable;
  };
  expect(await usable({ devices: ["cam-5", "cam-6"], slice: "label:lens=acme" })).toBe(10);
  expect(await usable({ slice: "camera=cam-7/front" })).toBe(5);
  expect(await usable({ slice: "site=south" })).toBe(1);
  expect(await usable({ model: "other" })).toContain("other has no base set");
  expect(await datasets.count(run({ verdictId: "" }))).not.toMatchObject({ leftOut: { unlabelled: 10 } });
  expect(await datasets.freeze(run({ slice: "site=south" }), signal)).toEqual({
    refused: expect.stringContaining("site=south has 1 labelled frames that can be used; at least 40 are needed, 80"),
  });
});
