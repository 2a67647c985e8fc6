/** A site that is trained for again and again: what its candidates are judged by is learned by none of them (used-frames.ts). */
import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import {
  type ChosenFrame,
  choiceDefaults,
  chooseFrames,
  type FrameCandidate,
  type UsedFrame,
  unjudged,
} from "./index.ts";

const SEEDS = [1, 2, 3];
const hex = (random: () => number, digits: number) =>
  Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");

/** Frames of a month, of which each device has as many. */
function monthOf(month: number, devices: number, frames: number, random: () => number): FrameCandidate[] {
  return Array.from({ length: frames }, (_, i) => ({
    frameId: `cam-${i % devices}:1:front:${10_000 * month + i}`,
    deviceId: `cam-${i % devices}`,
    digest: hex(random, 64),
    pictureHash: hex(random, 16),
    receivedAt: 1_000_000 * month + i,
    sampleDrawn: true,
    samplePropensity: 0.05,
    label: random() < 0.5 ? "cat" : "dog",
    source: "PERSON" as const,
  }));
}

const usedBy = (frames: readonly ChosenFrame[]): UsedFrame[] =>
  frames.map(({ digest, pictureHash, deviceId, split }) => {
    return { use: split === "GATE" ? "judged" : "trained", digest, pictureHash, deviceId };
  });

type Training = { readonly frames: readonly ChosenFrame[]; readonly used: readonly UsedFrame[] };

/** As the trainer chooses: frames that are known to be judged by are left out before their pictures are fetched. */
function trained(archive: readonly FrameCandidate[], used: readonly UsedFrame[], seed: string): Training {
  const { hashDistanceMax } = choiceDefaults;
  const unhashed = archive.map(({ pictureHash, ...frame }) => ({ ...frame, of: pictureHash }));
  const { frames, judged: judgedMoments } = unjudged(unhashed, used, hashDistanceMax);
  const candidates = frames.map(({ of: pictureHash, ...frame }) => ({ ...frame, pictureHash }));
  const choice = chooseFrames({ slice: "site=north", candidates, settings: choiceDefaults, seed, used, judgedMoments });
  if (choice.kind === "too-few") throw new Error(`${seed}: ${choice.message}`);
  return { frames: choice.frames, used: [...used, ...usedBy(choice.frames)] };
}

const inSplits = (frames: readonly ChosenFrame[], ...splits: string[]) =>
  frames.filter(({ split }) => splits.includes(split));

test("over three trainings nothing is both learned and judged by, nor a device of many (C5, U1, U2)", () => {
  for (const seed of SEEDS) {
    const random = seededRandom(seed);
    const archive: FrameCandidate[] = [];
    const learned = new Set<string>();
    const judged = new Set<string>();
    const devices = { learned: new Set<string>(), judged: new Set<string>() };
    let used: readonly UsedFrame[] = [];
    for (const month of [1, 2, 3]) {
      archive.push(...monthOf(month, 25, 900, random));
      const before = new Set(judged);
      const training = trained(archive, used, `run-${seed}-${month}`);
      used = training.used;
      for (const { digest } of inSplits(training.frames, "GATE")) {
        expect(before.has(digest)).toBe(false); // The gate has new frames.
        judged.add(digest);
      }
      for (const { digest } of inSplits(training.frames, "TRAIN", "TUNE")) learned.add(digest);
      for (const { deviceId } of inSplits(training.frames, "GATE")) devices.judged.add(deviceId);
      expect(inSplits(training.frames, "TRAIN", "TUNE").filter(({ deviceId }) => devices.judged.has(deviceId))).toEqual(
        [],
      );
      expect([seed, month, inSplits(training.frames, "GATE").length]).toEqual([seed, month, expect.any(Number)]);
      expect(inSplits(training.frames, "GATE").length).toBeGreaterThanOrEqual(choiceDefaults.splitMin.GATE);
    }
    expect([...judged].filter((digest) => learned.has(digest))).toEqual([]);
    // The control: chosen without what was used before, frames are shared.
    const control = trained(archive, [], `run-${seed}-3`);
    expect(inSplits(control.frames, "TRAIN", "TUNE").some(({ digest }) => judged.has(digest))).toBe(true);
  }
});

test("of few devices, no frame of a block of time that is judged by is learned (split.ts S4)", () => {
  for (const seed of SEEDS) {
    const random = seededRandom(seed);
    const archive = monthOf(1, 2, 900, random);
    const first = trained(archive, [], `run-${seed}`);
    const gate = inSplits(first.frames, "GATE");
    archive.push(...monthOf(2, 2, 900, random));
    const second = trained(archive, first.used, `next-${seed}`);
    const isBeside = (frame: ChosenFrame, span: number) =>
      gate.some(({ deviceId, receivedAt }) => {
        return deviceId === frame.deviceId && Math.abs(receivedAt - frame.receivedAt) <= span;
      });
    const learned = inSplits(second.frames, "TRAIN", "TUNE");
    expect(learned.length).toBeGreaterThan(0);
    const besides = (frames: readonly ChosenFrame[]) => frames.filter((frame) => isBeside(frame, 4)).length;
    const control = trained(archive, [], `next-${seed}`);
    expect(besides(learned)).toBeLessThan(besides(inSplits(control.frames, "TRAIN", "TUNE")) / 4);
  }
});

test("what looks like a frame that is judged by is left out, and what looks like one that was learned is not judged by", () => {
  const random = seededRandom(1);
  const archive = monthOf(1, 25, 1_500, random);
  const flipped = (hash: string) => (BigInt(`0x${hash}`) ^ 5n).toString(16).padStart(16, "0");
  const other = (frames: readonly FrameCandidate[], use: UsedFrame["use"]): UsedFrame[] =>
    frames.map(({ pictureHash }) => {
      return { use, digest: hex(random, 64), pictureHash: flipped(pictureHash), deviceId: "" };
    });
  const [judged, learned] = [archive.slice(0, 300), archive.slice(300, 600)];
  const used = [...other(learned, "trained"), ...other(judged, "judged")];
  const choice = chooseFrames({ slice: "fleet", candidates: archive, settings: choiceDefaults, seed: "run", used });
  if (choice.kind === "too-few") throw new Error(choice.message);
  expect(choice.leftOut).toMatchObject({ "judged-before": 300 });
  const digestsOf = (frames: readonly FrameCandidate[]) => new Set(frames.map(({ digest }) => digest));
  const [judgedDigests, learnedDigests] = [digestsOf(judged), digestsOf(learned)];
  expect(choice.frames.filter(({ digest }) => judgedDigests.has(digest))).toEqual([]);
  expect(inSplits(choice.frames, "GATE").filter(({ digest }) => learnedDigests.has(digest))).toEqual([]);
  const reversed = chooseFrames({
    ...{ slice: "fleet", candidates: archive.toReversed(), settings: choiceDefaults, seed: "run" },
    used: used.toReversed(),
  });
  expect(reversed).toEqual(choice);
});

test("cameras that each had a training of their own can be trained for together: their devices are cut by time", () => {
  const random = seededRandom(1);
  const archive = monthOf(1, 8, 2_400, random);
  const used = archive.slice(0, 800).map(({ digest, pictureHash, deviceId }) => {
    return { use: "judged" as const, digest, pictureHash, deviceId };
  });
  const { frames } = trained(archive, used, "run");
  expect(inSplits(frames, "TRAIN").length).toBeGreaterThanOrEqual(choiceDefaults.splitMin.TRAIN);
  const judged = new Set(archive.slice(0, 800).map(({ digest }) => digest));
  expect(frames.filter(({ digest }) => judged.has(digest))).toEqual([]);
});

test("too few are left: the message names what earlier trainings use", () => {
  const archive = monthOf(1, 25, 600, seededRandom(1));
  const { used } = trained(archive, [], "run");
  expect(() => trained(archive, used, "next")).toThrow(
    /of which 0 can be GATE .*; 216 more are, .*; 384 were trained on before, so GATE cannot have them: label newer frames/,
  );
});
