import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { PartitionTurns } from "./partition-turns.ts";

test("work of one partition number never overlaps and keeps its order; others run beside it", async () => {
  const random = seededRandom(7);
  const turns = new PartitionTurns();
  const running = new Set<number>();
  const done: number[][] = [[], [], []];
  let mostAtOnce = 0;
  const work = Array.from({ length: 300 }, (_, i) => {
    const partition = Math.floor(random() * 3);
    return turns.take(partition, async () => {
      expect(running.has(partition)).toBe(false);
      running.add(partition);
      mostAtOnce = Math.max(mostAtOnce, running.size);
      for (let turn = random() * 4; turn > 0; turn--) await Promise.resolve();
      running.delete(partition);
      done[partition]?.push(i);
      if (i % 50 === 0) throw new Error("a failing turn lets the next one in");
    });
  });
  await Promise.allSettled(work);
  expect(mostAtOnce).toBe(3);
  expect(done.flat()).toHaveLength(300);
  for (const order of done) expect(order).toEqual(order.toSorted((a, b) => a - b));
});
