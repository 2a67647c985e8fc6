import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { BySource } from "./by-source.ts";

test("sources are served in turn, each in its own order (by-source.ts F2)", () => {
  const waiting = new BySource<string>();
  for (let i = 0; i < 1_000; i++) waiting.add("attacker", `guess ${i}`);
  waiting.add("victim", "login");
  expect([waiting.next(), waiting.next(), waiting.next()]).toEqual(["guess 0", "login", "guess 1"]);
  expect(waiting.size).toBe(998);
});

test("counts are right and the heaviest source holds as many as any after any changes (by-source.ts F1)", () => {
  const random = seededRandom(5);
  const items = new BySource<number>();
  const model: { source: string; item: number }[] = [];
  for (let step = 0; step < 5_000; step++) {
    const kind = random();
    if (kind < 0.55) {
      const one = { source: `s${Math.floor(random() * 12)}`, item: step };
      model.push(one);
      items.add(one.source, one.item);
    } else if (kind < 0.8 && model.length > 0) {
      const [one] = model.splice(Math.floor(random() * model.length), 1);
      expect(items.remove(one?.source as string, one?.item as number)).toBe(true);
      expect(items.remove(one?.source as string, one?.item as number)).toBe(false);
    } else {
      const taken = items.next();
      expect(taken === undefined).toBe(model.length === 0);
      if (taken === undefined) continue;
      const at = model.findIndex(({ item }) => item === taken);
      const [one] = model.splice(at, 1);
      expect(model.some(({ source, item }) => source === one?.source && item < taken)).toBe(false);
    }
    const counts = Map.groupBy(model, ({ source }) => source);
    const most = Math.max(0, ...[...counts.values()].map((held) => held.length));
    expect([items.size, items.countOf(items.heaviest() ?? "")]).toEqual([model.length, most]);
  }
});
