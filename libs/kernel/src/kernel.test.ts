import { describe, expect, jest, test } from "@jest/globals";
import { LONG_MAX } from "./ids.ts";
import {
  backoffMs,
  childTraceparent,
  Failure,
  formatFrameId,
  invariant,
  isDigest,
  isValidId,
  makeBootId,
  parseFrameId,
  reasonOf,
  seededRandom,
  systemClock,
  traceContextOf,
} from "./index.ts";

describe("ids", () => {
  test("a frame id is parsed back from its text, over seeds", () => {
    const random = seededRandom(3);
    const letters = "ABCXYZabcxyz0189_-";
    for (let i = 0; i < 2_000; i++) {
      const name = () =>
        `a${Array.from({ length: Math.floor(random() * 64) }, () => letters[Math.floor(random() * letters.length)]).join("")}`;
      const long = () => BigInt(Math.floor(random() * 2 ** 53)) * BigInt(Math.floor(random() * 2 ** 10));
      const id = { deviceId: name(), bootId: long() % LONG_MAX, cameraId: name(), frameSeq: LONG_MAX };
      expect(isValidId(id.deviceId)).toBe(true);
      expect(parseFrameId(formatFrameId(id))).toEqual(id);
    }
  });

  test.each([
    "",
    "cam",
    "cam:1:front",
    "cam:1:front:1:2",
    "cam:-1:front:1",
    "cam:1:front:9223372036854775808",
    "c/m:1:front:1",
    "_cam:1:front:1",
    `${"c".repeat(65)}:1:front:1`,
    "cam:1e3:front:1",
  ])("%p is no frame id, and the failure describes one", (text) => {
    expect(() => parseFrameId(text)).toThrow(
      expect.objectContaining({ code: "frame-id-malformed", advice: "give-up" }),
    );
  });

  test("boot ids are positive, ordered by boot, and wrap after 2^24 boots", () => {
    const noise = (1n << 60n) - 1n;
    let before = -1n;
    for (const boot of [0, 1, 2, 1_000, 2 ** 24 - 1]) {
      for (const bits of [0n, 12_345n, noise]) {
        const id = makeBootId(boot, bits);
        expect(id >= 0n && id <= LONG_MAX).toBe(true);
        expect(id).toBeGreaterThan(before);
        before = id;
      }
    }
    expect(makeBootId(2 ** 24, 5n)).toBe(makeBootId(0, 5n));
  });

  test("a digest is 64 lower-case hex digits", () => {
    expect([isDigest("a0".repeat(32)), isDigest("A0".repeat(32)), isDigest("a0".repeat(31))]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("chance", () => {
  test("the same seed gives the same numbers, another seed others", () => {
    const take = (seed: number) => Array.from({ length: 50 }, seededRandom(seed));
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
  });

  test("numbers are uniform in [0, 1): chi-squared over 100 bins, for seeds that differ in one bit", () => {
    for (const seed of [0, 1, 2, 4, 2 ** 31]) {
      const random = seededRandom(seed);
      const bins = new Array<number>(100).fill(0);
      for (let i = 0; i < 100_000; i++) {
        const bin = Math.floor(random() * 100);
        bins[bin] = (bins[bin] as number) + 1; // NaN outside [0, 1)
      }
      const chiSquared = bins.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
      expect(chiSquared).toBeGreaterThan(50); // too even is not random either
      expect(chiSquared).toBeLessThan(160); // p < 1e-4
    }
  });

  test("backoff stays within its bounds and grows until the ceiling", () => {
    const backoff = { minMs: 50, maxMs: 5_000 };
    const random = seededRandom(1);
    for (let attempt = 0; attempt < 2_000; attempt++) {
      const waitMs = backoffMs(backoff, attempt, random);
      expect(waitMs).toBeGreaterThanOrEqual(50);
      expect(waitMs).toBeLessThanOrEqual(Math.min(5_000, 50 * 2 ** attempt));
    }
    expect(backoffMs(backoff, 3, () => 1)).toBe(400);
    expect(backoffMs(backoff, 1e9, () => 1)).toBe(5_000);
  });
});

describe("failures and time", () => {
  test("an invariant that fails is a bug, not a Failure", () => {
    invariant(true, "fine");
    expect(() => invariant(0, "zero")).toThrow(
      expect.objectContaining({ name: "InvariantViolation", message: "zero" }),
    );
    expect([reasonOf(new Failure("c", "retry", "why")), reasonOf("text")]).toEqual(["why", "text"]);
  });

  test("a sleep ends by its time or by its signal, and leaves neither timer nor listener", async () => {
    jest.useFakeTimers();
    try {
      const stop = new AbortController();
      const slept = systemClock.sleep(1_000, stop.signal);
      jest.advanceTimersByTime(1_000);
      await slept;
      const aborted = systemClock.sleep(1_000, stop.signal);
      stop.abort(new Error("enough"));
      await expect(aborted).rejects.toThrow("enough");
      await expect(systemClock.sleep(1_000, stop.signal)).rejects.toThrow("enough");
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe("trace context", () => {
  const parent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;

  test("a child is another span of the same trace, sampled as its parent is", () => {
    for (let seed = 0; seed < 500; seed++) {
      const random = seededRandom(seed);
      const child = traceContextOf(childTraceparent(seed % 2 === 0 ? parent : parent.replace(/1$/, "0"), random));
      expect(child).toMatchObject({ traceId: "1".repeat(32), isSampled: seed % 2 === 0 });
      expect(child?.spanId).not.toBe("2".repeat(16));
    }
    expect(traceContextOf(childTraceparent(parent, () => 0))).toBeDefined();
  });

  test("an invalid traceparent starts no trace", () => {
    for (const wrong of [null, undefined, "", "00-x", parent.replace(/1{32}/, "0".repeat(32)), `${parent}-more`]) {
      expect([traceContextOf(wrong), childTraceparent(wrong, Math.random)]).toEqual([undefined, null]);
    }
  });
});
