import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { mcNemarP } from "@tributary/statistics";
import { beyondOwnLight, type GateInput, type GateReport, judgeGate, marginDefaults, reliability } from "./index.ts";

const CLASSES = ["cat", "dog", "fox", "owl", "emu"];
const FRAMES = 2_000;

/** Two models that agree on most frames, as a retrained one does with its parent. */
function drawn(seed: number, accuracy: (label: number) => number, change: Partial<GateInput> = {}): GateInput {
  const random = seededRandom(seed);
  const labels = Array.from({ length: FRAMES }, (_, i) => i % CLASSES.length);
  const champion = labels.map(() => random() < 0.85);
  const candidate = labels.map((label, i) => (random() < 0.85 ? champion[i] === true : random() < accuracy(label)));
  const confidence = (right: readonly boolean[]) => right.map((is) => (is ? 0.87 : 0.73));
  const speed = { latenciesMs: [3, 4, 5], megabytes: 110 };
  return {
    classes: CLASSES,
    labels,
    champion: { right: champion, confidence: confidence(champion), ...speed },
    candidate: { right: candidate, confidence: confidence(candidate), ...speed },
    corruptions: [{ name: "blur", candidate, champion }],
    latencyBudgetMs: 50,
    latencySlaMs: null,
    golden: { frames: 16, failed: [] },
    ...change,
  };
}
const failed = ({ lines }: GateReport) =>
  lines.filter(({ verdict }) => verdict === "failed").map(({ kind, name }) => `${kind}: ${name}`);

describe("the validation gate", () => {
  test("passes models as good as the champion, nearly always", () => {
    let passed = 0;
    for (let seed = 1; seed <= 100; seed++) if (judgeGate(drawn(seed, () => 0.85)).passed) passed += 1;
    expect(passed).toBeGreaterThanOrEqual(90);
  });

  test("fails a worse one, and names the class that is lost", () => {
    for (let seed = 1; seed <= 20; seed++) {
      expect(failed(judgeGate(drawn(seed, () => 0.4)))).toContain("accuracy: all frames");
      const one = judgeGate(drawn(seed, (label) => (label === 2 ? 0 : 0.9)));
      expect(failed(one)).toContain("class: fox");
      expect(failed(one)).not.toContain("class: owl");
    }
  });

  test("a loss that chance explains is unsure, and does not fail", () => {
    const right = Array.from({ length: 40 }, () => true);
    const report = judgeGate({
      ...drawn(1, () => 0.85),
      labels: right.map(() => 0),
      champion: { right, confidence: right.map(() => 0.97), latenciesMs: [1], megabytes: null },
      candidate: {
        right: right.map((_, i) => i > 1),
        confidence: right.map(() => 0.95),
        latenciesMs: [1],
        megabytes: null,
      },
      corruptions: [],
    });
    expect(report.lines.find(({ kind }) => kind === "accuracy")).toMatchObject({
      verdict: "unsure",
      bound: marginDefaults.accuracy,
    });
    expect(report.passed).toBe(true);
  });

  test("gate.ts V7: of a candidate judged by slices, a loss that chance explains is noted, what it hardly does waits, what is proven fails", () => {
    const input = drawn(1, () => 0.85);
    const changing = (lost: number, won: number) => {
      const champion = Array.from({ length: 100 }, (_, i) => i >= won);
      const candidate = champion.map((_, i) => i < 100 - lost);
      const corruptions = [{ name: "glare", champion, candidate }];
      const of = (slices?: GateInput["slices"]) =>
        judgeGate({ ...input, corruptions, ...(slices && { slices }) }).lines.find(({ name }) => name === "glare");
      return [of(), of({ old: [], drifted: [] })];
    };
    const noted = { verdict: "passed", found: expect.stringContaining("for people to note") };
    expect(changing(9, 6)).toMatchObject([{ verdict: "unsure" }, noted]);
    expect(changing(3, 0)).toMatchObject([{ verdict: "unsure" }, { verdict: "unsure" }]);
    expect(changing(20, 0)).toMatchObject([{ verdict: "failed" }, { verdict: "failed" }]);
  });

  test("a class too rare to fail is reported so, and one without frames has its line; neither fails the gate", () => {
    const common = drawn(1, () => 0.85, { labels: Array.from({ length: FRAMES }, (_, i) => i % 3) });
    const withOwls = (owls: number, isRight: boolean) => {
      const and = (right: readonly boolean[], is: boolean) => [...right, ...Array.from({ length: owls }, () => is)];
      const judged = (model: GateInput["champion"], is: boolean) => {
        const right = and(model.right, is);
        return { ...model, right, confidence: right.map((one) => (one ? 0.87 : 0.73)) };
      };
      const report = judgeGate({
        ...common,
        labels: [...common.labels, ...Array.from({ length: owls }, () => 3)],
        candidate: judged(common.candidate, isRight),
        champion: judged(common.champion, true),
      });
      const found = (name: string) => report.lines.find((line) => line.name === name);
      return { passed: report.passed, owl: found("owl"), emu: found("emu"), cat: found("cat") };
    };
    // Four classes have frames, so the first to fail must be as unlikely as 0.05 / 4: all of 7 lost are, all of 6 are not.
    const none = { verdict: "unsure", candidate: null, champion: null, found: "no frames" };
    const lost = {
      verdict: "unsure",
      found: expect.stringMatching(/lost 6, p 0\.016; too few frames to fail: 6, needs 7$/),
    };
    expect(withOwls(6, false)).toMatchObject({ passed: true, owl: lost, emu: none });
    const kept = { verdict: "passed", found: expect.stringMatching(/too few frames to fail: 6, needs 7$/) };
    expect(withOwls(6, true)).toMatchObject({ passed: true, owl: kept, emu: none });
    const enough = { verdict: "failed", found: expect.not.stringContaining("too few") };
    expect(withOwls(7, false)).toMatchObject({ passed: false, owl: enough, cat: { found: enough.found } });
    expect(withOwls(0, true)).toMatchObject({ passed: true, owl: none, emu: none });
  });

  test("one that does not reproduce its golden frames fails by that line alone", () => {
    const unfaithful = drawn(3, () => 0.9, { golden: { frames: 16, failed: ["frame-03: class 1, expected 2"] } });
    expect(failed(judgeGate(unfaithful))).toEqual(["golden: golden frames reproduced"]);
  });

  test("gate.ts V5: a candidate 100 times slower fails, whatever budget it declares", () => {
    const speed = (ms: number) => Array.from({ length: 270 }, (_, i) => ms * (1 + (i % 7) / 10));
    const judged = (ms: number, change: Partial<GateInput>, slow = 0) => {
      const input = drawn(3, () => 0.9, { latencyBudgetMs: 600, ...change });
      const own = speed(ms).map((one, i) => (i < slow ? 100 : one));
      const { candidate, champion } = input;
      const models = {
        candidate: { ...candidate, latenciesMs: own },
        champion: { ...champion, latenciesMs: speed(3) },
      };
      return judgeGate({ ...input, ...models }).lines.find(({ kind }) => kind === "latency");
    };
    expect(judged(300, {})).toMatchObject({
      verdict: "failed",
      found: expect.stringContaining("1.5 times the champion's"),
    });
    expect(judged(3.5, {})).toMatchObject({ verdict: "passed" });
    expect(judged(3, {}, 4)).toMatchObject({ verdict: "unsure" }); // Chance may make four of 270.
    expect(judged(300, { latencySlaMs: 500 })).toMatchObject({ verdict: "passed", bound: 500 });
    expect(judged(300, { latencySlaMs: 20 })).toMatchObject({ verdict: "failed", bound: 20 });
    expect(judged(300, { latencySlaMs: 500, latencyBudgetMs: 200 })).toMatchObject({ verdict: "failed", bound: 200 });
    // The champion takes 3 to 4.8 ms.
    const busy = { verdict: "unsure", found: expect.stringContaining("the champion is beyond it as well") };
    expect(judged(3.1, { latencySlaMs: 2 })).toMatchObject({ ...busy, bound: 2 });
    expect(judged(3.1, { latencyBudgetMs: 2 })).toMatchObject({ ...busy, bound: 2 });
    expect(judged(300, { latencySlaMs: 2 })).toMatchObject({ verdict: "failed", bound: 2 });
    expect(judged(300, { latencyBudgetMs: 2 })).toMatchObject({ verdict: "failed", bound: 2 });
  });

  test("gate.ts V6: damage that breaks the champion as well is unsure; the same loss fails where the champion stands it", () => {
    const damaged = (champion: number) => {
      const right = (share: number) => Array.from({ length: 500 }, (_, i) => i < share * 500);
      const corruptions = [{ name: "glare", candidate: right(champion - 0.1), champion: right(champion) }];
      const report = judgeGate(drawn(4, () => 0.9, { corruptions }));
      return report.lines.find(({ kind }) => kind === "robustness");
    };
    expect(damaged(0.8)).toMatchObject({ verdict: "failed" });
    const both = {
      verdict: "unsure",
      found: expect.stringMatching(/the champion, right on 8\d\.\d\d % .* breaks as well$/),
    };
    expect(damaged(0.5)).toMatchObject(both); // 20 % always are one class: half of what is above that is 53 %
    const broken = Array.from({ length: 500 }, () => false);
    const better = [{ name: "glare", candidate: broken.map((_, i) => i < 100), champion: broken }];
    expect(judgeGate(drawn(4, () => 0.9, { corruptions: better }))).toMatchObject({ passed: true });
  });

  test("robustness.ts R1: light that the frames never have is named, light that some of them have is not", () => {
    const random = seededRandom(5);
    const lights = (luminance: number, spread: number) =>
      Array.from({ length: 200 }, () => ({
        luminance: luminance + spread * (random() - 0.5),
        contrast: 0.1 + 0.1 * random(),
      }));
    const [outdoors, scanner] = [lights(0.5, 0.8), lights(0.35, 0.06)];
    const darker = (all: ReturnType<typeof lights>) => all.map((one) => ({ ...one, luminance: 0.4 * one.luminance }));
    expect(beyondOwnLight(outdoors, darker(outdoors))).toBeNull();
    expect(beyondOwnLight(scanner, darker(scanner))).toMatch(
      /^only 0 % of the damaged frames .*luminance 1\d % to 1\d %, that of the frames 3\d % to 3\d %; contrast/,
    );
    const flat = outdoors.map((one) => ({ ...one, contrast: 0.3 * one.contrast }));
    expect(beyondOwnLight(outdoors, flat)).toMatch(/contrast 3 % to 6 %, that of the frames 10 % to 20 %/);
    expect(beyondOwnLight([], [])).toBeNull();
  });

  test("McNemar's exact test", () => {
    expect(mcNemarP(0, 5)).toBe(1);
    expect(mcNemarP(5, 0)).toBeCloseTo(1 / 32, 12);
    expect(mcNemarP(8, 2)).toBeCloseTo(56 / 1024, 12);
    expect(mcNemarP(332, 40) / 1.0904119813516253e-58).toBeCloseTo(1, 9); // by exact integers
  });

  test("reliability puts every frame into one bin", () => {
    const { champion } = drawn(1, () => 0.85);
    const bins = reliability(champion);
    expect(bins.reduce((sum, { frames }) => sum + frames, 0)).toBe(FRAMES);
    for (const { lower, accuracy, upper } of bins) expect(lower <= accuracy && accuracy <= upper).toBe(true);
  });
});
