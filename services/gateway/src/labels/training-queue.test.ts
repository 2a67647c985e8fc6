import { expect, test } from "@jest/globals";
import type { ArchivedFrame } from "@tributary/contracts";
import { formatFrameId, seededRandom } from "@tributary/kernel";
import { someArchivedFrame } from "@tributary/testing";
import { framesToLabel, framesToRepeat, sliceOf } from "./training-queue.ts";

const entryOf = (frame: ArchivedFrame) => [formatFrameId(frame), frame] as const;
const digestOf = (i: number) => ((i * 2_654_435_761) % 2 ** 32).toString(16).padStart(64, "0");
const someEntry = (i: number, change: Partial<ArchivedFrame> = {}) =>
  entryOf(someArchivedFrame({ frameSeq: BigInt(i), digest: digestOf(i), receivedAt: i * 10_000, ...change }));

test.each([1, 2, 3])("seed %i: devices get equal turns, drawn frames come first, no frame comes twice", (seed) => {
  const random = seededRandom(seed);
  const frames = Array.from({ length: 400 }, (_, i) =>
    someEntry(i, {
      deviceId: random() < 0.7 ? "loud" : `cam-${Math.floor(random() * 4)}`,
      sampleDrawn: random() < 0.5,
    }),
  );
  const labelled = new Set(frames.filter(() => random() < 0.05).map(([frameId]) => frameId));
  const listed = framesToLabel(frames, (frameId) => labelled.has(frameId), 50);
  expect(new Set(listed.map(([frameId]) => frameId)).size).toBe(50);
  expect(listed.some(([frameId]) => labelled.has(frameId))).toBe(false);
  expect(listed.every(([, { sampleDrawn }]) => sampleDrawn)).toBe(true);
  const had = Map.groupBy(
    frames.filter(([frameId]) => labelled.has(frameId)),
    ([, { deviceId }]) => deviceId,
  );
  const got = Map.groupBy(listed, ([, { deviceId }]) => deviceId);
  const counts = ["loud", "cam-0", "cam-1", "cam-2", "cam-3"].map(
    (deviceId) => (had.get(deviceId)?.length ?? 0) + (got.get(deviceId)?.length ?? 0),
  );
  const most = Math.max(...counts.slice(1));
  expect(counts[0]).toBeLessThanOrEqual(Math.max(most + 1, had.get("loud")?.length ?? 0));
  expect(framesToLabel(frames, (frameId) => labelled.has(frameId), 1_000)).toHaveLength(400 - labelled.size);
});

test("near-duplicates in time come last, and a picture that is listed never comes again", () => {
  const burst = [1, 2, 3].map((i) => someEntry(i, { receivedAt: 50_000 + 100 * i }));
  const apart = someEntry(4, { receivedAt: 90_000, sampleDrawn: false });
  const copy = someEntry(5, { receivedAt: 200_000, digest: apart[1].digest });
  const listed = framesToLabel([...burst, apart, copy], () => false, 10).map(([frameId]) => frameId);
  expect(listed).toHaveLength(4);
  expect(burst.map(([frameId]) => frameId).filter((frameId) => listed.slice(0, 2).includes(frameId))).toHaveLength(1);
  expect(burst.map(([frameId]) => frameId)).toEqual(expect.arrayContaining(listed.slice(2)));
});

test("a slice has the frames of its devices, cameras or site since its onset", () => {
  const frame = someArchivedFrame({ deviceId: "cam-1", cameraId: "front", site: "north", receivedAt: 100 });
  const holds = (slice: string, devices: readonly string[] = [], since = 0) =>
    sliceOf({ slice, devices, since })(frame);
  expect([holds("fleet"), holds("site=north"), holds("device=cam-1"), holds("camera=cam-1/front")]).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect([holds("fleet", [], 101), holds("site=south"), holds("device=cam-2"), holds("camera=cam-1/back")]).toEqual([
    false,
    false,
    false,
    false,
  ]);
  expect([holds("label:lens=acme", ["cam-1"]), holds("site=north", ["cam-2"])]).toEqual([true, false]);
});

test("one labelled frame in twenty, and what the cloud contradicts, is listed to a second person, and only once", () => {
  const frames = Array.from({ length: 1_000 }, (_, i) =>
    someEntry(i, { cloudLabel: i < 10 ? "dog" : "cat", cloudConfidence: 0.95 }),
  );
  const people = new Map<string, readonly string[]>(frames.map(([frameId]) => [frameId, ["ada"]]));
  const labelOf = (frameId: string) => ({
    label: "cat",
    source: "PERSON" as const,
    people: people.get(frameId) ?? [],
  });
  const again = (by: string, limit = 400) => framesToRepeat(frames, labelOf, by, limit);
  expect(again("ada")).toEqual([]);
  const listed = again("bob");
  expect(listed.slice(0, 10).every(([, { cloudLabel }]) => cloudLabel === "dog")).toBe(true);
  expect(listed.length).toBeGreaterThan(40);
  expect(listed.length).toBeLessThan(85);
  expect(again("bob", 20)).toHaveLength(5);
  for (const [frameId] of listed) people.set(frameId, ["ada", "bob"]);
  expect([again("bob"), again("eve")]).toEqual([[], []]);
});
