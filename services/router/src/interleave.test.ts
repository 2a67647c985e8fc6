import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { interleave } from "./interleave.ts";

test("each device's records stay in order, and others wait for no more of a device than of themselves (interleave.ts I1), over seeds", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const records = Array.from({ length: 200 }, (_, offset) => {
      const key = random() < 0.8 ? "rogue" : `d${Math.floor(random() * 5)}`;
      return { key, offset, cost: key === "rogue" ? 1 + Math.floor(random() * 1_024) : 1 };
    });
    const { ordered, large } = interleave(records, ({ cost }) => cost);
    expect([seed, [...ordered].sort((a, b) => a.offset - b.offset)]).toEqual([seed, records]);
    const settled = new Map<string, number>();
    const last = new Map<string, number>();
    let wrong = 0;
    for (const { key, offset, cost } of ordered) {
      if (offset <= (last.get(key) ?? -1)) wrong++;
      last.set(key, offset);
      settled.set(key, (settled.get(key) ?? 0) + cost);
      if (key !== "rogue" && (settled.get("rogue") ?? 0) > (settled.get(key) ?? 0)) wrong++;
    }
    expect([seed, wrong]).toEqual([seed, 0]);
    expect([seed, large]).toEqual([seed, ["rogue"]]);
  }
});

test("a poll of one device stays as it is", () => {
  const records = [{ key: "a" }, { key: "a" }];
  expect(interleave(records, () => 5_000)).toEqual({ ordered: records, large: [] });
});
