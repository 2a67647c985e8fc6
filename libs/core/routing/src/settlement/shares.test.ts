import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { Admission, admissionDefaults } from "./admission.ts";

type Want = { readonly reason: "PRIORITY" | "AMBIGUOUS" | "SAMPLE"; readonly score: number; readonly drawn: boolean };
type Crowd = { readonly perSecond: number; readonly wants: (random: () => number) => Want | null };

const good: Crowd = {
  perSecond: 2,
  wants: (random) => {
    const drawn = random() < 0.02;
    const ambiguous = random() < 0.25;
    if (!drawn && !ambiguous) return null;
    return { reason: ambiguous ? "AMBIGUOUS" : "SAMPLE", score: ambiguous ? 0.09 + 0.4 * random() : 0.02, drawn };
  },
};

/** Twenty devices as they should be and perhaps one that is not. What share of what they asked for was sent. */
function run(seed: number, rogue: (Crowd & { readonly isVerified?: boolean }) | undefined, seconds = 120) {
  const random = seededRandom(seed);
  const admission = new Admission();
  const devices = Array.from({ length: 20 }, (_, i) => ({ deviceId: `good-${i}`, crowd: good }));
  const all = rogue === undefined ? devices : [...devices, { deviceId: "rogue", crowd: rogue }];
  const asked = { good: 0, rogue: 0 };
  const sent = { good: 0, rogue: 0, goodMin: 1 };
  const high = { good: 0, rogue: 0 };
  const ofDevice = new Map<string, { asked: number; sent: number }>();
  for (let t = 0; t < seconds * 1_000; t += 50) {
    for (const { deviceId, crowd } of all) {
      for (let left = crowd.perSecond / 20; left > 0; left--) {
        if (random() >= left) continue;
        const want = crowd.wants(random);
        if (want === null) {
          admission.kept(deviceId, t);
          continue;
        }
        const kind = deviceId === "rogue" ? "rogue" : "good";
        const isDrawVerified = want.drawn && (kind === "good" || rogue?.isVerified === true);
        const decision = admission.decide(
          {
            deviceId,
            arm: "default",
            remainingMs: 1_900,
            isSettled: false,
            hasAnswer: true,
            isDrawVerified,
            reason: want.reason,
            score: want.score,
            sampleDrawn: want.drawn,
          },
          t,
        );
        const mine = ofDevice.get(deviceId) ?? { asked: 0, sent: 0 };
        ofDevice.set(deviceId, mine);
        asked[kind]++;
        mine.asked++;
        if (decision.send === null) continue;
        sent[kind]++;
        mine.sent++;
        if (decision.send === "high") high[kind]++;
      }
    }
  }
  const shares = [...ofDevice].filter(([id]) => id !== "rogue").map(([, mine]) => mine.sent / mine.asked);
  return { asked, sent, high, goodShare: sent.good / asked.good, goodMin: Math.min(...shares) };
}

describe("one device beside twenty", () => {
  const floods: readonly (readonly [string, Crowd])[] = [
    ["34 priority frames a second", { perSecond: 34, wants: () => ({ reason: "PRIORITY", score: 1, drawn: false }) }],
    [
      "ambiguous ones of the best score",
      { perSecond: 34, wants: () => ({ reason: "AMBIGUOUS", score: 1e9, drawn: false }) },
    ],
    ["260 priority frames a second", { perSecond: 260, wants: () => ({ reason: "PRIORITY", score: 1, drawn: false }) }],
  ];

  test.each(floods)("%s take nothing from the others", (_, rogue) => {
    for (let seed = 1; seed <= 2; seed++) {
      const [alone, beside] = [run(seed, undefined), run(seed, rogue)];
      expect({ seed, share: alone.goodShare }).toEqual({ seed, share: 1 });
      expect({ seed, share: beside.goodShare > 0.95, worst: beside.goodMin > 0.9 }).toEqual({
        seed,
        share: true,
        worst: true,
      });
    }
  });

  test("a flood goes before the others' frames only with its share of the priority lane", () => {
    const { high, sent } = run(1, floods[0]?.[1]);
    // An even part of 0.3 of 74 frames a second over 120 s, and one part of the burst.
    expect(high.rogue).toBeLessThan((0.3 * 74 * 120) / 21 + 60);
    expect(sent.rogue).toBeGreaterThan(2 * high.rogue); // it may have idle tokens
  });

  test("claimed draws are few, verified or not, and frames that only count bring no more", () => {
    const claims: Crowd = { perSecond: 34, wants: () => ({ reason: "SAMPLE", score: -0.5, drawn: true }) };
    const asked = 34 * 120;
    const unverified = run(1, claims);
    expect(unverified.sent.rogue / asked).toBeLessThan(0.025);
    const verified = run(1, { ...claims, isVerified: true });
    expect(verified.sent.rogue / asked).toBeLessThan(0.055);
    expect([unverified.goodShare, verified.goodShare]).toEqual([1, 1]);
  });

  test("the price of the others is not learned from it", () => {
    const wantsAll: Crowd = { perSecond: 200, wants: () => ({ reason: "AMBIGUOUS", score: 1, drawn: false }) };
    expect(run(2, wantsAll).goodShare).toBeGreaterThan(0.95);
    const wantsNothing: Crowd = { perSecond: 200, wants: () => null };
    expect(run(2, wantsNothing).goodShare).toBe(1);
  });
});

test("a device alone may use the whole budget, and the high lane", () => {
  const admission = new Admission();
  let sent = 0;
  for (let i = 0; i < 6_000; i++) {
    const asking = { deviceId: "only", arm: "default", reason: "PRIORITY", score: 0.5, remainingMs: 1_900 } as const;
    const decision = admission.decide(
      { ...asking, sampleDrawn: false, isDrawVerified: false, hasAnswer: true, isSettled: false },
      i * 100,
    );
    if (decision.send === "high") sent++;
  }
  expect(sent / 6_000).toBeGreaterThan(0.3);
});

test("what is remembered of devices is bounded", () => {
  const admission = new Admission({ ...admissionDefaults, shares: { ...admissionDefaults.shares, devicesMax: 100 } });
  for (let i = 0; i < 10_000; i++) admission.kept(`device-${i}`, i);
  expect(admission.devicesKnown).toBeLessThanOrEqual(101);
});
