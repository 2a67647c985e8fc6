import { expect, test } from "@jest/globals";
import { type PartitionProgress, StallWatch } from "./stall-watch.ts";

const at = (committed: bigint, end: bigint, busy = false): PartitionProgress[] => [
  { key: "t:0", committed, end, busy },
];

test("only a partition that is behind, unmoved and idle for the whole time is stalled (stall-watch.ts W1)", () => {
  const stuck = new StallWatch(100);
  expect(stuck.observe(0, at(5n, 9n))).toEqual([]);
  expect(stuck.observe(99, at(5n, 20n))).toEqual([]);
  expect(stuck.observe(100, at(5n, 20n))).toEqual(["t:0"]);

  for (const healthy of [
    (ms: number) => at(BigInt(ms), 10_000n), // slow
    () => at(9n, 9n), // nothing to do
    () => at(5n, 9n, true), // retrying
  ]) {
    const watch = new StallWatch(100);
    for (let ms = 0; ms < 1_000; ms += 50) expect(watch.observe(ms, healthy(ms))).toEqual([]);
  }
});

test("a partition that went to another member and came back starts over", () => {
  const watch = new StallWatch(100);
  watch.observe(0, at(5n, 9n));
  watch.observe(50, []);
  expect(watch.observe(120, at(5n, 9n))).toEqual([]);
});

test("an outage of Kafka is no stall: a partition that was behind before it starts over (stall-watch.ts W2)", () => {
  const watch = new StallWatch(100);
  watch.observe(0, at(5n, 9n));
  watch.reset(); // nothing could be observed
  expect(watch.observe(120, at(5n, 9n))).toEqual([]);
  expect(watch.observe(220, at(5n, 9n))).toEqual(["t:0"]);
});
