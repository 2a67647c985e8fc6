import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { locate, type PlacedDevice } from "./index.ts";

const fleet = (count: number, attributes: (i: number) => Record<string, string>, isAlarmed: (i: number) => boolean) =>
  Array.from({ length: count }, (_, i): PlacedDevice => ({ attributes: attributes(i), isAlarmed: isAlarmed(i) }));
const site = (i: number) => `site-${i % 4}`;

describe("place", () => {
  test("the site of the alarmed devices, although two of them are not alarmed and one elsewhere is", () => {
    const devices = fleet(
      40,
      (i) => ({ site: site(i), hardware: i % 2 === 0 ? "pi" : "jetson", model: "digits@1" }),
      (i) => (i % 4 === 1 && i > 8) || i === 2,
    );
    expect(locate(devices)).toMatchObject({ key: "site", value: "site-1", covered: 8, inScope: 10 });
  });

  test("three of forty devices that share a label", () => {
    const attributes = (i: number) => ({ site: site(i), "label:lens": i < 3 ? "b" : "a" });
    const placed = locate(fleet(40, attributes, (i) => i < 3));
    expect(placed).toMatchObject({ key: "label:lens", value: "b", covered: 3, inScope: 3 });
    expect(placed?.pValue).toBeLessThan(0.001);
  });

  test("of values with the same devices it is the site, however attributes are ordered", () => {
    const devices = fleet(
      40,
      (i) => ({ "label:a": site(i), model: site(i), agentVersion: site(i), hardware: site(i), site: site(i) }),
      (i) => i % 4 === 0,
    );
    expect(locate(devices)?.key).toBe("site");
    expect(locate([...devices].reverse())?.key).toBe("site");
  });

  test("the whole of a cause is named, not a part that happens to cover most of it", () => {
    const attributes = (i: number) => ({ agentVersion: i < 10 ? "2" : "1", "label:rack": i < 8 ? "r" : "s" });
    const placed = locate(fleet(40, attributes, (i) => i < 10));
    expect(placed).toMatchObject({ key: "agentVersion", value: "2", covered: 10 });
  });

  test("nothing: no alarm, all alarmed, one device, values of which each device has its own", () => {
    const own = (i: number) => ({ "label:serial": `${i}` });
    expect(locate([])).toBeNull();
    expect(locate(fleet(40, own, () => false))).toBeNull();
    expect(
      locate(
        fleet(
          40,
          (i) => ({ site: site(i) }),
          () => true,
        ),
      ),
    ).toBeNull();
    expect(locate(fleet(40, own, (i) => i === 3))).toBeNull();
  });

  test.each([1, 2])("alarms at random are placed nowhere in 99 of 100 fleets (seed %i)", (seed) => {
    const random = seededRandom(seed);
    let placed = 0;
    for (let run = 0; run < 100; run++) {
      const value = (key: string, values: number) => `${key}${Math.floor(random() * values)}`;
      const attributes = () => ({ site: value("s", 5), hardware: value("h", 3), "label:row": value("r", 12) });
      if (locate(fleet(60, attributes, () => random() < 0.1)) !== null) placed++;
    }
    expect(placed).toBeLessThanOrEqual(3);
  });

  test("50,000 devices, each with a value of its own; two sites of which neither covers 80 %", () => {
    const attributes = (i: number) => ({ site: `s${i % 500}`, "label:serial": `${i}` });
    const placed = locate(fleet(50_000, attributes, (i) => i % 500 === 7));
    expect(placed).toMatchObject({ value: "s7", covered: 100 });
    expect(locate(fleet(5_000, attributes, (i) => i % 500 === 7 || i % 500 === 9))).toBeNull();
  });
});
