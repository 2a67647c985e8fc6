import { describe, expect, test } from "@jest/globals";
import { Holdings, OwnedOldest } from "./owner-shares.ts";
import { seededRandom } from "./random.ts";

describe("a bound that owners share", () => {
  test.each([1, 2, 3, 4])("seed %i: who has less than an equal part loses nothing, and the bound holds", (seed) => {
    const random = seededRandom(seed);
    const [entriesMax, owners] = [60, 6];
    const shares = new OwnedOldest<string>();
    const kept = new Map<string, string>();
    const lost = new Map<string, number>();
    const newest = new Map<string, string[]>();
    for (let i = 0; i < 3_000; i++) {
      // The last owner brings most of it; the first two bring few.
      const owner = `o${random() < 0.8 ? owners - 1 : Math.floor(random() * owners)}`;
      const isModest = owner === "o0" || owner === "o1";
      if (isModest && (newest.get(owner)?.length ?? 0) >= entriesMax / owners) continue;
      const key = `${owner}-${i}`;
      kept.set(key, owner);
      shares.add(key, owner);
      newest.set(owner, [...(newest.get(owner) ?? []), key]);
      if (random() < 0.05) {
        const [gone] = kept.keys();
        if (gone !== undefined) {
          kept.delete(gone);
          shares.delete(gone);
          newest.set("gone", []);
          for (const [name, keys] of newest)
            newest.set(
              name,
              keys.filter((one) => one !== gone),
            );
        }
      }
      for (let out = shares.beyond(entriesMax); out !== undefined; out = shares.beyond(entriesMax)) {
        const from = kept.get(out) ?? "";
        expect(newest.get(from)?.[0]).toBe(out); // the oldest of its owner
        newest.get(from)?.shift();
        kept.delete(out);
        lost.set(from, (lost.get(from) ?? 0) + 1);
      }
      expect(kept.size).toBeLessThanOrEqual(entriesMax);
    }
    expect({ seed, lost: [lost.get("o0"), lost.get("o1")] }).toEqual({ seed, lost: [undefined, undefined] });
    expect(lost.get("o5")).toBeGreaterThan(1_000);
    for (let i = 0; i < owners; i++) expect(shares.held(`o${i}`)).toBe(newest.get(`o${i}`)?.length ?? 0);
  });

  test("an owner that is alone has all of it", () => {
    const shares = new OwnedOldest<number>();
    for (let key = 0; key < 100; key++) shares.add(key, "only");
    expect(shares.beyond(100)).toBeUndefined();
    shares.add(0, "only");
    shares.add(100, "only");
    expect([shares.beyond(100), shares.held("only"), shares.owners]).toEqual([1, 100, 1]);
  });

  test.each([1, 2, 3])("seed %i: the largest is the one that holds the most", (seed) => {
    const random = seededRandom(seed);
    const holdings = new Holdings<string>();
    const counts = new Map<string, number>();
    for (let i = 0; i < 2_000; i++) {
      const owner = `o${Math.floor(random() * 8)}`;
      const by = Math.max(-(counts.get(owner) ?? 0), Math.floor(random() * 12) - 6);
      counts.set(owner, (counts.get(owner) ?? 0) + by);
      holdings.add(owner, by);
      const most = Math.max(...counts.values());
      const largest = holdings.largest();
      expect(largest === undefined ? 0 : counts.get(largest)).toBe(most);
      expect(holdings.total).toBe([...counts.values()].reduce((sum, count) => sum + count, 0));
    }
  });
});
