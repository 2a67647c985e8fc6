import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type DetectorSettings,
  dayPart,
  detectorDefaults,
  logBar,
  readStream,
  stepStream,
  streamFloats,
} from "./index.ts";

const settings: DetectorSettings = { ...detectorDefaults, baselineWindows: 60 };
const bar = logBar(440, 2_000);

/** Mean over frames of (bin + 1/2) / 32, of values around `mean`. */
function windowMean(random: Random, mean: number, frames: number): number {
  let sum = 0;
  for (let i = 0; i < frames; i++) {
    const value = mean + 0.6 * (random() - 0.5);
    sum += (Math.min(31, Math.floor(Math.max(0, value) * 32)) + 0.5) / 32;
  }
  return sum / frames;
}

/** Between two others, which it leaves alone. */
class Stream {
  readonly state: Float32Array;
  readonly offset: number;
  readonly #settings: DetectorSettings;
  #at = 0;

  constructor(some: DetectorSettings = settings) {
    this.#settings = some;
    this.offset = streamFloats(some);
    this.state = new Float32Array(3 * this.offset);
  }

  step(x: number, frames: number, part = 0): boolean {
    stepStream(this.state, this.offset, x, { at: this.#at++, frames, part }, bar, this.#settings);
    return this.reading.isAlarmed;
  }

  get reading() {
    return readStream(this.state, this.offset, this.#settings);
  }
}

describe.each([1, 2])("detector, seed %i", (seed) => {
  const random = seededRandom(seed);

  test("detector.ts D1: no alarm of 4 clean streams in 1,000 windows of 1 to 3 frames, nor in ones of a constant", () => {
    let alarms = 0;
    for (let i = 0; i < 4; i++) {
      const stream = new Stream();
      const mean = 0.35 + 0.3 * random();
      for (let window = 0; window < 1_000; window++) {
        const frames = 1 + Math.floor(3 * random());
        if (stream.step(i === 0 ? 0 : windowMean(random, mean, frames), frames)) alarms++;
      }
      expect(stream.reading.isCompared).toBe(true);
    }
    expect(alarms).toBe(0);
  });

  test("a shift is detected, dated and measured; when it is over, the alarm is cleared", () => {
    const stream = new Stream();
    for (let window = 0; window < 600; window++) stream.step(windowMean(random, 0.4, 3), 3);
    let delay = 0;
    for (; !stream.reading.isAlarmed && delay < 400; delay++) stream.step(windowMean(random, 0.6, 3), 3);
    expect(delay).toBeLessThan(300);
    for (let window = 0; window < 100; window++) stream.step(windowMean(random, 0.6, 3), 3);
    const { before, now, onset, logEvidence, windows } = stream.reading;
    expect(before).toBeCloseTo(0.4, 1);
    expect(now - before).toBeCloseTo(0.2, 1);
    expect(Math.abs((onset ?? 0) - 600)).toBeLessThan(40);
    expect(Math.abs(windows - (delay + 100))).toBeLessThan(40);
    expect(logEvidence).toBeGreaterThan(bar);
    for (let window = 0; window < 200; window++) stream.step(windowMean(random, 0.4, 3), 3);
    expect(stream.reading).toMatchObject({ isAlarmed: false, onset: null });
    expect(stream.state.subarray(0, stream.offset).some((value) => value !== 0)).toBe(false);
    expect(stream.state.subarray(2 * stream.offset).some((value) => value !== 0)).toBe(false);
  });

  test("a shift right after the first baseline is not learned", () => {
    const stream = new Stream();
    for (let window = 0; window < 150; window++) stream.step(windowMean(random, 0.4, 20), 20);
    expect(stream.reading.isCompared).toBe(true);
    for (let window = 0; window < 200; window++) stream.step(windowMean(random, 0.7, 20), 20);
    expect(stream.reading.isAlarmed).toBe(true);
    expect(stream.reading.before).toBeCloseTo(0.4, 1);
  });

  test("detector.ts D2: scenes that last make no alarm where as many independent windows make a baseline", () => {
    let alarms = 0;
    for (let i = 0; i < 3; i++) {
      const stream = new Stream(detectorDefaults);
      let scene = 0;
      for (let window = 0; window < 1_000; window++) {
        if (random() < 0.2) scene = 0.4 * (random() - 0.5);
        if (stream.step(windowMean(random, 0.5 + scene, 3), 3)) alarms++;
      }
    }
    expect(alarms).toBe(0);
  });
});

test("parts of the day have baselines of their own, which begin to count once a part was seen to its end", () => {
  const random = seededRandom(7);
  const stream = new Stream({ ...settings, dayParts: 2 });
  const day = (night: number) => {
    for (let window = 0; window < 300; window++) stream.step(windowMean(random, 0.7, 20), 20, 1);
    for (let window = 0; window < 300; window++) stream.step(windowMean(random, night, 20), 20, 0);
  };
  for (let i = 0; i < 8; i++) day(0.3);
  expect(stream.reading).toMatchObject({ isCompared: true, isAlarmed: false });
  day(0.6);
  day(0.6);
  expect(stream.reading.isAlarmed).toBe(true);
  expect([0, 5, 6, 12, 23].map((hour) => dayPart(hour * 3_600_000, 4))).toEqual([0, 0, 1, 2, 3]);
});

test("the bar grows with streams and with windows a month", () => {
  expect(logBar(440, 2_000)).toBeCloseTo(Math.log(440 * 1_296_000), 9);
  expect(() => logBar(0, 2_000)).toThrow("at least one stream");
  expect(() => new Stream().step(1.2, 3)).toThrow("in 0 to 1");
});
