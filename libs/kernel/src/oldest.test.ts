import { expect, test } from "@jest/globals";
import { Oldest } from "./oldest.ts";
import { seededRandom } from "./random.ts";

test("forgets what keys().next() would, whatever is inserted, moved, deleted and cleared meanwhile", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = seededRandom(seed);
    const max = 1 + Math.floor(random() * 40);
    const [map, plain] = [new Map<number, number>(), new Map<number, number>()];
    const set = new Set<number>();
    const [oldest, ofSet] = [new Oldest(map), new Oldest(set)];
    let wrong = 0;
    const hover = random() < 0.5 ? 0.2 : 0.02;
    for (let i = 0; i < 3_000; i++) {
      const key = Math.floor(random() * 4 * max);
      const isMoved = random() < 0.3;
      const dice = random();
      for (const one of [map, plain]) {
        if (dice < hover) one.delete(key);
        else if (dice > 0.9995) one.clear();
        else {
          if (isMoved) one.delete(key);
          one.set(key, i);
        }
      }
      if (dice < hover) set.delete(key);
      else if (dice > 0.9995) set.clear();
      else {
        if (isMoved) set.delete(key);
        set.add(key);
      }
      const before = plain.size;
      while (plain.size > max) plain.delete(plain.keys().next().value as number);
      if (random() < 0.5) wrong += Math.abs(oldest.trim(max) - (before - plain.size));
      else for (let one = oldest.beyond(max); one !== undefined; one = oldest.beyond(max)) map.delete(one);
      ofSet.trim(max);
      if (i % 100 > 0) continue;
      expect([seed, i, [...map]]).toEqual([seed, i, [...plain]]);
      expect([...set]).toEqual([...plain.keys()]);
    }
    expect([seed, wrong]).toEqual([seed, 0]);
  }
});

test("a key that its caller does not delete is not the end", () => {
  const set = new Set(["a", "b"]);
  const oldest = new Oldest(set);
  expect(["a", "b", "a"].map(() => oldest.beyond(0))).toEqual(["a", "b", "a"]);
  expect(oldest.trim(0)).toBe(2);
  expect([oldest.beyond(0), oldest.trim(-1)]).toEqual([undefined, 0]);
});
