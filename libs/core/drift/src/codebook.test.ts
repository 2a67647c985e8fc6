import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { nearestPipelineFault } from "./index.ts";

const [SIDE, FRAMES, CLASSES] = [8, 8, 10];
type Picture = Float64Array; // SIDE x SIDE x 3, 0 to 1

const pictureOf = (random: Random): Picture => {
  const [shade, slope] = [random(), random() - 0.5];
  return Float64Array.from({ length: SIDE * SIDE * 3 }, (_, i) => {
    const value = shade + (slope * (i % (SIDE * 3))) / (SIDE * 3) + 0.3 * (random() - 0.5) + 0.1 * (i % 3);
    return Math.max(0, Math.min(1, value));
  });
};
const rotated = (picture: Picture) => picture.map((_, i) => picture[picture.length - 1 - i] ?? 0);
/** What the model gets: the right preprocessing first. */
const pipelines: Readonly<Record<string, (picture: Picture) => Picture>> = {
  right: (picture) => picture.map((value) => (value - 0.5) / 0.25),
  "channels-swapped": (picture) => picture.map((_, i) => ((picture[i - (i % 3) + 2 - (i % 3)] ?? 0) - 0.5) / 0.25),
  "mean-not-subtracted": (picture) => picture.map((value) => value / 0.25),
  "deviation-not-divided": (picture) => picture.map((value) => value - 0.5),
  "rescaled-twice": (picture) => picture.map((value) => (value / 255 - 0.5) / 0.25),
  "rotated-180": (picture) => rotated(picture).map((value) => (value - 0.5) / 0.25),
  greyscale: (picture) =>
    picture.map((_, i) => {
      const first = i - (i % 3);
      return (((picture[first] ?? 0) + (picture[first + 1] ?? 0) + (picture[first + 2] ?? 0)) / 3 - 0.5) / 0.25;
    }),
};

/** A network of random weights, with logits of this scale. */
function modelOf(random: Random, scale: number) {
  const hidden = Array.from({ length: 16 }, () => Float64Array.from({ length: SIDE * SIDE * 3 }, () => random() - 0.5));
  const out = Array.from({ length: CLASSES }, () => Float64Array.from({ length: 16 }, () => (random() - 0.5) * scale));
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
    return sum;
  };
  return (input: Picture) => {
    const active = hidden.map((weights) => Math.max(0, dot(weights, input)));
    return out.map((weights) => dot(weights, active));
  };
}

describe.each([
  [1, 0.01],
  [2, 1],
  [3, 100],
])("codebook, seed %i, logits of scale %d", (seed, scale) => {
  const random = seededRandom(seed);
  const model = modelOf(random, scale);
  const pictures = Array.from({ length: FRAMES }, () => pictureOf(random));
  const logitsOf = (name: string, of = pictures) => of.map((picture) => model(pipelines[name]?.(picture) ?? picture));
  const golden = logitsOf("right");
  const faults = Object.keys(pipelines).filter((name) => name !== "right");
  const pipeline = faults.map((name) => ({ name, logits: logitsOf(name) }));
  const codebook = { formatVersion: 1, frames: FRAMES, pipeline, camera: [] } as const;
  const noisy = () => pictures.map((picture) => picture.map((v) => v + (Math.floor(random() * 5) - 2) / 255));

  test("names each fault under noise of 2/255, and accepts the right answers under it", () => {
    for (const name of faults) {
      const named = nearestPipelineFault(codebook, golden, logitsOf(name, noisy()).flat());
      expect(named?.name).toBe(name);
      expect(named?.runnerUpDistance).toBeGreaterThan(named?.distance ?? 0);
    }
    expect(nearestPipelineFault(codebook, golden, logitsOf("right", noisy()).flat())).toBeNull();
  });

  test("with recorded noise names what is as near as noise, and not what a weaker fault makes", () => {
    const recorded = pipeline.map(({ name, logits }) => {
      const [exact, other] = [logits.flat(), logitsOf(name, noisy()).flat()];
      const squares = exact.reduce((sum, value, i) => sum + (value - (other[i] ?? 0)) ** 2, 0);
      return { name, logits, noise: Math.sqrt(squares / exact.length) };
    });
    const withNoise = { ...codebook, pipeline: recorded };
    const share = (name: string, part: number) =>
      logitsOf(name).map((frame, i) => frame.map((value, c) => part * value + (1 - part) * (golden[i]?.[c] ?? 0)));
    for (const name of faults) {
      expect(nearestPipelineFault(withNoise, golden, logitsOf(name, noisy()).flat())?.name).toBe(name);
    }
    // The fixed distance of packages without noise names this one.
    const weaker = share("mean-not-subtracted", 0.8).flat();
    expect(nearestPipelineFault(codebook, golden, weaker)?.name).toBe("mean-not-subtracted");
    expect(nearestPipelineFault(withNoise, golden, weaker)).toBeNull();
  });

  test("names none for random logits", () => {
    const spread = Math.max(...golden.flat().map(Math.abs));
    const random_ = golden.flat().map(() => (random() - 0.5) * 2 * spread);
    expect(nearestPipelineFault(codebook, golden, random_)).toBeNull();
  });

  test("refuses what is not a number, and another number of logits", () => {
    const reported = golden.flat();
    reported[23] = Number.NaN;
    expect(() => nearestPipelineFault(codebook, golden, reported)).toThrow("class 3 of golden frame 2 is NaN");
    expect(() => nearestPipelineFault(codebook, golden, [1, 2])).toThrow("2 logits are reported for 8 golden frames");
  });
});
