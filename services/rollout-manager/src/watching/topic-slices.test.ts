import { describe, expect, test } from "@jest/globals";
import { type Topic, topics } from "@tributary/contracts";
import type { InRecord } from "@tributary/kafka";
import { type Random, seededRandom } from "@tributary/kernel";
import { type SliceReader, TopicSlices } from "./topic-slices.ts";

/** Two partitions whose stamps mostly grow. */
class Log implements SliceReader {
  readonly partitions: InRecord[][] = [[], []];
  failShare = 0;
  constructor(private readonly random: Random) {}

  append(at: number): void {
    const partition = this.random() < 0.5 ? 0 : 1;
    const records = this.partitions[partition] as InRecord[];
    const timestamp = Math.max(0, at - (this.random() < 0.2 ? Math.floor(this.random() * 30) : 0));
    const offset = BigInt(records.length);
    records.push({ topic: "t", partition, offset, key: "k", value: null, headers: {}, timestamp });
  }

  async offsets(_: string, partition: number) {
    return { earliest: 0n, next: BigInt((this.partitions[partition] as InRecord[]).length) };
  }

  async offsetsAt(_: string, at: number) {
    if (this.random() < this.failShare) throw new Error("away");
    return new Map(
      this.partitions.map((records, partition) => {
        const found = records.findIndex(({ timestamp }) => timestamp >= at);
        return [partition, BigInt(found < 0 ? records.length : found)];
      }),
    );
  }

  async *read(_: string, partition: number, { from = 0n, until = 0n } = {}) {
    for (let offset = from; offset < until; offset++) {
      if (this.random() < this.failShare / 20) throw new Error("away");
      yield (this.partitions[partition] as InRecord[])[Number(offset)] as InRecord;
    }
  }
}

const signal = new AbortController().signal;
const topic = topics.metrics as Topic;

/** Which records each slice has. */
async function slicesOf(log: Log, moments: readonly number[], ahead: (to: number) => number): Promise<string[]> {
  let slice: string[] = [];
  const slices = new TopicSlices(log, topic, ({ partition, offset }) => slice.push(`${partition}:${offset}`));
  const all: string[] = [];
  for (;;) {
    try {
      await slices.begin(0);
      break;
    } catch {}
  }
  for (const to of moments) {
    for (;;) {
      try {
        await slices.read(to, ahead(to), signal);
        break;
      } catch {}
    }
    all.push(slice.sort().join(" "));
    slice = [];
  }
  return all;
}

describe("slices of a topic", () => {
  test.each(Array.from({ length: 30 }, (_, i) => i + 1))(
    "seed %i: are the same however far one reads ahead and however often reading fails, and no record is in two",
    async (seed) => {
      const random = seededRandom(seed);
      const log = new Log(random);
      for (let at = 0; at < 1_000; at += 1 + Math.floor(random() * 4)) log.append(at);
      const moments = Array.from({ length: 20 }, (_, i) => (i + 1) * 50);
      const plain = await slicesOf(log, moments, (to) => to);
      const records = plain.join(" ").trim().split(/\s+/);
      expect(new Set(records).size).toBe(records.length);
      expect(records).toHaveLength(log.partitions.flat().length);
      expect(await slicesOf(log, moments, (to) => to + 130)).toEqual(plain);
      log.failShare = 0.3;
      expect(await slicesOf(log, moments, () => 1_000)).toEqual(plain);
    },
  );
});
