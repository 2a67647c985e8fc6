import { describe, expect, test } from "@jest/globals";
import { type Topic, topics } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { MemoryKafka } from "@tributary/testing";
import { TopicSlices } from "./topic-slices.ts";

/** Two partitions whose stamps mostly grow. */
function logOf(random: Random): MemoryKafka {
  const log = new MemoryKafka({ partitions: 2 });
  for (let at = 0; at < 1_000; at += 1 + Math.floor(random() * 4)) {
    const timestamp = Math.max(0, at - (random() < 0.2 ? Math.floor(random() * 30) : 0));
    log.put(topic, "k", null, { partition: random() < 0.5 ? 0 : 1, timestamp });
  }
  return log;
}

const signal = new AbortController().signal;
const topic = topics.metrics as Topic;

/** Which records each slice has. */
async function slicesOf(
  log: MemoryKafka,
  moments: readonly number[],
  ahead: (to: number) => number,
): Promise<string[]> {
  let slice: string[] = [];
  const slices = new TopicSlices(log, topic, ({ partition, offset }) => {
    slice.push(`${partition}:${offset}`);
  });
  const all: string[] = [];
  for (;;) {
    try {
      await slices.start(0);
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
      const log = logOf(random);
      const moments = Array.from({ length: 20 }, (_, i) => (i + 1) * 50);
      const plain = await slicesOf(log, moments, (to) => to);
      const records = plain.join(" ").trim().split(/\s+/);
      expect(new Set(records).size).toBe(records.length);
      expect(records).toHaveLength(log.written.length);
      expect(await slicesOf(log, moments, (to) => to + 130)).toEqual(plain);
      log.before = (call) => {
        if (random() < (call === "read" ? 0.015 : 0.3)) throw new Error("away");
      };
      expect(await slicesOf(log, moments, () => 1_000)).toEqual(plain);
    },
  );
});
