import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { Admission, admissionDefaults } from "./admission.ts";
import { FrameRate } from "./frame-rate.ts";

const asking = {
  deviceId: "cam-1",
  arm: "default",
  reason: "AMBIGUOUS",
  hasAnswer: true,
  score: 0.3,
  sampleDrawn: false,
  isDrawVerified: false,
  isSettled: false,
  remainingMs: 1_900,
} as const;

/** Devices at 10 frames/s whose kept frames come in batches, whose sent ones come at once. */
function admissionOf(options: { share: number; devices: number; batchMs: number; seconds: number; seed: number }) {
  const random = seededRandom(options.seed);
  const admission = new Admission();
  const devices = Array.from({ length: options.devices }, (_, i) => ({
    deviceId: `cam-${i}`,
    kept: 0,
    batchAt: random() * options.batchMs,
  }));
  let frames = 0;
  let sent = 0;
  let refused = 0;
  for (let t = 0; t < options.seconds * 1_000; t += 100) {
    for (const device of devices) {
      frames++;
      if (random() < options.share) {
        const score = 0.09 + random() * 0.4;
        const decision = admission.decide({ ...asking, deviceId: device.deviceId, score }, t);
        if (decision.send === null) refused++;
        else sent++;
      } else device.kept++;
      if (t < device.batchAt) continue;
      for (; device.kept > 0; device.kept--) admission.kept(device.deviceId, t);
      device.batchAt += options.batchMs;
    }
  }
  return { sentShare: sent / frames, refused };
}

describe("the fleet's budget", () => {
  test("a fleet within it is refused nothing, however its kept frames are batched", () => {
    for (let seed = 1; seed <= 6; seed++) {
      for (const devices of [1, 4, 20]) {
        for (const batchMs of [1_000, 5_000]) {
          const { refused } = admissionOf({ share: 0.25, devices, batchMs, seconds: 60, seed });
          expect({ seed, devices, batchMs, refused }).toEqual({ seed, devices, batchMs, refused: 0 });
        }
      }
    }
  });

  test("a fleet that wants more gets its share and one burst", () => {
    for (let seed = 1; seed <= 2; seed++) {
      const { sentShare } = admissionOf({ share: 0.6, devices: 4, batchMs: 1_000, seconds: 300, seed });
      expect(sentShare).toBeGreaterThan(0.28);
      expect(sentShare).toBeLessThan(0.3 * (1 + 60 / 300) + 0.001);
    }
  });
});

describe("degraded devices (admission.ts F5)", () => {
  const DEVICES = 40;
  const DEGRADED = 8;

  /** 40 devices at 10 frames/s that want 28 % of them; the first ones are degraded, and send one frame every `fallbackMs` for that. */
  function fleet(seed: number, fallbackMs: number) {
    const random = seededRandom(seed);
    const admission = new Admission();
    const wanted = { fallback: 0, other: 0 };
    const sent = { fallback: 0, other: 0 };
    const unfair = new Set<string>();
    for (let t = 0; t < 120_000; t += 100) {
      for (let i = 0; i < DEVICES; i++) {
        const frame = { ...asking, deviceId: `cam-${i}`, score: 0.09 + random() * 0.4 };
        const isAmbiguous = random() < 0.28;
        const isFallback = i < DEGRADED && t % fallbackMs === 0;
        if (isFallback) {
          wanted.fallback += 1;
          const decision = admission.decide({ ...frame, reason: "FALLBACK", remainingMs: 900 }, t);
          for (const why of decision.unfair) unfair.add(why);
          if (decision.send === "high") sent.fallback += 1;
        } else if (isAmbiguous) {
          // A degraded device's own ambiguous frames are not compared: some of them were sent as FALLBACK.
          const isSent = admission.decide(frame, t).send !== null;
          if (i < DEGRADED) continue;
          wanted.other += 1;
          if (isSent) sent.other += 1;
        } else admission.kept(frame.deviceId, t);
      }
    }
    return { sent, wanted, unfair };
  }

  test("get their answers at their rate, and take nothing from the others", () => {
    for (const seed of [1, 2, 3]) {
      const { sent, wanted } = fleet(seed, 500);
      expect(sent).toEqual(wanted);
    }
  });

  test("that claim more are held to their rate, and still take nothing", () => {
    const { sent, wanted, unfair } = fleet(1, 100);
    const { perSecondMax } = admissionDefaults.fallback;
    expect(sent.fallback).toBeLessThanOrEqual(DEGRADED * (perSecondMax * 120 + 4));
    expect(sent.fallback).toBeGreaterThan(0.95 * DEGRADED * perSecondMax * 120);
    expect(unfair).toContain("fallback");
    expect(sent.other).toBe(wanted.other);
  });

  /**
   * 40 devices at 10 frames/s: 8 honest degraded ones, whose frames come with jitter and sometimes after a pause, `liars` that send what they
   * can as FALLBACK, and others that want 28 % of their frames, unevenly.
   */
  function besideLiars(seed: number, liars: number, { hasAnswer = true, fleetShareMax = 0.1, perSecond = 2 } = {}) {
    const random = seededRandom(seed);
    const fallback = { ...admissionDefaults.fallback, fleetShareMax };
    const admission = new Admission({ ...admissionDefaults, fallback });
    const wanted = { honest: 0, liar: 0, other: 0 };
    const sent = { honest: 0, liar: 0, other: 0 };
    const unfair = new Set<string>();
    const held = new Array<number>(DEGRADED).fill(0);
    const ask = (who: keyof typeof wanted, frame: Parameters<Admission["decide"]>[0], t: number) => {
      wanted[who] += 1;
      const decision = admission.decide(frame, t);
      if (decision.send !== null) sent[who] += 1;
      for (const why of decision.unfair) unfair.add(`${who} ${why}`);
    };
    for (let t = 0; t < 120_000; t += 100) {
      for (let i = 0; i < DEVICES; i++) {
        const frame = { ...asking, deviceId: `cam-${i}`, score: 0.09 + random() * 0.4, remainingMs: 900 };
        if (i < DEGRADED) {
          if (t % (1_000 / perSecond) === 0) held[i] = (held[i] ?? 0) + 1;
          const isPaused = random() < 0.3;
          for (; !isPaused && (held[i] ?? 0) > 0; held[i] = (held[i] ?? 0) - 1)
            ask("honest", { ...frame, reason: "FALLBACK" }, t);
          admission.kept(frame.deviceId, t);
        } else if (i < DEGRADED + liars) ask("liar", { ...frame, reason: "FALLBACK", hasAnswer }, t);
        else if (random() < 0.28) ask("other", { ...frame, remainingMs: 1_900 }, t);
        else admission.kept(frame.deviceId, t);
      }
    }
    return { sent, wanted, unfair, sentShare: (sent.honest + sent.liar) / (DEVICES * 1_200) };
  }

  test.each([2, 4, 10])("%i liars of 40 take nothing from the honest degraded devices", (liars) => {
    for (const hasAnswer of [true, false]) {
      // Enough for an equal part of what the honest ones ask for, and less than all of them ask for together.
      const perSecond = 0.5;
      const fleetShareMax = (1.1 * perSecond * (DEGRADED + liars)) / (10 * DEVICES);
      const { sent, wanted, unfair } = besideLiars(liars, liars, { hasAnswer, fleetShareMax, perSecond });
      // Until the frame rate is known, the bucket is that of a small fleet: a newcomer may find nothing.
      const isKept = sent.honest >= wanted.honest - DEGRADED;
      expect({ liars, hasAnswer, isKept }).toEqual({ liars, hasAnswer, isKept: true });
      expect(sent.other).toBe(wanted.other);
      expect(unfair).toContain("liar fallback");
      expect(sent.liar).toBeLessThan(liars * 2.5 * 125);
    }
  });

  test("where the budget does not suffice each gets an equal part", () => {
    const liars = 8;
    const fleetShareMax = 0.02;
    const { sent, wanted, unfair, sentShare } = besideLiars(5, liars, { fleetShareMax });
    expect(sent.honest / sent.liar).toBeGreaterThan(0.9);
    expect(sent.other).toBe(wanted.other);
    expect(sentShare).toBeLessThan(fleetShareMax * (1 + 60 / 120) + 0.002); // with the burst of 60 s
    expect(unfair).toContain("honest fallback-share");
  });

  test("a device without an answer of its own gets its part there, and beyond it what the fleet's budget has left", () => {
    const settings = { ...admissionDefaults, fallback: { fleetShareMax: 0, perSecondMax: 2.5 } };
    const admission = new Admission(settings);
    const sendsOf = (hasAnswer: boolean, from: number) =>
      Array.from({ length: 40 }, (_, i) =>
        admission.decide({ ...asking, reason: "FALLBACK", hasAnswer }, from + i * 400),
      );
    expect(sendsOf(false, 0).filter(({ send }) => send === "normal").length).toBe(40);
    expect(sendsOf(true, 100_000).filter(({ send }) => send !== null)).toEqual([]);
    expect(admission.lambda()).toBe(0);
    const rich = new Admission();
    const flood = Array.from({ length: 1_000 }, (_, i) =>
      rich.decide({ ...asking, reason: "FALLBACK", hasAnswer: false }, i * 100),
    );
    expect(flood.slice(0, 4).every(({ send }) => send === "high")).toBe(true);
    expect(flood.filter(({ send }) => send !== null).length).toBeLessThanOrEqual(254); // its rate, whoever pays
  });
});

describe("arms", () => {
  const arms = [
    { name: "control", weight: 3 },
    { name: "candidate", weight: 1 },
  ];

  test("admission.ts F4: each spends its part of the budget, in proportion to the weights, whatever the other wants", () => {
    const random = seededRandom(3);
    const admission = new Admission({ ...admissionDefaults, arms });
    const sent = { control: 0, candidate: 0 };
    const frames = 20_000;
    for (let t = 0; t < frames; t++) {
      const arm = random() < 0.25 ? "candidate" : "control";
      if (arm === "control" && t > frames / 2)
        admission.kept(asking.deviceId, t * 100); // it wants nothing any more
      else if (admission.decide({ ...asking, arm, score: random() }, t * 100).send !== null) sent[arm]++;
    }
    expect(sent.candidate / frames).toBeGreaterThan(0.3 * 0.25 * 0.95);
    expect(sent.candidate / frames).toBeLessThan(0.3 * 0.25 * 1.06);
    expect(sent.control / (frames / 2)).toBeGreaterThan(0.3 * 0.75 * 0.95);
    expect(sent.control / (frames / 2)).toBeLessThan(0.3 * 0.75 * 1.1);
  });

  test("admission.ts F4: one arm's dead backend is its own", () => {
    const admission = new Admission({ ...admissionDefaults, arms });
    for (let i = 0; i < 20; i++) {
      admission.called(`call-${i}`, "candidate", i);
      admission.returned(`call-${i}`, { arm: "candidate", outcome: "FAILED" }, i + 1);
    }
    expect([admission.cloudHealthy("control"), admission.cloudHealthy("candidate")]).toEqual([true, false]);
    expect(admission.decide({ ...asking, arm: "control" }, 30).send).toBe("normal");
    expect(admission.decide({ ...asking, arm: "candidate" }, 30)).toMatchObject({
      send: null,
      settledBy: "CLOUD_UNHEALTHY",
    });
  });
});

test("the frame rate is that of the arrivals, batched or not, and a pause does not change it", () => {
  for (const batch of [1, 10, 100]) {
    const rate = new FrameRate();
    let last = { timeMs: 0, intervalMs: 0 };
    for (let t = 0; t < 300_000; t += 20 * batch) for (let i = 0; i < batch; i++) last = rate.next(t);
    expect(Math.abs(last.intervalMs - 20)).toBeLessThan(1.5);
    const paused = rate.next(2_000_000);
    expect(paused.intervalMs).toBe(last.intervalMs);
  }
});
