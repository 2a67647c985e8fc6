/** Frames of a camera whose reader stalls at random, dated by what the reader can know; what really happened is known here. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { captureNext, captureSettingsOf, dueIn, hasCome, noCaptures, periodOf } from "./capture-times.ts";
import { ladderDefaults, ladderNext, ladderStart } from "./ladder.ts";
import { stampDefaults } from "./stamp-clock.ts";

const BEAT_MS = 5;
const ON_TIME_MS = 7;
const settings = captureSettingsOf(ON_TIME_MS);
const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
const DEADLINE_MS = 50;
const ANSWER_MS = 40;
const COUNT_MAX = 100;

type Frame = { readonly arrivedAt: number; readonly readAt: number; readonly emptyAt: number };
type Stall = { readonly fromMs: number; readonly untilMs: number };

/** A reader that looks every `BEAT_MS`, but while it stalls, and the frames of a camera with a jittered period. */
function scene(random: Random, periodMs: number, isCameraStalledToo = false) {
  const stalls: Stall[] = [];
  for (let at = 2_000 + 500 * random(); at < 30_000; at += 500 + 4_000 * random()) {
    const untilMs = at + 8 + 800 * random() ** 3;
    stalls.push({ fromMs: at, untilMs });
    at = untilMs;
  }
  const stallAt = (ms: number) => stalls.find(({ fromMs, untilMs }) => fromMs <= ms && ms < untilMs);
  const looks = stalls.map(({ untilMs }) => untilMs);
  for (let at = 0; at < 30_000; at += BEAT_MS) if (stallAt(at) === undefined) looks.push(at);
  looks.sort((a, b) => a - b);
  const frames: Frame[] = [];
  for (let at = periodMs / 2; at < 29_000; at += periodMs) {
    const arrivedAt = at + 0.1 * periodMs * random();
    const stall = stallAt(arrivedAt);
    if (isCameraStalledToo && stall !== undefined) continue;
    const readAt = stall?.untilMs ?? arrivedAt;
    frames.push({ arrivedAt, readAt, emptyAt: looks.findLast((look) => look < arrivedAt) ?? 0 });
  }
  return { frames, stalls };
}

describe("capture times", () => {
  test("capture-times.ts A1: no frame is dated later than it arrived, but for a look; those that were on time are dated right", () => {
    const wrong: string[] = [];
    for (const seed of seeds) {
      const random = seededRandom(seed);
      let times = noCaptures;
      for (const { arrivedAt, readAt, emptyAt } of scene(random, 20 + 100 * random()).frames) {
        const dated = captureNext(times, { readAt, emptyAt, stampMs: null }, settings);
        times = dated.times;
        const error = dated.capturedAt - arrivedAt;
        const isRight = readAt === arrivedAt ? error === 0 : error <= ON_TIME_MS;
        if (!isRight) wrong.push(`seed ${seed}: the frame of ${arrivedAt} is dated ${dated.capturedAt}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("frames that wait through a stall are dated one period after another", () => {
    let times = noCaptures;
    for (let i = 0; i < 20; i++)
      times = captureNext(times, { readAt: 50 * i, emptyAt: 50 * i - 1, stampMs: null }, settings).times;
    const burst = Array.from({ length: 8 }, () => {
      const dated = captureNext(times, { readAt: 1_390, emptyAt: 955, stampMs: null }, settings);
      times = dated.times;
      return dated.capturedAt;
    });
    expect(burst).toEqual([1_000, 1_050, 1_100, 1_150, 1_200, 1_250, 1_300, 1_350]);
  });

  test("with stamps of any clock: dated right through stalls; after a jump either by arrival, or right", () => {
    const wrong: string[] = [];
    for (const seed of seeds) {
      const random = seededRandom(seed);
      let times = noCaptures;
      const jumpsAt = 5_000 + 10_000 * random();
      const jumpMs = (random() < 0.5 ? -1 : 1) * (100 + 1e9 * random());
      const drift = 1 + 1e-4 * (random() - 0.5);
      for (const { arrivedAt, readAt, emptyAt } of scene(random, 50).frames) {
        const stampMs = 1.7e12 + arrivedAt * drift + (arrivedAt < jumpsAt ? 0 : jumpMs);
        const { capturedAt, refusal, times: next } = captureNext(times, { readAt, emptyAt, stampMs }, settings);
        times = next;
        const error = capturedAt - arrivedAt;
        const isRight = refusal === null && Math.abs(error) < 5;
        const isByArrival = refusal !== null && error <= ON_TIME_MS;
        if (!isRight && !isByArrival) wrong.push(`seed ${seed}: the frame of ${arrivedAt} is dated ${capturedAt}`);
      }
      expect(times.stamps.refused).toBeNull();
    }
    expect(wrong).toEqual([]);
  });

  test("stamp-clock.ts T1: a single stamp of the future, ancient or backwards is refused by name and changes no other", () => {
    for (const [by, refusal] of [
      [1e6, "stamp-future"],
      [-1e6, "stamp-backwards"],
    ] as const) {
      let times = noCaptures;
      const refusals: unknown[] = [];
      for (let i = 0; i < 40; i++) {
        const at = i * 10;
        const dated = captureNext(times, { readAt: at, emptyAt: at - 1, stampMs: at + (i === 20 ? by : 0) }, settings);
        times = dated.times;
        expect(dated.capturedAt).toBe(at);
        if (dated.refusal !== null) refusals.push(dated.refusal);
      }
      expect(refusals).toEqual([refusal]);
    }
    const first = captureNext(noCaptures, { readAt: 0, emptyAt: 0, stampMs: 0 }, settings).times;
    const readAt = stampDefaults.ageMsMax + 100;
    expect(captureNext(first, { readAt, emptyAt: readAt, stampMs: 50 }, settings).refusal).toBe("stamp-ancient");
  });

  test("stamp-clock.ts T0: a delay that lasts for minutes is still one, and a clock that drifts makes none", () => {
    const [on, minutes] = [5_000, 2 * 60_000];
    for (const drift of [-1e-4, 1e-4]) {
      const latenesses = [0, 200].map((delayMs) => {
        let times = noCaptures;
        let lateness = 0;
        for (let at = 0; at < minutes; at += 50) {
          const readAt = at + (at < on ? 0 : delayMs);
          const dated = captureNext(times, { readAt, emptyAt: readAt - 1, stampMs: 1e9 + at * (1 + drift) }, settings);
          times = dated.times;
          lateness = readAt - dated.capturedAt;
        }
        return lateness;
      });
      expect(latenesses[0]).toBeLessThan(10);
      expect(latenesses[1]).toBeGreaterThan(100);
    }
  });

  test("stamp-clock.ts T0: after minutes without a frame none is late for the drift meanwhile", () => {
    let times = noCaptures;
    for (const at of [0, 50, 100, 900_000, 900_050]) {
      const dated = captureNext(times, { readAt: at, emptyAt: at, stampMs: at * (1 - 1e-4) }, settings);
      times = dated.times;
      expect([at, dated.capturedAt]).toEqual([at, at]);
    }
  });

  test("frames that a camera could not deliver during a stall were due, and others were not", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const { frames, stalls } = scene(random, 50, true);
      let times = noCaptures;
      let next = 0;
      for (const stall of stalls) {
        for (; (frames[next]?.readAt ?? Number.POSITIVE_INFINITY) <= stall.fromMs; next++) {
          const { readAt, emptyAt } = frames[next] as Frame;
          times = captureNext(times, { readAt, emptyAt, stampMs: null }, settings).times;
        }
        const expected = (stall.untilMs - stall.fromMs) / 50;
        const due = dueIn(times, stall, COUNT_MAX);
        expect({ seed, isNear: Math.abs(due.length - expected) <= 2 }).toEqual({ seed, isNear: true });
        expect(due.filter((at) => hasCome(times, at))).toEqual([]);
      }
      expect(Math.abs((periodOf(times) ?? 0) - 50)).toBeLessThan(5);
    }
  });

  test("stalls of any length: what they cost is missed, and SAFE is signalled as they end where they break 19 of 20", () => {
    const ladder = { ...ladderDefaults, deadlineMs: DEADLINE_MS };
    let broken = 0;
    for (const seed of seeds) {
      const { frames, stalls } = scene(seededRandom(seed), 50);
      for (const stall of stalls) {
        let times = noCaptures;
        let state = ladderStart(0, { FULL: true, LITE: true });
        let lost = 0;
        for (const { arrivedAt, readAt, emptyAt } of frames) {
          if (readAt > stall.untilMs) break;
          const inStall = readAt === stall.untilMs;
          const dated = captureNext(times, { readAt, emptyAt, stampMs: null }, settings);
          times = dated.times;
          if (inStall && arrivedAt + DEADLINE_MS < readAt - ON_TIME_MS) lost += 1;
          const isMissed = dated.capturedAt + ANSWER_MS < readAt;
          const kind = isMissed ? ({ kind: "missed", cause: "agent-late" } as const) : ({ kind: "met" } as const);
          state = ladderNext(state, { ...kind, cameraId: "front", at: readAt }, ladder);
        }
        if (lost < 2) continue;
        broken += 1;
        expect({ seed, stall, level: state.level }).toEqual({ seed, stall, level: "SAFE" });
      }
    }
    expect(broken).toBeGreaterThan(20);
  });
});
