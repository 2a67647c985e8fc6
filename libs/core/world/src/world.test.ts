/** The world model's promises, on simulated roads. */
import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  type Context,
  classesIn,
  type Factor,
  fused,
  guardStart,
  isWorse,
  learned,
  mixed,
  normalised,
  parseWorldTable,
  trainWorld,
  type WorldFrame,
  weightOf,
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

/** Cumulative log losses and right answers of the mixture and of both of its parts. */
function driven(seed: number, contextOf: (context: Context, random: Random) => Context, frames = 4_000) {
  const next = road(seed);
  const { table } = trainWorld(recipe, Array.from({ length: 6_000 }, next));
  const random = seededRandom(seed + 1_000);
  let guard = guardStart;
  let loss = 0;
  const right = { plain: 0, mixed: 0 };
  for (let i = 0; i < frames; i++) {
    const { context, truth } = next();
    const plain = seenBy(truth, random);
    const withContext = fused(plain, prior, classesIn(table, contextOf(context, random)));
    const together = mixed(guard, plain, withContext);
    loss -= Math.log(together[truth] ?? 0);
    right.plain += argmax(plain) === truth ? 1 : 0;
    right.mixed += argmax(together) === truth ? 1 : 0;
    guard = learned(guard, plain, withContext, truth);
  }
  return { loss, guard, gain: (100 * (right.mixed - right.plain)) / frames };
}

describe("the world model", () => {
  test("gains points where the mix of classes depends on the context", () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { gain, guard } = driven(seed, (context) => context);
      expect([seed, gain > 2, weightOf(guard) > 0.99]).toEqual([seed, true, true]);
    }
  });

  test("of wrong contexts costs at most ln 2 nats in all, and next to no points", () => {
    const gains: number[] = [];
    for (let seed = 1; seed <= 4; seed++) {
      const shuffled = (_: Context, random: Random) => ({
        place: `cell-${Math.floor(12 * random())}`,
        hour: 24 * random(),
      });
      const { loss, guard, gain } = driven(seed, shuffled);
      expect(loss).toBeLessThanOrEqual(Math.min(guard.plain, guard.fused) + Math.log(2) + 1e-6);
      gains.push(gain);
    }
    expect(Math.min(...gains)).toBeGreaterThan(-0.2);
  });

  test("whatever is true, the mixture loses at most ln 2 more than the better of both", () => {
    const dearest = { seed: 0, nats: -Infinity };
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      let [guard, loss] = [guardStart, 0];
      for (let i = 0; i < 200; i++) {
        const any = () => normalised(Float64Array.from(labels, () => random() ** 4));
        const [plain, withContext, truth] = [any(), any(), Math.floor(4 * random())];
        loss -= Math.log(mixed(guard, plain, withContext)[truth] ?? 0);
        guard = learned(guard, plain, withContext, truth);
        const nats = loss - Math.min(guard.plain, guard.fused);
        if (nats > dearest.nats) Object.assign(dearest, { seed, nats });
      }
    }
    expect({ ...dearest, isBound: dearest.nats <= Math.log(2) + 1e-9 }).toMatchObject({ isBound: true });
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
