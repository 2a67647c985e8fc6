/** What trainings ask of datasets, from Kafka's records to a stored version, with an archive that serves pictures. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { TrainingRun } from "@tributary/contracts";
import { tempDir } from "@tributary/testing";
import { Site, type SiteFrame, siteFrames } from "./datasets.test-kit.ts";
import type { KafkaDatasets } from "./kafka-datasets.ts";

const dir = tempDir("kafka-datasets");
const { signal } = new AbortController();

let frames: SiteFrame[];
let site: Site;
let datasets: KafkaDatasets;

const run = (more: Partial<TrainingRun> = {}): TrainingRun => {
  const slice = { slice: "site=north", devices: [], since: site.now - 1_000 };
  return { model: "edge", runId: "run-1", verdictId: "verdict-1", ...slice, ...more } as unknown as TrainingRun;
};

beforeAll(async () => {
  frames = await siteFrames(120, 3);
  site = await Site.open(dir.path);
  site.registry.push((await siteFrames(100, 5)).map(({ jpeg }) => ({ jpeg, label: "cat" })));
  for (const [i, frame] of frames.entries()) {
    site.archived(frame, i === 0 ? { site: "south" } : i === 1 ? { expiresAt: site.now - 1 } : {});
    if (i < 110) site.label(frame, i % 2 === 0 ? "cat" : "dog");
  }
  site.label(frames[2] as SiteFrame, "dog", "bob");
  site.label(frames[3] as SiteFrame, null);
  datasets = await site.datasets();
});
afterAll(async () => {
  await datasets.onApplicationShutdown();
  site.close();
  dir.remove();
});

test("a training counts labels, freezes a version of its slice, and reads it", async () => {
  expect(await datasets.count(run(), signal)).toEqual({ refused: expect.stringContaining("edge has no base set") });
  const base = await site.base(await siteFrames(30, 6));
  datasets.table.put(base);
  const count = await datasets.count(run(), signal);
  expect(count).toMatchObject({
    usable: 80,
    leftOut: { unlabelled: 10, "labels-contradict": 1, "cannot-be-labelled": 1 },
  });
  const frozen = await datasets.freeze(run(), signal);
  if ("refused" in frozen) throw new Error(frozen.refused);
  const { dataset } = frozen;
  expect(dataset).toMatchObject({ baseVersion: base.version, labelSources: { PERSON: 80 }, runId: "run-1" });
  expect(frozen.base).toBe(null);
  expect(await datasets.freeze(run(), signal)).toMatchObject({ dataset: { md5: dataset.md5 } });
  datasets.table.put(dataset);
  await datasets.materialise("edge", dataset.version, join(dir.path, "training"), signal);
  expect(datasets.labelsSince("edge", site.now - 60_000)).toBe(109);
  expect(datasets.labelsSince("edge", Date.now() + 60_000)).toBe(0);
});

test("the slice is its devices, its camera or its site; the cloud's labels count without drift only", async () => {
  const usable = async (more: Partial<TrainingRun>) => {
    const count = await datasets.count(run(more), signal);
    return "refused" in count ? count.refused : count.usable;
  };
  expect(await usable({ devices: ["cam-5", "cam-6"], slice: "label:lens=acme" })).toBe(10);
  expect(await usable({ slice: "camera=cam-7/front" })).toBe(5);
  expect(await usable({ slice: "site=south" })).toBe(1);
  expect(await usable({ model: "other" })).toContain("other has no base set");
  expect(await datasets.count(run({ verdictId: "" }), signal)).not.toMatchObject({ leftOut: { unlabelled: 10 } });
  expect(await datasets.freeze(run({ slice: "site=south" }), signal)).toEqual({
    refused: expect.stringContaining("site=south has 1 labelled frames that can be used; at least 60 are needed, 80"),
  });
});
