import { expect, test } from "@jest/globals";
import { type Digest, seededRandom } from "@tributary/kernel";
import { attemptsAt, failedAt, nextStep, nothingActive, taken } from "./following.ts";

const digests = ["a", "b", "c", "d"].map((letter): Digest => letter.repeat(64));
const SEEDS = 300;
const BACKOFF_MS = 100;

/** The alias moves, attempts fail or succeed, and time passes, at random; afterwards everything succeeds. */
function scenario(seed: number) {
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  let following = nothingActive;
  let wanted: Digest | null = null;
  let nowMs = 0;
  const lastAttemptMs = new Map<Digest, number>();
  const attempt = (succeeds: boolean): void => {
    const step = nextStep(following, wanted, nowMs);
    if (step.kind !== "take") return;
    expect(step.digest).toBe(wanted); // W3
    const before = following;
    if (before.failed?.digest === step.digest) {
      expect(nowMs - (lastAttemptMs.get(step.digest) as number)).toBeGreaterThanOrEqual(BACKOFF_MS); // W2
    }
    lastAttemptMs.set(step.digest, nowMs);
    if (succeeds) following = taken(step.digest);
    else {
      following = failedAt(following, step.digest, nowMs + BACKOFF_MS * 2 ** attemptsAt(following, step.digest));
      expect(following.active).toBe(before.active); // W1
    }
  };
  for (let i = 0; i < 60; i++) {
    const before = following;
    const draw = random();
    if (draw < 0.3) {
      wanted = pick([...digests, null]);
      const step = nextStep(following, wanted, nowMs);
      if (wanted !== null && wanted !== following.active && wanted !== following.failed?.digest) {
        expect(step).toEqual({ kind: "take", digest: wanted }); // W2: at once
      }
    } else if (draw < 0.6) nowMs += Math.floor(random() * 300);
    else attempt(random() < 0.4);
    if (before.active !== null) expect(following.active).not.toBeNull(); // W1
  }
  wanted ??= pick(digests);
  for (let i = 0; i < 3; i++) {
    const step = nextStep(following, wanted, nowMs);
    if (step.kind === "wait") nowMs = step.untilMs;
    attempt(true);
  }
  return { following, wanted, step: nextStep(following, wanted, nowMs) };
}

test(`a wanted package becomes active in the end, and none is lost on the way (seeds 1 to ${SEEDS})`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { following, wanted, step } = scenario(seed);
    expect([seed, following.active, step]).toEqual([seed, wanted, { kind: "rest" }]);
  }
});

test("nothing is done while the reference names no package, nor once it names the active one again", () => {
  const [a = "", b = ""] = digests;
  const failed = failedAt(taken(a), b, 500);
  expect(nextStep(nothingActive, null, 0)).toEqual({ kind: "rest" });
  expect(nextStep(failed, b, 499)).toEqual({ kind: "wait", untilMs: 500 });
  expect(nextStep(failed, b, 500)).toEqual({ kind: "take", digest: b });
  expect(nextStep(failed, null, 0)).toEqual({ kind: "rest" });
  expect(nextStep(failed, a, 0)).toEqual({ kind: "rest" });
  expect(attemptsAt(failedAt(failed, b, 900), b)).toBe(2);
  expect(attemptsAt(failed, a)).toBe(0);
});
