import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { missingFrames } from "../local/enough.ts";
import type { FrameCandidate } from "./candidate.ts";
import { type Choice, choiceDefaults, choiceFor, chooseFrames } from "./choose-frames.ts";
import { SPLITS } from "./split.ts";

const SEEDS = [1, 2];
const CLASSES = ["cat", "dog", "ship"];

type Fleet = {
  readonly seed: number;
  /** Frames of each device. */
  readonly devices: readonly number[];
  readonly drawnShare?: number;
};

const hex = (random: () => number, digits: number) =>
  Array.from({ length: digits / 8 }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  ).join("");

function fleet({ seed, devices, drawnShare = 1 }: Fleet): FrameCandidate[] {
  const random = seededRandom(seed);
  return devices.flatMap((frames, device) =>
    Array.from({ length: frames }, (_, i) => ({
      frameId: `cam-${device}:1:front:${i + 1}`,
      deviceId: `cam-${device}`,
      digest: hex(random, 64),
      pictureHash: hex(random, 16),
      receivedAt: i * 1_000,
      sampleDrawn: random() < drawnShare,
      samplePropensity: 0.05,
      label: CLASSES[Math.floor(random() * 3)] as string,
      source: "PERSON" as const,
    })),
  );
}

const choose = (candidates: readonly FrameCandidate[], seed = "run", settings = choiceDefaults): Choice =>
  chooseFrames({ slice: "site=north", candidates, settings, seed });

function chosen(choice: Choice) {
  if (choice.kind === "too-few") throw new Error(choice.message);
  const { frames } = choice;
  const counts = SPLITS.map((split) => frames.filter((frame) => frame.split === split).length);
  return { ...choice, counts };
}

const even = (devices: number, frames: number) => Array.from({ length: devices }, () => frames);

test("300 frames are trained on and 300 judged on, whatever the order they come in", () => {
  for (const seed of SEEDS) {
    const frames = fleet({ seed, devices: even(30, 40) });
    const choice = chosen(choose(frames));
    expect([seed, ...choice.counts.map((count) => Math.round(count / 15) * 15)]).toEqual([seed, 300, 75, 225]);
    expect(choose([...frames].reverse())).toEqual(choose(frames));
    expect(choose(frames, "another run")).not.toEqual(choose(frames));
  }
});

test("devices never straddle splits; of few devices, blocks of time do not (split.ts S1)", () => {
  for (const seed of SEEDS) {
    const many = chosen(choose(fleet({ seed, devices: Array.from({ length: 12 }, (_, i) => 20 + 8 * i) })));
    expect(many.grouping).toBe("device");
    const splits = Map.groupBy(many.frames, ({ deviceId }) => deviceId);
    for (const own of splits.values()) expect(new Set(own.map(({ split }) => split)).size).toBe(1);

    const few = chosen(choose(fleet({ seed, devices: [400, 500] })));
    expect(few.grouping).toBe("device and time");
    for (const device of ["cam-0", "cam-1"]) {
      const own = few.frames.filter(({ deviceId }) => deviceId === device);
      own.sort((a, b) => a.receivedAt - b.receivedAt);
      const changes = own.filter(({ split }, i) => i > 0 && own[i - 1]?.split !== split).length;
      expect(changes).toBeLessThan(24);
    }
  }
});

test("what looks alike is there once, and nowhere with two classes (near-duplicates.ts N1, N2)", () => {
  for (const seed of SEEDS) {
    const random = seededRandom(seed + 1_000);
    const frames = fleet({ seed, devices: even(20, 40) });
    const flipped = (hash: string, bits: number) => {
      let value = BigInt(`0x${hash}`);
      const places = new Set<number>();
      while (places.size < bits) places.add(Math.floor(random() * 64));
      for (const place of places) value ^= 1n << BigInt(place);
      return value.toString(16).padStart(16, "0");
    };
    const like = (frame: FrameCandidate, i: number, bits: number, label = frame.label): FrameCandidate => ({
      ...frame,
      frameId: `${frame.frameId}${i}`,
      deviceId: `cam-${i % 20}`,
      digest: hex(random, 64),
      pictureHash: flipped(frame.pictureHash, bits),
      label,
    });
    const alike = frames.slice(0, 50).map((frame, i) => like(frame, i, 1 + (i % 3)));
    const contradicting = frames.slice(100, 130).map((frame, i) => like(frame, i, i % 4, "frog"));
    const repeated = frames.slice(200, 210).map((frame) => ({ ...frame, frameId: `${frame.frameId}9` }));
    const { frames: kept, leftOut } = chosen(choose([...frames, ...alike, ...contradicting, ...repeated]));
    expect(leftOut).toMatchObject({ "near-duplicate": 50, "labels-contradict": 60, "same-picture": 10 });
    const hashes = kept.map(({ pictureHash }) => BigInt(`0x${pictureHash}`));
    const isNear = (a: bigint, b: bigint) => a !== b && (a ^ b).toString(2).replaceAll("0", "").length <= 3;
    expect(hashes.filter((a) => hashes.some((b) => isNear(a, b)))).toEqual([]);
    expect(new Set(hashes).size).toBe(hashes.length);
  }
});

test("one device that floods the labels has 5 % of a set at most (device-share.ts V1)", () => {
  for (const seed of SEEDS) {
    for (const [honest, frames] of [
      [19, 20],
      [40, 10],
      [60, 20],
    ] as const) {
      const poison = 1_000;
      const choice = chosen(choose(fleet({ seed, devices: [poison, ...even(honest, frames)] })));
      const own = choice.frames.filter(({ deviceId }) => deviceId === "cam-0").length;
      expect(own).toBeLessThanOrEqual(Math.ceil(choice.frames.length * 0.05) + 1);
      expect(choice.leftOut["device-share"]).toBeGreaterThan(poison - 100);
    }
  }
});

test("what is judged on was drawn by the random sample, where there is enough of it (split.ts S3)", () => {
  for (const seed of SEEDS) {
    const gateOf = (drawnShare: number) => {
      const { frames, isGateDrawn } = chosen(choose(fleet({ seed, devices: even(30, 40), drawnShare })));
      const gate = frames.filter(({ split }) => split === "GATE");
      expect(gate.length).toBeGreaterThan(180);
      return { isGateDrawn, drawn: gate.filter(({ sampleDrawn }) => sampleDrawn).length / gate.length };
    };
    expect(gateOf(0.9)).toEqual({ isGateDrawn: true, drawn: 1 });
    const some = gateOf(0.2);
    expect(some.isGateDrawn).toBe(false);
    expect(some.drawn).toBeGreaterThan(0.2);
  }
});

test("labels of the cloud are trained on and never judged on (split.ts S2)", () => {
  const frames = fleet({ seed: 1, devices: even(30, 40) });
  const mixed = frames.map((frame, i) => (i % 4 === 0 ? { ...frame, source: "CLOUD" as const } : frame));
  const { frames: kept } = chosen(choose(mixed));
  const sources = (split: string) => new Set(kept.filter((one) => one.split === split).map(({ source }) => source));
  expect([...sources("GATE"), ...sources("TUNE")]).toEqual(["PERSON", "PERSON"]);
  const cloud = { ...choiceDefaults, wanted: { TRAIN: 600, TUNE: 75, GATE: 225 } };
  expect(
    choose(
      frames.map((frame) => ({ ...frame, source: "CLOUD" as const })),
      "run",
      cloud,
    ),
  ).toMatchObject({
    kind: "too-few",
    message: expect.stringContaining("of which 0 can be TUNE"),
  });
});

test("too few frames are refused with the number that would do (C4)", () => {
  expect(choose(fleet({ seed: 1, devices: [20] }))).toMatchObject({
    kind: "too-few",
    have: 20,
    atLeast: 220,
    best: 600,
    message: "site=north has 20 labelled frames that can be used; at least 220 are needed, 600 are best",
  });
  expect(choose([])).toMatchObject({ kind: "too-few", have: 0 });
  for (const seed of SEEDS) {
    expect(chosen(choose(fleet({ seed, devices: even(25, 9) }))).frames.length).toBe(225);
    expect(chosen(choose(fleet({ seed, devices: [220] }))).frames.length).toBe(220);
  }
});

test("half-dark pictures are compared with few others all the same (picture-hash.ts H1)", () => {
  const frames = fleet({ seed: 1, devices: even(25, 100) });
  const dark = frames.map((frame) => ({
    ...frame,
    label: "cat",
    pictureHash: frame.pictureHash.slice(8).padStart(16, "0"),
  }));
  const before = performance.now();
  expect(choose(dark).kind).toBe("chosen");
  expect(performance.now() - before).toBeLessThan(30_000);
});

test("whatever is chosen is enough to train on, and as many as are needed are chosen", () => {
  for (const count of [205, 219, 220, 226, 240, 300, 600]) {
    for (const seed of SEEDS) {
      const devices = Array.from({ length: 24 }, (_, i) => Math.floor((count + i) / 24));
      const choice = choose(fleet({ seed, devices }), `${seed}`);
      expect([count, choice.kind]).toEqual([count, count < 220 ? "too-few" : "chosen"]);
      if (choice.kind !== "chosen") continue;
      const [sliceTrain = 0, sliceTune = 0, gate = 0] = chosen(choice).counts;
      expect([count, missingFrames({ sliceTrain, sliceTune, baseTrain: 200, baseTune: 50 })]).toEqual([count, []]);
      expect(gate).toBeGreaterThanOrEqual(90);
    }
  }
});

test.each([220, 230, 240, 400, 600, 5_000])("of %i wanted labels each split gets what it needs", (wanted) => {
  const { wanted: best, splitMin } = choiceFor({ wanted, trainMin: 100, gateMin: 100 });
  expect(best.TRAIN + best.TUNE + best.GATE).toBe(wanted);
  for (const split of SPLITS) expect(best[split]).toBeGreaterThanOrEqual(splitMin[split]);
});
