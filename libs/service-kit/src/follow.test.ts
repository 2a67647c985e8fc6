import { expect, test } from "@jest/globals";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { seededRandom, systemClock } from "@tributary/kernel";
import { followRecords } from "./follow.ts";

test("a follower is caught up at the end it found, and survives failing reads without a gap or a repeat (F1, F2)", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const stop = new AbortController();
    const size = 20 + Math.floor(random() * 20);
    const started = Math.floor(random() * size);
    let end = started;
    const finished = new Set<number>();
    const reader: PartitionReader = {
      partitions: async () => [0, 1],
      offsets: async () => ({ earliest: 2n, next: BigInt(Math.max(2, end)) }),
      async *read(topic, partition, { from = 2n, until } = {}) {
        for (let offset = from; offset < (until ?? BigInt(size)); offset++) {
          if (random() < 0.1) throw new Error("away");
          if (offset === 7n) continue; // compacted away
          yield { topic, partition, offset, key: "k", value: null, headers: {}, timestamp: 0 } satisfies InRecord;
        }
        if (until === undefined && finished.add(partition).size === 2) stop.abort();
      },
      close: async () => {},
    };
    const seen: bigint[][] = [[], []];
    const following = await followRecords(
      { reader, signal: stop.signal, clock: { ...systemClock, sleep: async () => {} }, random },
      {
        topic: "t",
        onRecord: (record) => void seen[record.partition]?.push(record.offset),
        onReadFailed: () => {},
      },
    );
    await following.caughtUp;
    end = size;
    for (const offsets of seen) {
      const wanted = Array.from({ length: Math.max(0, started - 2) }, (_, i) => BigInt(i + 2)).filter((o) => o !== 7n);
      expect([seed, offsets.slice(0, wanted.length)]).toEqual([seed, wanted]);
    }
    await following.ended;
    for (const offsets of seen) {
      expect([seed, offsets.every((o, i) => i === 0 || o > (offsets[i - 1] as bigint))]).toEqual([seed, true]);
    }
  }
});
