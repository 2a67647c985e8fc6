import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { fairPlaces } from "./fair-places.ts";

const listed = (devices: readonly string[], limit: number) => {
  const taken = new Map<string, number>();
  const frames = devices.map((deviceId, i) => ({ deviceId, i }));
  const list = fairPlaces(frames, ({ deviceId }) => deviceId, { left: limit, all: limit, taken });
  return { list, counts: taken };
};

describe("places of a list for people", () => {
  test("one device that fills the queue has 5 % of the places while others wait", () => {
    const random = seededRandom(1);
    const devices = Array.from({ length: 4_000 }, () => (random() < 0.7 ? "rogue" : `d-${Math.floor(random() * 39)}`));
    const { list, counts } = listed(devices, 200);
    expect([list.length, counts.get("rogue")]).toEqual([200, 10]);
    expect(list.map(({ i }) => i)).toEqual(list.map(({ i }) => i).toSorted((a, b) => a - b));
  });

  test.each([1, 2, 3, 4, 5, 6])("seed %i: the list is full, and nobody has more than another that waits", (seed) => {
    const random = seededRandom(seed);
    const devices = 1 + Math.floor(12 * random());
    const frames = Array.from(
      { length: 10 + Math.floor(300 * random()) },
      () => `d-${Math.floor(random() ** 3 * devices)}`,
    );
    const limit = 1 + Math.floor(120 * random());
    const { list, counts } = listed(frames, limit);
    expect(list.length).toBe(Math.min(limit, frames.length));
    const floor = Math.max(1, Math.floor(0.05 * limit));
    for (const [deviceId, all] of Map.groupBy(frames, (one) => one)) {
      const own = counts.get(deviceId) ?? 0;
      if (own === all.length) continue;
      const most = Math.max(...counts.values());
      expect({ seed, deviceId, isFair: own >= most - 1 || most <= floor }).toEqual({ seed, deviceId, isFair: true });
    }
  });

  test("two devices, or one, fill it", () => {
    expect(listed(Array<string>(500).fill("only"), 200).list.length).toBe(200);
    const two = listed([...Array<string>(500).fill("a"), ...Array<string>(30).fill("b")], 200).counts;
    expect([two.get("a"), two.get("b")]).toEqual([170, 30]);
  });

  test("places that a device has already count", () => {
    const frames = ["a", "a", "a", "b", "b"].map((deviceId) => ({ deviceId }));
    const taken = new Map([["a", 3]]);
    const list = fairPlaces(frames, ({ deviceId }) => deviceId, { left: 3, all: 6, taken });
    expect(list.map(({ deviceId }) => deviceId)).toEqual(["a", "b", "b"]);
  });
});
