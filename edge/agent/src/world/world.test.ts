/** A table that cannot be used changes no answer, and its reason is shown; one on trial that makes truths less likely fails. */
import { describe, expect, test } from "@jest/globals";
import type { WorldPackage } from "@tributary/model-store";
import type { WorldTable } from "@tributary/world";
import type { ContextState } from "./context.ts";
import { World } from "./world.ts";
import { mustHaveLabels } from "./world-trial.ts";

const labels = ["car", "ship"];
const logits = new Float32Array([0.2, 0]);
const table: WorldTable = {
  formatVersion: 1,
  labels,
  factors: [
    { name: "place", kind: "text" },
    { name: "hour", kind: "number", min: 0, max: 24, edges: [12] },
  ],
  prior: [0.5, 0.5],
  strength: 20,
  cells: { "": [50, 50], sea: [1, 400] },
};
const packageOf = (digest: string, of: WorldTable = table): WorldPackage => ({
  ...{ digest: digest.repeat(64), dir: "", table: of },
  manifest: { name: "roads", version: digest } as WorldPackage["manifest"],
});
const known = (context: object): ContextState => ({ context: { ...context }, text: JSON.stringify(context) });

function device(committed = packageOf("a")) {
  const failing: string[] = [];
  const unusable: (string | null)[] = [];
  let context: ContextState = known({ place: "sea" });
  let isWithheld = false;
  const world = new World(committed, {
    context: () => context,
    isWithheld: () => isWithheld,
    onTruth: () => undefined,
    onFailing: ({ code }) => void failing.push(code),
    onUnusable: (one) => void unusable.push(one?.code ?? null),
  });
  const at = (next: ContextState) => {
    context = next;
  };
  const withhold = (withheld: boolean) => {
    isWithheld = withheld;
  };
  return { world, failing, unusable, at, withhold };
}

describe("a world model", () => {
  test("changes an answer by its context, and is named", () => {
    const { world } = device();
    const { logits: mixed, worldDigest } = world.inContext(logits, 1, labels);
    expect(worldDigest).toBe("a".repeat(64));
    expect(mixed[1]).toBeGreaterThan(mixed[0] as number);
  });

  test("without a usable context, perception goes on plain; the reason is given once, and its end", () => {
    const { world, unusable, at } = device();
    const old: ContextState = { context: null, code: "context-old", reason: "it is old" };
    const unusables = [old, known({ place: "sea", hour: 25 }), known({ place: "sea", hour: 25 }), known({ place: 7 })];
    for (const state of unusables) {
      at(state);
      expect(world.inContext(logits, 1, labels)).toMatchObject({ logits, worldDigest: null });
    }
    expect(world.unusable).toMatchObject({ code: "context-invalid", reason: expect.stringContaining("place: ") });
    at(known({ place: "sea", hour: 3 }));
    expect(world.inContext(logits, 1, labels).worldDigest).not.toBeNull();
    expect(unusable).toEqual(["context-invalid", "context-invalid", null]);
    expect(world.unusable).toBeNull();
  });

  test("of other classes than the model it is not used, which is shown; as a candidate it is refused", () => {
    const { world } = device();
    expect(world.inContext(logits, 1, ["ship", "car"])).toMatchObject({ logits, worldDigest: null });
    expect(world.unusable?.code).toBe("world-labels-differ");
    expect(() => mustHaveLabels(packageOf("b"), ["car", "boat"])).toThrow("the model has 2: car, boat");
    expect(() => mustHaveLabels(packageOf("b"), labels)).not.toThrow();
  });

  test("on trial it fails where that is no chance; a committed one only loses its weight", () => {
    const { world, failing } = device();
    const answered = (label: string, frames: number) => {
      for (let i = 0; i < frames; i++) {
        world.inContext(logits, 1, labels).remember(`${i}`);
        world.truth(`${i}`, label);
      }
    };
    answered("car", 10);
    expect([failing, world.weight < 0.01]).toEqual([[], true]);
    world.switchTo(packageOf("b"));
    expect(world.weight).toBe(0.5);
    answered("car", 6);
    expect(failing).toEqual([]);
    answered("car", 4);
    expect(failing[0]).toBe("world-worse");
    world.restore();
    expect([world.active.digest, world.truths]).toEqual(["a".repeat(64), 0]);
  });

  test("right for 800 truths and wrong from then on, it has lost its weight before one more comes", () => {
    const { world } = device();
    const ship = new Float32Array([-2, 2]);
    for (let i = 0; i < 40_000; i++) {
      const { remember } = world.inContext(ship, 1, labels);
      if (i % 50 !== 0) continue;
      remember(`${i}`);
      world.truth(`${i}`, "ship");
    }
    expect([world.truths, world.weight > 0.8]).toEqual([800, true]);
    // A car that perception sees well, and more so than the table contradicts it.
    const car = new Float32Array([3, -3]);
    const { logits: first } = world.inContext(car, 1, labels);
    expect(first[0]).toBeGreaterThan(first[1] as number);
    for (let i = 0; i < 49; i++) world.inContext(car, 1, labels);
    expect(world.weight).toBeLessThan(0.05);
  });

  test("while what answered before the agent's start is lost, perception answers alone, which is shown", () => {
    const { world, unusable, withhold } = device();
    withhold(true);
    expect(world.inContext(logits, 1, labels)).toMatchObject({ logits, worldDigest: null });
    expect(world.unusable?.code).toBe("world-interrupted");
    withhold(false);
    expect(world.inContext(logits, 1, labels).worldDigest).toBe("a".repeat(64));
    expect(unusable).toEqual(["world-interrupted", null]);
  });

  test("a truth of a frame that another table answered does not count", () => {
    const { world } = device();
    world.inContext(logits, 1, labels).remember("before");
    world.switchTo(packageOf("b"));
    world.truth("before", "car");
    world.truth("never", "car");
    expect(world.truths).toBe(0);
  });
});
