/** Trainings of one site, one after the other: what their candidates are judged by is learned by none of them (history.ts). */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "@jest/globals";
import type { Dataset, TrainingRun } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { type TempDir, tempDir } from "@tributary/testing";
import type { DatasetFrame } from "@tributary/training";
import { isOfSlice, parseDatasetManifest } from "@tributary/training/dataset";
import sharp from "sharp";
import { Site, type SiteFrame, siteFrames } from "./datasets.test-kit.ts";
import type { KafkaDatasets } from "./kafka-datasets.ts";

const { signal } = new AbortController();
const ended: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

const named = (frames: readonly SiteFrame[]) =>
  frames.map(({ jpeg }, i) => ({ jpeg, label: i % 2 === 0 ? "cat" : "dog" }));

async function siteOf(validation: readonly SiteFrame[]): Promise<{ readonly site: Site; readonly dir: TempDir }> {
  const dir = tempDir("later-trainings");
  ended.push(() => dir.remove());
  const site = await Site.open(dir.path);
  ended.push(() => site.close());
  site.registry.push(named(validation));
  return { site, dir };
}

async function openedBy(site: Site): Promise<KafkaDatasets> {
  const datasets = await site.datasets();
  ended.push(() => datasets.onApplicationShutdown());
  return datasets;
}

/** A month of frames that people labelled; of other months they have other numbers. */
function labelled(site: Site, frames: readonly SiteFrame[], month = 0): void {
  for (const [i, frame] of frames.entries()) {
    const [deviceId, boot, camera, seq] = frame.frameId.split(":");
    const numbered = { ...frame, frameId: `${deviceId}:${boot}:${camera}:${Number(seq) + 10_000 * month}` };
    site.archived(numbered);
    site.label(numbered, i % 2 === 0 ? "cat" : "dog");
  }
}

const runOf = (site: Site, runId: string): TrainingRun =>
  ({
    ...{ model: "edge", runId, verdictId: "verdict-1", slice: "site=north", devices: [], since: site.now - 1_000 },
  }) as unknown as TrainingRun;

async function frozenBy(datasets: KafkaDatasets, run: TrainingRun) {
  const frozen = await datasets.freeze(run, signal);
  if ("refused" in frozen) throw new Error(frozen.refused);
  return frozen;
}

async function framesOf(site: Site, dataset: Dataset): Promise<readonly DatasetFrame[]> {
  return parseDatasetManifest(await (await site.store()).manifest(dataset));
}

/** Of the slice: what is held out of the validation set is in TUNE. */
const digestsIn = (frames: readonly DatasetFrame[], ...splits: string[]): string[] =>
  frames.filter((frame) => isOfSlice(frame) && splits.includes(frame.split)).map(({ sha256 }) => sha256);
const shared = (a: Iterable<string>, b: Iterable<string>): number => new Set(a).intersection(new Set(b)).size;

test("three trainings share no frame between what is learned and what judges, also after a restart", async () => {
  const { site } = await siteOf(await siteFrames(100, 9));
  const base = await site.base(await siteFrames(30, 8));
  const [learned, judged] = [new Set<string>(), new Set<string>()];
  const records: Dataset[] = [base];
  for (const month of [1, 2, 3]) {
    labelled(site, await siteFrames(150, month), month);
    const datasets = await openedBy(site); // A new instance each time knows what Kafka, registry and store have.
    for (const record of records) datasets.table.put(record);
    const run = runOf(site, `run-${month}`);
    const { dataset } = await frozenBy(datasets, run);
    records.push({ ...dataset, createdAt: month });
    const frames = await framesOf(site, dataset);
    expect([month, shared(digestsIn(frames, "GATE"), judged)]).toEqual([month, 0]); // The gate has new frames.
    for (const digest of digestsIn(frames, "TRAIN", "TUNE")) learned.add(digest);
    for (const digest of digestsIn(frames, "GATE")) judged.add(digest);
    expect([month, shared(learned, judged)]).toEqual([month, 0]);
    if (month > 1) expect(dataset.leftOut["judged-before"]).toBeGreaterThanOrEqual(18);
    const { history } = JSON.parse(dataset.query) as { history: object };
    expect(history).toEqual({ validation: site.registry.validation, datasets: month - 1, datasetsGone: [] });
    expect((await frozenBy(datasets, run)).dataset).toMatchObject({ md5: dataset.md5 });
  }
});

test("frames of the validation set, and pictures that look like them, are neither counted nor frozen", async () => {
  const frames = await siteFrames(300, 1);
  const alike = await Promise.all(
    frames
      .slice(0, 40)
      .map(async (frame) => ({ ...frame, jpeg: await sharp(frame.jpeg).jpeg({ quality: 60 }).toBuffer() })),
  );
  const same = frames.slice(40, 80);
  const { site, dir } = await siteOf([...alike, ...same, ...(await siteFrames(60, 9))]);
  labelled(site, frames);
  const datasets = await openedBy(site);
  datasets.table.put(await site.base(await siteFrames(30, 8)));
  const run = runOf(site, "run-1");
  expect(await datasets.count(run, signal)).toMatchObject({ leftOut: { "judged-before": 40 } });
  const { dataset } = await frozenBy(datasets, run);
  const judged = new Set(frames.slice(0, 80).map(({ digest }) => digest));
  expect(shared(digestsIn(await framesOf(site, dataset), "TRAIN", "TUNE", "GATE"), judged)).toBe(0);
  expect(dataset.leftOut["judged-before"]).toBeGreaterThanOrEqual(70); // A few look different as a smaller file.
  // Half of the validation set is held out, of both of its classes, and nothing else (history.ts Y5).
  const heldOut = (await framesOf(site, dataset)).filter((frame) => !isOfSlice(frame));
  expect(heldOut).toHaveLength(70);
  expect(heldOut.every(({ slice, split }) => slice === "base" && split === "TUNE")).toBe(true);
  // Pictures are looked at once; a cache that went or is malformed costs time and nothing else (picture-hashes.ts P1). Held out ones are stored.
  const fetched = () => site.registry.pictures.length;
  expect(fetched()).toBe(140 + 70);
  expect((await frozenBy(datasets, run)).dataset.md5).toBe(dataset.md5);
  expect(fetched()).toBe(140 + 2 * 70);
  writeFileSync(join(dir.path, "hashes", "edge"), "not a line\n");
  expect((await frozenBy(datasets, run)).dataset.md5).toBe(dataset.md5);
  expect(fetched()).toBe(2 * 140 + 3 * 70);
});

test("base photos that candidates are judged by are not replayed, and GATE has no base photo", async () => {
  const photos = await siteFrames(60, 8);
  const { site } = await siteOf([...photos.slice(0, 15), ...(await siteFrames(100, 9))]);
  const frames = await siteFrames(200, 1);
  labelled(site, frames);
  const datasets = await openedBy(site);
  const pushed = await site.base([...photos, ...frames.slice(0, 50)]);
  datasets.table.put(pushed);
  const { dataset, base } = await frozenBy(datasets, runOf(site, "run-1"));
  expect(base).toMatchObject({ kind: "BASE", frames: 95, leftOut: { "judged-before": 15 }, createdBy: "trainer" });
  expect(dataset.baseVersion).toBe(base?.version);
  const kept = await framesOf(site, base as Dataset);
  const digestOf = ({ digest }: SiteFrame) => digest;
  expect(
    shared(
      kept.map(({ sha256 }) => sha256),
      photos.slice(0, 15).map(digestOf),
    ),
  ).toBe(0);
  expect(shared(digestsIn(await framesOf(site, dataset), "GATE"), frames.slice(0, 50).map(digestOf))).toBe(0);
  // What is stored is read as any other version, and its record says how large it is.
  datasets.table.put(base as Dataset);
  const folder = tempDir("later-trainings-base");
  ended.push(() => folder.remove());
  const store = await site.store();
  expect(await store.materialise(base as Dataset, folder.path)).toHaveLength(95);
  const stored = await store.store(kept, async (digest) => (await store.pictures(pushed)(digest)) as Uint8Array);
  expect(stored).toEqual({ md5: base?.md5, version: base?.version, bytes: base?.bytes });
  // It is the base set from now on.
  expect(await frozenBy(datasets, runOf(site, "run-1"))).toMatchObject({ base: null, dataset: { md5: dataset.md5 } });
});

test("too few new frames are refused with what earlier trainings use; a registry that does not answer is asked again", async () => {
  const { site } = await siteOf(await siteFrames(100, 9));
  labelled(site, await siteFrames(100, 1));
  const datasets = await openedBy(site);
  datasets.table.put(await site.base(await siteFrames(30, 8)));
  const { dataset } = await frozenBy(datasets, runOf(site, "run-1"));
  datasets.table.put(dataset);
  const next = runOf(site, "run-2");
  expect(await datasets.count(next, signal)).toMatchObject({ leftOut: { "judged-before": expect.any(Number) } });
  expect(await datasets.freeze(next, signal)).toEqual({
    refused: expect.stringMatching(
      /; \d+ more are, or look like, frames that candidates are judged by .*label newer frames/,
    ),
  });
  site.registry.failure = new Failure("api-unreachable", "retry", "the registry does not answer");
  await expect(datasets.freeze(next, signal)).rejects.toMatchObject({ code: "api-unreachable", advice: "retry" });
  site.registry.failure = null;
  // A version that went from the store is named and passed over (history.ts Y3).
  rmSync(new URL((await site.store()).uri), { recursive: true });
  const another = await openedBy(site);
  for (const record of [await site.base(await siteFrames(30, 8)), dataset]) another.table.put(record);
  const { dataset: after } = await frozenBy(another, next);
  expect(JSON.parse(after.query)).toMatchObject({
    history: { datasets: 0, datasetsGone: [`edge/${dataset.version}`] },
  });
});
