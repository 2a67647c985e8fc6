import { expect, test } from "@jest/globals";
import { murmur2, partitionOf } from "./partition-of.ts";

// Kafka's own UtilsTest.testMurmur2.
test.each([
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
])("murmur2 of %s is Java's", (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
});

test("partitions are in range", () => {
  for (let i = 0; i < 1_000; i++) {
    const partition = partitionOf(`device-${i}`, 32);
    expect(partition >= 0 && partition < 32).toBe(true);
  }
});
