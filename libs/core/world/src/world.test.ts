/** The world model's promises, on simulated roads. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type Context,
  classesIn,
  evidenceOf,
  type Factor,
  fused,
  type Guard,
  guardStart,
  isWorse,
  learned,
  mixed,
  normalised,
  parseWorldTable,
  seen,
  trainWorld,
  type WorldFrame,
  type WorldTable,
  weightAt,
  weightRule,
} from "./index.ts";

const labels = ["car", "truck", "person", "dog"];
const prior = [0.25, 0.25, 0.25, 0.25];
const factors: readonly Factor[] = [
  { name: "place", kind: "text" },
  { name: "hour", kind: "number", min: 0, max: 24, edges: [6, 18] },
];
const recipe = { labels, factors, prior, strength: 20 };

/** Each place has its mix of classes, and each time of day another. */
function road(seed: number) {
  const random = seededRandom(seed);
  const mixes = new Map<string, readonly number[]>();
  const mixOf = (place: string, hour: number): readonly number[] => {
    const key = `${place}/${hour < 6 ? 0 : hour < 18 ? 1 : 2}`;
    const known = mixes.get(key);
    if (known !== undefined) return known;
    const raw = labels.map(() => Math.log(1 - random()) ** 2);
    const total = raw.reduce((sum, value) => sum + value, 0);
    const made = raw.map((value) => value / total);
    mixes.set(key, made);
    return made;
  };
  return (): WorldFrame & { readonly context: Context; readonly truth: number } => {
    const context = { place: `cell-${Math.floor(12 * random())}`, hour: 24 * random() };
    const truth = drawn(mixOf(context.place, context.hour), random);
    return { context, label: labels[truth] as string, truth };
  };
}

const drawn = (mix: readonly number[], random: Random): number => {
  let left = random();
  const index = mix.findIndex((share) => {
    left -= share;
    return left < 0;
  });
  return index < 0 ? mix.length - 1 : index;
};

/** A model that sees the class with noise, trained on as many of each. */
function seenBy(truth: number, random: Random): Float64Array {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return normalised(Float64Array.from(labels, (_, i) => Math.exp((i === truth ? 1.4 : 0) + normal())));
}

const argmax = (shares: Float64Array): number => shares.indexOf(Math.max(...shares));

type Frame = { readonly plain: Float64Array; readonly table: WorldTable; readonly context: Context };

/** One device's answer to a frame, and what it learns of it. */
function answered(guard: Guard, { plain, table, context }: Frame) {
  const inContext = classesIn(table, context);
  const withContext = fused(plain, prior, inContext);
  const evidence = evidenceOf(plain, prior, inContext);
  return { together: mixed(weightAt(guard, evidence), plain, withContext), withContext, after: seen(guard, evidence) };
}

/** Right answers of the mixture and of perception alone, all of them with a truth. */
function driven(seed: number, contextOf: (context: Context, random: Random) => Context, frames = 4_000) {
  const next = road(seed);
  const { table } = trainWorld(recipe, Array.from({ length: 6_000 }, next));
  const random = seededRandom(seed + 1_000);
  let guard = guardStart;
  const right = { plain: 0, mixed: 0 };
  for (let i = 0; i < frames; i++) {
    const { context, truth } = next();
    const plain = seenBy(truth, random);
    const { together, withContext, after } = answered(guard, { plain, table, context: contextOf(context, random) });
    right.plain += argmax(plain) === truth ? 1 : 0;
    right.mixed += argmax(together) === truth ? 1 : 0;
    guard = learned(after, plain, withContext, truth);
  }
  return { guard, gain: (100 * (right.mixed - right.plain)) / frames };
}

describe("the world model", () => {
  test("gains points where the mix of classes depends on the context", () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { gain, guard } = driven(seed, (context) => context);
      expect([seed, gain > 2, guard.weight > 0.5]).toEqual([seed, true, true]);
    }
  });

  test("of wrong contexts costs next to no points", () => {
    const gains: number[] = [];
    for (let seed = 1; seed <= 4; seed++) {
      const shuffled = (_: Context, random: Random) => ({
        place: `cell-${Math.floor(12 * random())}`,
        hour: 24 * random(),
      });
      gains.push(driven(seed, shuffled).gain);
    }
    expect(Math.min(...gains)).toBeGreaterThan(-0.2);
  });

  test("right for 800 truths, and wrong from then on, it loses its weight in the time of five truths", () => {
    const framesUntilLost: number[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const next = road(seed);
      const { table } = trainWorld(recipe, Array.from({ length: 6_000 }, next));
      const other = road(seed + 500);
      const random = seededRandom(seed + 1_000);
      let guard = guardStart;
      const frame = (of: WorldFrame & { readonly context: Context; readonly truth: number }, hasTruth: boolean) => {
        const plain = seenBy(of.truth, random);
        const { withContext, after } = answered(guard, { plain, table, context: of.context });
        guard = hasTruth ? learned(after, plain, withContext, of.truth) : after;
      };
      for (let i = 1; i <= 40_000; i++) frame(next(), i % 50 === 0);
      let frames = 0;
      for (; guard.weight >= 0.05 && frames < 20_000; frames++) frame(other(), frames % 50 === 49);
      framesUntilLost.push(frames);
    }
    // A mixture of all truths so far needed 220 of them.
    expect(Math.max(...framesUntilLost)).toBeLessThan(5 * 50);
  });

  test("the evidence of a frame and of its truth are together that of the class, so that nothing counts twice", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const any = () => normalised(Float64Array.from(labels, () => 0.05 + random()));
      const [plain, inContext, truth] = [any(), any(), Math.floor(4 * random())];
      const withContext = fused(plain, prior, inContext);
      const ofTruth = Math.log((withContext[truth] ?? 0) / (plain[truth] ?? 0));
      const ofClass = Math.log((inContext[truth] ?? 0) / (prior[truth] ?? 0));
      expect(evidenceOf(plain, prior, inContext) + ofTruth).toBeCloseTo(ofClass, 3);
    }
  });

  test("whatever comes, the weight stays where a few frames can move it", () => {
    const weights: number[] = [];
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      let guard = guardStart;
      for (let i = 0; i < 200; i++) {
        const any = () => normalised(Float64Array.from(labels, () => random() ** 40));
        const [plain, inContext] = [any(), any()];
        guard = seen(guard, evidenceOf(plain, prior, inContext));
        if (random() < 0.3) guard = learned(guard, plain, fused(plain, prior, inContext), Math.floor(4 * random()));
        weights.push(guard.weight);
      }
    }
    expect(Math.min(...weights)).toBeGreaterThanOrEqual(weightRule.toTable);
    expect(Math.max(...weights)).toBeLessThanOrEqual(1 - weightRule.toPlain);
  });

  test("a wrong table is found within 50 truths, and a right one is not taken for it", () => {
    const found = { right: 0, wrong: 0 };
    for (let seed = 1; seed <= 100; seed++) {
      const next = road(seed);
      const right = trainWorld(recipe, Array.from({ length: 500 }, next)).table;
      const rotated = (counts: readonly number[]) => counts.map((_, i) => counts[(i + 1) % counts.length] as number);
      const cells = Object.fromEntries(Object.entries(right.cells).map(([path, counts]) => [path, rotated(counts)]));
      const random = seededRandom(seed + 1_000);
      const guards = { right: guardStart, wrong: guardStart };
      const worse = new Set<"right" | "wrong">();
      for (let i = 0; i < 50; i++) {
        const { context, truth } = next();
        const plain = seenBy(truth, random);
        for (const [name, table] of [["right", right] as const, ["wrong", { ...right, cells }] as const]) {
          guards[name] = learned(guards[name], plain, fused(plain, prior, classesIn(table, context)), truth);
          if (isWorse(guards[name])) worse.add(name);
        }
      }
      for (const name of worse) found[name] += 1;
    }
    expect(found.right).toBe(0);
    expect(found.wrong).toBeGreaterThan(70);
  });

  test("says of a place that was never seen what it says of all, and of a rare one nearly that", () => {
    const next = road(3);
    const frames = Array.from({ length: 3_000 }, next);
    const { table } = trainWorld(recipe, [
      ...frames,
      ...Array.from({ length: 4 }, () => ({ context: { place: "rare", hour: 12 }, label: "dog" })),
    ]);
    const [all, unseen, rare] = [{}, { place: "nowhere" }, { place: "rare" }].map((context) => [
      ...classesIn(table, context),
    ]);
    expect(unseen).toEqual(all);
    const dog = labels.indexOf("dog");
    expect(rare?.[dog]).toBeGreaterThan(all?.[dog] ?? 1);
    expect(rare?.[dog]).toBeLessThan(0.5);
  });
});

describe("what cannot be used is refused by name", () => {
  const { table } = trainWorld(recipe, Array.from({ length: 100 }, road(1)));
  test.each([
    [{ place: "cell-1", hour: 25 }, "hour: expected a number from 0 to 24, got 25"],
    [{ place: "cell-1", hour: "noon" }, "hour: expected a number"],
    [{ place: "../etc", hour: 3 }, "place: expected letters"],
    [{ place: 7 }, "place: expected letters"],
  ])("context %j", (context, message) => {
    expect(() => classesIn(table, context)).toThrow(message);
  });

  test.each([
    [{ labels: ["a"] }, "labels: expected 2 to"],
    [{ prior: [0.5, 0.5, 0.5, 0.5] }, "prior: expected 4 shares"],
    [{ strength: 0 }, "strength"],
    [{ factors: [{ name: "at", kind: "text" }] }, "factors[0].name"],
    [
      { factors: [{ name: "hour", kind: "number", min: 0, max: 24, edges: [9, 6] }] },
      "factors[0].edges: expected ascending",
    ],
    [{ cells: { "": [1, 2] } }, 'cells[""]: expected 4 numbers'],
    [{ surprise: 1 }, "unknown surprise"],
  ])("table %j", (change, message) => {
    const json = JSON.parse(JSON.stringify({ ...table, ...change }));
    expect(() => parseWorldTable(json)).toThrow(message);
  });

  test("a table is read back as it was written, and __proto__ is no cell", () => {
    expect(parseWorldTable(JSON.parse(JSON.stringify(table)))).toEqual(table);
    expect([...classesIn(parseWorldTable(JSON.parse(JSON.stringify(table))), { place: "__proto__" })]).toEqual([
      ...classesIn(table, {}),
    ]);
  });

  test("frames of unknown classes and contexts are counted", () => {
    const frames = [
      { context: { hour: 99, place: "a" }, label: "car" },
      { context: {}, label: "unicorn" },
      { context: {}, label: "car" },
    ];
    expect(trainWorld(recipe, frames)).toMatchObject({
      frames: 1,
      leftOut: { "context-invalid": 1, "class-unknown": 1 },
    });
    expect(() => trainWorld(recipe, frames.slice(0, 2))).toThrow("no frame has a known class");
  });
});

describe("training, of devices that are authenticated and hostile (train.ts R1)", () => {
  const recipe = {
    labels: ["cat", "dog"],
    factors: [{ name: "place", kind: "text" }],
    prior: [0.5, 0.5],
    strength: 20,
  } as const;
  const honest = Array.from({ length: 40 * 50 }, (_, i) => ({
    context: { place: "yard" },
    label: i % 10 === 0 ? "dog" : "cat",
    weight: 50,
    deviceId: `cam-${i % 40}`,
  }));
  const catsIn = (frames: Parameters<typeof trainWorld>[1]) => {
    const { table } = trainWorld(recipe, frames);
    return classesIn(table, { place: "yard" })[0];
  };

  test("no device decides, however rarely it says that its frames were drawn, and however many it sends", () => {
    const forged = Array.from({ length: 5_000 }, () => ({
      ...honest[0],
      context: { place: "yard" },
      label: "dog",
      weight: 1e9,
      deviceId: "bad",
    }));
    expect(catsIn(honest)).toBeCloseTo(0.9, 2);
    expect(catsIn([...honest, ...forged])).toBeCloseTo(0.9 * 0.95, 2);
  });

  test("no device makes the table too large, however many places it names (R2)", () => {
    const places = Array.from({ length: 30_000 }, (_, i) => ({
      context: { place: `nowhere-${i}` },
      label: "dog",
      weight: 1e9,
      deviceId: "bad",
    }));
    const { table, cellsLeftOut } = trainWorld(recipe, [...places, ...honest]);
    expect([Object.keys(table.cells).length, cellsLeftOut]).toEqual([10_002, 20_000]); // With "" and the yard.
    expect(classesIn(table, { place: "yard" })[0]).toBeCloseTo(0.9, 2);
  });

  test("what is no context is left out, and counted", () => {
    const { frames, leftOut } = trainWorld(recipe, [...honest, { context: null, label: "cat" }]);
    expect([frames, leftOut]).toEqual([honest.length, { "context-malformed": 1 }]);
  });
});
