/** What is known of archived frames and their labels: as looking at all of them would find, within a bound, for few bytes and little work. */
import { expect, test } from "@jest/globals";
import type { ArchivedFrame, GroundTruth } from "@tributary/contracts";
import { formatFrameId, type Random, seededRandom } from "@tributary/kernel";
import { someArchivedFrame } from "@tributary/testing";
import type { LabelledFrame } from "@tributary/training/dataset";
import { FrameTable } from "./frame-table.ts";
import { LabelTimes } from "./label-times.ts";

const HOUR = 3_600_000;
const START = 1_800_000_000_000;
const MODELS = ["a", "b", "c"].map((letter) => letter.repeat(64));
const modelOf = (digest: string): string | undefined => ({ a: "edge", b: "edge", c: "other" })[digest[0] ?? ""];
const LABEL_MS_MAX = 400 * HOUR;

type Label = { label: string | null; source: GroundTruth["source"]; by: string; receivedAt: number };
type Known = { frame: ArchivedFrame | null; labels: Label[] };

/** The rules of the table (T1 to T3), by looking at everything each time. */
class FullScan {
  readonly known = new Map<string, Known>();
  readonly framesMax: number;
  evicted = 0;

  constructor(framesMax: number) {
    this.framesMax = framesMax;
  }

  of(id: string): Known {
    const known = this.known.get(id) ?? { frame: null, labels: [] };
    this.known.set(id, known);
    return known;
  }

  onFrame(frame: ArchivedFrame): void {
    this.of(formatFrameId(frame)).frame = frame;
    this.#evict();
  }

  onLabel(truth: GroundTruth, receivedAt: number): void {
    const { label, source, labelledBy: by } = truth;
    const known = this.of(formatFrameId(truth));
    const others = known.labels.filter((one) => one.source !== source || one.by !== by);
    known.labels = [...others, { label, source, by, receivedAt }].slice(-16);
    this.#evict();
  }

  #evict(): void {
    if (this.known.size <= this.framesMax) return;
    const rank = ({ frame, labels }: Known) => (frame === null ? 1 : labels.length === 0 ? 0 : 2);
    const age = ({ frame, labels }: Known) => frame?.receivedAt ?? Math.max(...labels.map((one) => one.receivedAt));
    const inOrder = [...this.known].toSorted(([, a], [, b]) => rank(a) - rank(b) || age(a) - age(b));
    const least = inOrder.slice(0, this.known.size - Math.floor((this.framesMax * 15) / 16));
    for (const [id] of least) this.known.delete(id);
    this.evicted += least.length;
  }

  labelsSince(model: string, at: number): number {
    return [...this.known.values()].filter(
      ({ frame, labels }) =>
        frame !== null &&
        modelOf(frame.modelDigest) === model &&
        labels.some(({ label, receivedAt }) => receivedAt > at && label !== null),
    ).length;
  }

  sliceOf(model: string, site: string, since: number, now: number): string[] {
    return [...this.known].flatMap(([id, { frame, labels }]) => {
      if (frame === null || frame.receivedAt < since || frame.expiresAt <= now) return [];
      if (modelOf(frame.modelDigest) !== model || frame.site !== site) return [];
      const { deviceId, digest, receivedAt, sampleDrawn, samplePropensity, cloudLabel, cloudConfidence } = frame;
      const cloud = { label: cloudLabel, source: "CLOUD", by: "cloud", confidence: cloudConfidence };
      const all = [...(cloudLabel === null ? [] : [cloud]), ...labels.map((one) => ({ ...one, confidence: null }))];
      return textOf({ frameId: id, deviceId, digest, receivedAt, sampleDrawn, samplePropensity, labels: all } as never);
    });
  }
}

const textOf = ({ labels, ...frame }: LabelledFrame): string =>
  JSON.stringify([Object.entries(frame).toSorted(), labels.map((label) => Object.entries(label).toSorted())]);

const hex = (random: Random) => Array.from({ length: 64 }, () => Math.floor(random() * 16).toString(16)).join("");
const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

/** Few ids, so that frames come again, and labels come before, after and twice. Times are distinct. */
function* recordsOf(random: Random, ids: number, count: number) {
  for (let i = 0; i < count; i++) {
    const at = START + HOUR * Math.floor(random() * 100) + i;
    const n = Math.floor(random() * ids);
    const id = {
      deviceId: `cam-${n % 7}`,
      bootId: BigInt(1 + (n % 3)),
      cameraId: "front",
      frameSeq: (1n << 40n) + BigInt(n),
    };
    if (random() < 0.5) {
      const model = { modelDigest: pick(random, MODELS), site: pick(random, ["north", "south", ""]) };
      const cloud =
        random() < 0.5 ? { cloudLabel: "cat", cloudConfidence: random() } : { cloudLabel: null, cloudConfidence: null };
      const times = { receivedAt: at, expiresAt: at + 1_000 * HOUR, digest: hex(random) };
      const drawn = { sampleDrawn: random() < 0.5, samplePropensity: random() };
      yield { at, frame: someArchivedFrame({ ...id, ...model, ...cloud, ...times, ...drawn }) };
    } else {
      const label = pick(random, ["cat", "dog", null]);
      const by = { source: pick(random, ["PERSON", "IMPORT"] as const), labelledBy: pick(random, ["ada", "bob"]) };
      yield { at, truth: { ...id, ...by, label, labelledAt: at, labelSet: null, comment: null, frameAt: null } };
    }
  }
}

test("labels are counted as a look at all of them would: corrections, late labels, frames that come again, eviction (T1, T3, T4)", () => {
  for (const [seed, framesMax] of [
    [1, 1_000],
    [2, 100],
    [3, 40],
    [4, 16],
  ] as const) {
    const random = seededRandom(seed);
    let evicted = 0;
    const onEvicted = (_: string, frames: number) => {
      evicted += frames;
    };
    const table = new FrameTable({ modelOf, labelMsMax: LABEL_MS_MAX, framesMax, onEvicted });
    const scan = new FullScan(framesMax);
    for (const { at, frame, truth } of recordsOf(random, 150, 3_000)) {
      if (frame !== undefined) {
        table.onFrame(frame, START);
        scan.onFrame(frame);
      } else if (truth !== undefined) {
        table.onLabel(truth, at, START);
        scan.onLabel(truth, at);
      }
      expect(table.size).toBeLessThanOrEqual(framesMax);
      const since = random() < 0.5 ? START + 50 * HOUR : START + 100 * HOUR * random();
      for (const model of ["edge", "other", "none"]) {
        expect([seed, model, table.labelsSince(model, since)]).toEqual([seed, model, scan.labelsSince(model, since)]);
      }
      if (random() > 0.02) continue;
      const slice = { model: "edge", slice: "site=north", devices: [], since: START + 30 * HOUR };
      const found = table.sliceOf(slice, START).map(textOf).toSorted();
      expect(found).toEqual(scan.sliceOf("edge", "north", slice.since, START).toSorted());
    }
    expect([seed, table.size, evicted]).toEqual([seed, scan.known.size, scan.evicted]);
    expect(evicted > 0).toBe(framesMax < 150);
  }
});

test("frames without a label are forgotten first, the oldest of them first, then labels without a frame (T3)", () => {
  const evicted: unknown[] = [];
  const table = new FrameTable({
    ...{ modelOf, labelMsMax: LABEL_MS_MAX, framesMax: 160 },
    onEvicted: (what, frames) => evicted.push([what, frames]),
  });
  const id = (n: number) => ({ deviceId: "cam", bootId: 1n, cameraId: "front", frameSeq: BigInt(n) });
  const frame = (n: number, receivedAt = START + n) =>
    table.onFrame(
      someArchivedFrame({ ...id(n), receivedAt, expiresAt: START + HOUR, modelDigest: MODELS[0] as string }),
      START,
    );
  const label = (n: number) =>
    table.onLabel(
      {
        ...id(n),
        label: "cat",
        source: "PERSON",
        labelledBy: "ada",
        labelledAt: 0,
        labelSet: null,
        comment: null,
        frameAt: null,
      },
      START + n,
      START,
    );
  const seqs = () =>
    table
      .sliceOf({ model: "edge", slice: "fleet", devices: [], since: 0 }, START)
      .map(({ frameId }) => Number(frameId.split(":").at(-1)));
  for (let n = 1; n <= 150; n++) frame(n);
  for (let n = 1; n <= 100; n++) label(n);
  for (let n = 301; n <= 311; n++) label(n);
  expect(evicted).toEqual([["unlabelled", 11]]);
  expect(seqs()).not.toContain(111);
  expect(seqs()).toEqual(expect.arrayContaining([100, 112]));
  for (let n = 400; n < 500; n++) {
    frame(n);
    label(n);
  }
  expect(new Map(evicted as [string, number][]).keys().toArray()).toEqual([
    "unlabelled",
    "label-without-frame",
    "labelled",
  ]);
  expect(table.size).toBeLessThanOrEqual(160);
  expect(table.labelsSince("edge", 0)).toBe(seqs().length);
});

test("what expired is forgotten: frames with their pictures, labels when no frame could be as old (T2)", () => {
  const table = new FrameTable({ modelOf, labelMsMax: HOUR, framesMax: 100_000 });
  const random = seededRandom(1);
  for (const { at, frame, truth } of recordsOf(random, 4_000, 9_000)) {
    if (frame !== undefined) table.onFrame({ ...frame, expiresAt: START + 2 * HOUR }, START);
    else if (truth !== undefined) table.onLabel(truth, at, START);
  }
  expect(table.size).toBeGreaterThan(3_000);
  for (const { frame } of recordsOf(random, 10, 25_000)) {
    if (frame !== undefined) table.onFrame({ ...frame, expiresAt: START + 1_000 * HOUR }, START + 300 * HOUR);
  }
  expect(table.size).toBeLessThanOrEqual(10);
});

test("a round of the triggers looks at no label: it asks once for each package (T4)", () => {
  let asked = 0;
  const counted = (digest: string) => {
    asked += 1;
    return modelOf(digest);
  };
  const table = new FrameTable({ modelOf: counted, labelMsMax: LABEL_MS_MAX, framesMax: 100_000 });
  for (const { at, frame, truth } of recordsOf(seededRandom(1), 5_000, 30_000)) {
    if (frame !== undefined) table.onFrame(frame, START);
    else if (truth !== undefined) table.onLabel(truth, at, START);
  }
  asked = 0;
  expect(table.labelsSince("edge", START + 50 * HOUR)).toBeGreaterThan(1_000);
  expect(asked).toBe(MODELS.length);
});

test("a question of how many labels came since compares few moments, however many there are", () => {
  const times = new LabelTimes();
  const random = seededRandom(1);
  const all = Array.from({ length: 100_000 }, () => Math.floor(START + 1_000 * HOUR * random()));
  for (const at of all) times.add(at);
  for (const at of all.splice(0, 30_000)) times.remove(at);
  expect(times.size).toBe(70_000);
  let compared = 0;
  const watched = (at: number) => {
    return {
      valueOf: () => {
        compared += 1;
        return at;
      },
    } as unknown as number;
  };
  const since = START + 500 * HOUR;
  expect(times.countAfter(since)).toBe(all.filter((at) => at > since).length);
  // Rounds half a second apart, with labels that come meanwhile.
  for (let i = 1; i <= 1_000; i++) {
    if (i % 10 === 0) times.add(all[all.push(START + 1_000 * HOUR + i) - 1] as number);
    times.countAfter(watched(since + 500 * i));
  }
  expect(compared / 1_000).toBeLessThan(100);
  const later = since + 500 * 1_000;
  expect(times.countAfter(later)).toBe(all.filter((at) => at > later).length);
});
