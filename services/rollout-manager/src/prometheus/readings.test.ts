import { describe, expect, test } from "@jest/globals";
import { type Series, vectorOf } from "./client.ts";
import { momentsDue, PAST_STEPS } from "./moments.ts";
import { problemOfVector } from "./preflight.ts";
import { problemOf, readingsOf } from "./readings.ts";

type Given = readonly [device: string | null, value: number][];
const vector = (given: Given, malformed = 0) => ({
  series: given.map(
    ([device, value]): Series => ({ labels: device === null ? { instance: "i1" } : { device }, value }),
  ),
  malformed,
});
const members = new Set(["a", "b", "c"]);
const read = (good: Given, total: Given, malformed = 0) =>
  readingsOf(vector(good, malformed), vector(total), "device", (deviceId) => members.has(deviceId));
const refusedIn = ({ refused }: ReturnType<typeof read>) =>
  Object.fromEntries([...refused].map(([reason, { count, some }]) => [reason, [count, ...some]]));

describe("from two vectors", () => {
  test("come the counters of each device of the rollout", () => {
    const all = read(
      [
        ["a", 8],
        ["b", 9],
        ["c", 0],
      ],
      [
        ["a", 10],
        ["b", 9],
        ["c", 5],
      ],
    );
    expect(all.readings).toEqual([
      { deviceId: "a", good: 8, total: 10 },
      { deviceId: "b", good: 9, total: 9 },
      { deviceId: "c", good: 0, total: 5 },
    ]);
    expect([refusedIn(all), problemOf(all, 3)]).toEqual([{}, null]);
  });

  test("impossible series are refused, reported and counted, and the others count (R1, R2)", () => {
    const some = read(
      [
        ["a", 1],
        ["b", Number.NaN],
        ["c", 7],
        ["stranger", 1],
        [null, 1],
      ],
      [
        ["a", 2],
        ["b", 5],
        ["c", 6],
        ["c", 6],
        ["c", 7],
        ["stranger", 1],
        [null, 1],
      ],
      2,
    );
    expect(some.readings).toEqual([{ deviceId: "a", good: 1, total: 2 }]);
    expect(refusedIn(some)).toEqual({
      malformed: [2],
      "not-a-number": [1, "b"],
      "not-in-rollout": [2, "stranger", "stranger"],
      "no-device-label": [2, "i1", "i1"],
      duplicate: [1, "c"],
    });
    expect(problemOf(some, 3)).toBe(
      "Prometheus has nothing usable of 2 of 3 devices: 2 malformed, 1 not a number, 2 without the label of the device, 1 with several series; sum them by the device",
    );
  });

  test.each<[string, Given, Given, object]>([
    ["below 0", [["a", 1]], [["a", -2]], { negative: [1, "a"] }],
    ["infinite", [["a", 1]], [["a", Number.POSITIVE_INFINITY]], { "not-a-number": [1, "a"] }],
    ["above all", [["a", 3]], [["a", 2]], { "good-above-total": [1, "a"] }],
    ["good without all", [["b", 3]], [], { "no-total": [1, "b"] }],
    ["all without any good", [], [["a", 3]], { "no-good": [1, "a"] }],
  ])("%s is refused", (_, good, total, refused) => {
    const none = read(good, total);
    expect([none.readings, refusedIn(none)]).toEqual([[], refused]);
    expect(problemOf(none, 3)).toMatch(/^Prometheus has nothing usable of any of the 3 devices: 1 /);
  });

  test("a device whose every outcome is bad has 0 good ones, if others have some (R3)", () => {
    const harmed = read(
      [["a", 3]],
      [
        ["a", 3],
        ["b", 9],
      ],
    );
    expect(harmed.readings).toContainEqual({ deviceId: "b", good: 0, total: 9 });
  });

  test("an empty answer is reported as such, and series of other devices are named", () => {
    expect(problemOf(read([], []), 3)).toBe("Prometheus has nothing usable of any of the 3 devices");
    expect(problemOf(read([["x", 1]], [["x", 1]]), 3)).toMatch(/2 of other devices$/);
  });

  test("names in labels are no properties", () => {
    const hostile = {
      series: [{ labels: Object.create({ device: "a" }) as Series["labels"], value: 1 }],
      malformed: 0,
    };
    expect(readingsOf(hostile, hostile, "device", () => true).readings).toEqual([]);
    expect(readingsOf(hostile, hostile, "__proto__", () => true).readings).toEqual([]);
  });
});

describe("before a rollout is created", () => {
  const of = (given: Given, label = "device") => problemOfVector(vector(given), label, members);

  test("a query must find devices of it", () => {
    expect(
      of([
        ["x", 1],
        ["a", 1],
      ]),
    ).toBeNull();
    expect(of([])).toMatch(/finds no series; are the names/);
    expect(of([["a", 1]], "camera")).toBe(
      "none of its 1 series has the label camera; there are device; name the device's in deviceLabel",
    );
    expect(
      of([
        ["x", 1],
        [null, 1],
      ]),
    ).toBe("none of its series is of a device of this rollout: device is x, and the rollout has a, b, c");
  });
});

describe("an answer", () => {
  const body = (result: readonly unknown[], resultType = "vector") =>
    JSON.stringify({ status: "success", data: { resultType, result } });
  const one = { metric: { device: "a" }, value: [1_700_000_000, "42"] };

  test("is read, and a malformed series does not affect the others", () => {
    expect(
      vectorOf(body([one, { metric: {}, histogram: [] }, { metric: { device: 1 }, value: [1, "1"] }, null]), 9),
    ).toEqual({
      series: [{ labels: { device: "a" }, value: 42 }],
      malformed: 3,
    });
    expect(vectorOf(body([{ ...one, value: [1, "NaN"] }]), 9).series[0]?.value).toBeNaN();
  });

  test.each([
    ["no JSON", "<html>", /it is no JSON/],
    ["something else", "[1]", /none of \/api\/v1\/query/],
    ["an error with 200", JSON.stringify({ status: "error", error: "x" }), /none of/],
    ["a matrix", body([], "matrix"), /it is a matrix, not an instant vector/],
    ["too much", body([one, one]), /2 series, of at most 1; narrow the query/],
  ])("that is %s is refused as a whole", (_, text, message) => {
    expect(() => vectorOf(text, 1)).toThrow(message);
  });
});

describe("the moments to ask for", () => {
  const grid = { everyMs: 60, delayMs: 15, pastMs: 24 * 60 };
  const asked = { createdAt: 100_010, startedAt: null, answeredTo: null };

  test("are first those of the past, once, up to the creation (T3)", () => {
    const past = momentsDue(asked, grid, 100_011);
    expect(past).toHaveLength(PAST_STEPS + 1);
    expect([past[0], past.at(-1)]).toEqual([99_960 - 24 * 60, 99_960]);
    expect(momentsDue({ ...asked, createdAt: 100_010 }, grid, 99_970)).toEqual([]); // Not stored yet.
    expect(momentsDue({ ...asked, answeredTo: 99_960 }, grid, 100_011)).toEqual([]);
    expect(momentsDue(asked, { ...grid, pastMs: 0 }, 100_011)).toEqual([99_960]);
  });

  test("then the newest of the comparison, which gives up the past and missed moments (T2, T3)", () => {
    const live = { ...asked, startedAt: 100_100 };
    expect(momentsDue({ ...live, answeredTo: 99_960 }, grid, 100_120)).toEqual([]); // 100 080 is before the start.
    expect(momentsDue({ ...live, answeredTo: 99_960 }, grid, 100_140 + 14)).toEqual([]);
    expect(momentsDue({ ...live, answeredTo: 99_960 }, grid, 100_140 + 15)).toEqual([100_140]);
    expect(momentsDue(live, grid, 100_500)).toEqual([100_440]);
    expect(momentsDue({ ...live, answeredTo: 100_440 }, grid, 100_500)).toEqual([]);
  });
});
