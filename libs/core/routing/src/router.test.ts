import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { admissionBudgetDefaults, admissionBudgetInit, decideInRouter } from "./index.ts";
import { lambdaAfter, lambdaNext } from "./lambda.ts";
import { LatencySketch } from "./latency.ts";
import { type AdmissionBudget, admissionBudgetKept, type RouterFrame } from "./router.ts";

const settings = admissionBudgetDefaults;
const frame = (changes: Partial<RouterFrame> = {}): RouterFrame => ({
  reason: "AMBIGUOUS",
  score: 0.3,
  sampleDrawn: false,
  remainingMs: 1_500,
  targetHealthy: true,
  reach: { probability: 1, probabilityUpper: 1, n: 100 },
  budget: admissionBudgetInit(settings),
  settings,
  nowMs: 0,
  ...changes,
});
const late = { probability: 0.4, probabilityUpper: 0.5, n: 100 };

describe("one frame", () => {
  test.each<[string, Partial<RouterFrame>, "high" | "normal" | null, string | null]>([
    ["is sent", {}, "normal", null],
    ["PRIORITY takes the high lane", { reason: "PRIORITY" }, "high", null],
    ["R1: an unhealthy target gets nothing", { targetHealthy: false, sampleDrawn: true }, null, "CLOUD_UNHEALTHY"],
    ["R2: past its deadline it stays", { remainingMs: 0 }, null, "DEADLINE"],
    ["R2: what cannot come in time is not sent", { reach: late }, null, "DEADLINE_UNREACHABLE"],
    ["R3: a price above its worth keeps it", { budget: priced(0.5) }, null, "FLEET_BUDGET"],
    ["R3: PRIORITY is not priced", { budget: priced(0.5), reason: "PRIORITY", score: -0.2 }, "high", null],
    ["R3: an empty bucket keeps even PRIORITY", { budget: empty(), reason: "PRIORITY" }, null, "FLEET_BUDGET"],
    ["R4: a drawn frame bypasses price and bucket", { budget: empty(), sampleDrawn: true }, "normal", null],
    ["R4: ... and deadline, settled at once", { remainingMs: -1, sampleDrawn: true }, "normal", "DEADLINE"],
    ["R4: ... and a slow cloud", { reach: late, sampleDrawn: true }, "normal", null],
  ])("%s", (_, changes, send, settledBy) => {
    expect(decideInRouter(frame(changes))).toMatchObject({ send, settledBy });
  });

  test("a frame is never neither sent nor settled, over seeds", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 2_000; i++) {
      const decision = decideInRouter(
        frame({
          reason: (["AMBIGUOUS", "PRIORITY", "SAMPLE", "FALLBACK"] as const)[Math.floor(random() * 4)] ?? "SAMPLE",
          score: random() - 0.3,
          sampleDrawn: random() < 0.2,
          remainingMs: random() * 3_000 - 500,
          targetHealthy: random() < 0.9,
          reach: { probability: random(), probabilityUpper: random(), n: 10 },
          budget: random() < 0.5 ? empty() : priced(random() * 0.3),
        }),
      );
      expect(decision.send !== null || decision.settledBy !== null).toBe(true);
    }
  });
});

describe("the fleet's budget", () => {
  test("under overload it holds within 2 % in an hour, and lets the worthier frames through", () => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed);
      let budget: AdmissionBudget = admissionBudgetInit(settings);
      let sent = 0;
      let scoreSum = 0;
      const frames = 36_000;
      for (let i = 0; i < frames; i++) {
        const score = random() * 0.6;
        if (random() < 0.3) {
          budget = admissionBudgetKept(budget, i * 100, settings);
          continue;
        }
        const decision = decideInRouter(frame({ score, budget, nowMs: i * 100 }));
        budget = decision.budget;
        if (decision.send === null) continue;
        sent++;
        scoreSum += score;
      }
      expect(sent / frames / settings.share - 1).toBeLessThanOrEqual(0.02);
      expect(sent / frames / settings.share).toBeGreaterThan(0.95);
      expect(scoreSum / sent).toBeGreaterThan(0.4); // at random it would be 0.3
    }
  });

  test("lambda never falls below 0, and a batch of steps upward equals the steps one by one", () => {
    expect(lambdaNext(0, 0, 0.3, 0.1)).toBe(0);
    let stepped = 0.5;
    for (const sent of [1, 0, 0, 1, 1] as const) stepped = lambdaNext(stepped, sent, 0.3, 0.01);
    expect(lambdaAfter(0.5, 5, 3, 0.3, 0.01)).toBeCloseTo(stepped, 12);
  });
});

describe("the latency sketch", () => {
  const sketchOf = (latencies: readonly number[], atMs = 0) => {
    const sketch = new LatencySketch({ halfLifeMs: 10_000 });
    for (const latency of latencies) sketch.record(latency, atMs);
    return sketch;
  };

  test("estimates P(latency <= t) to a bin's width, erring towards lateness", () => {
    const random = seededRandom(9);
    const latencies = Array.from({ length: 5_000 }, () => 40 * Math.exp(random() * 3));
    const sketch = sketchOf(latencies);
    for (const t of [60, 120, 300, 700]) {
      const truth = latencies.filter((latency) => latency <= t).length / latencies.length;
      const { probability, probabilityUpper } = sketch.within(t, 0);
      expect(probability).toBeLessThanOrEqual(truth);
      expect(probability).toBeGreaterThan(truth - 0.03);
      expect(probabilityUpper).toBeGreaterThanOrEqual(probability);
    }
    expect(sketch.quantile(0.5, 0)).toBeGreaterThan(150);
    expect(sketch.quantile(0.5, 0)).toBeLessThan(200);
  });

  test("latency.ts L1: merging equals having seen both; latency.ts L2: no data and forgotten data refuse nothing; latency.ts L3: lost calls are late", () => {
    const [a, b] = [sketchOf([10, 20, 3_000]), sketchOf([500, Number.POSITIVE_INFINITY])];
    const both = sketchOf([10, 20, 3_000, 500, Number.POSITIVE_INFINITY]);
    a.merge(b, 0);
    expect(a.state(0)).toEqual(both.state(0));
    expect(sketchOf([]).within(5, 0)).toEqual({ probability: 1, probabilityUpper: 1, n: 0 });
    const lost = sketchOf(new Array(50).fill(Number.POSITIVE_INFINITY));
    expect(lost.within(1e9, 0).probabilityUpper).toBeLessThan(0.1); // latency.ts L3
    expect(lost.within(2_000, 70_000).probabilityUpper).toBe(1); // latency.ts L2
    const restored = new LatencySketch({ halfLifeMs: 10_000, state: both.state(0) });
    expect(restored.within(600, 0)).toEqual(both.within(600, 0));
  });

  test("one late answer among few does not shut the cloud off, many do", () => {
    const few = sketchOf([...new Array(19).fill(50), 4_000]);
    expect(few.within(2_000, 0).probabilityUpper).toBeGreaterThan(0.99);
    const many = sketchOf([...new Array(180).fill(50), ...new Array(20).fill(4_000)]);
    expect(many.within(2_000, 0).probabilityUpper).toBeLessThan(0.99);
  });
});

function priced(lambda: number): AdmissionBudget {
  return { ...admissionBudgetInit(settings), lambda };
}

function empty(): AdmissionBudget {
  const budget = admissionBudgetInit(settings);
  return { ...budget, bucket: { ...budget.bucket, tokens: 0 } };
}
