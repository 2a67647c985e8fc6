import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type IndependentOptions, IndependentRecords } from "./independent-records.ts";
import type { InRecord } from "./ports.ts";

const options: IndependentOptions = {
  recordsMax: 16,
  bytesMax: 1_600,
  ownerShareMax: 0.25,
  isUrgent: (topic) => topic === "high",
};

/** A consumer's view: what is in flight, paused and may be committed. */
class Scene {
  readonly records: IndependentRecords;
  readonly paused = new Map<string, string>();
  readonly committed = new Map<string, bigint>();
  readonly inFlight = new Map<string, (isDone: boolean) => void>();

  constructor(change: Partial<IndependentOptions> = {}) {
    this.records = new IndependentRecords({ ...options, ...change });
  }

  take(topic: string, offset: number, owner = "cam", bytes = 10): boolean {
    const key = `${topic}:0`;
    const record = { topic, partition: 0, offset: BigInt(offset), key: owner, value: Buffer.alloc(bytes) } as InRecord;
    const delivery = {
      key,
      pause: (cause: string) => {
        this.paused.set(key, cause);
        return () => void this.paused.delete(key);
      },
      moved: (next: bigint) => void this.committed.set(key, next),
    };
    const work = () => new Promise<boolean>((end) => this.inFlight.set(`${topic} ${offset}`, end));
    return this.records.take(delivery, record, work);
  }

  async finish(what: string, isDone = true): Promise<void> {
    this.inFlight.get(what)?.(isDone);
    this.inFlight.delete(what);
    await new Promise((settled) => setImmediate(settled));
  }
}

describe("independent records", () => {
  test("one that hangs delays no other, and its partition is committed up to it", async () => {
    const scene = new Scene();
    for (let i = 0; i < 4; i++) scene.take("normal", i, `cam-${i}`);
    for (const i of [1, 2, 3]) await scene.finish(`normal ${i}`);
    for (let i = 4; i < 100; i++) {
      expect(scene.take("normal", i, `cam-${i}`)).toBe(true);
      await scene.finish(`normal ${i}`);
    }
    expect(scene.committed.get("normal:0")).toBe(0n);
    await scene.finish("normal 0");
    expect(scene.committed.get("normal:0")).toBe(100n);
    expect([scene.records.records, scene.records.bytes]).toEqual([0, 0]);
  });

  test("a full process pauses the topic, leaves room for the urgent, and resumes when half is free (G9)", async () => {
    const scene = new Scene();
    for (let i = 0; i < 12; i++) expect(scene.take("normal", i, `cam-${i}`)).toBe(true);
    expect(scene.take("normal", 12, "other")).toBe(false);
    expect([...scene.paused]).toEqual([["normal:0", "full"]]);
    for (let i = 0; i < 4; i++) expect(scene.take("high", i, `cam-${i}`)).toBe(true);
    expect(scene.take("high", 4, "other")).toBe(false);
    for (let i = 0; i < 4; i++) await scene.finish(`high ${i}`);
    for (let i = 0; i < 6; i++) await scene.finish(`normal ${i}`);
    expect([...scene.paused]).toEqual([["normal:0", "full"]]);
    await scene.finish("normal 6");
    expect([...scene.paused]).toEqual([]);
    expect(scene.take("normal", 12, "other")).toBe(true);
  });

  test("a device holds its share at most, in records and in bytes; a record above every bound is handled alone", async () => {
    const scene = new Scene();
    for (let i = 0; i < 4; i++) expect(scene.take("normal", i, "hog")).toBe(true);
    expect(scene.take("normal", 4, "hog")).toBe(false);
    expect(scene.paused.get("normal:0")).toBe("owner-share");
    expect(scene.take("high", 0, "other", 200)).toBe(true);
    expect(scene.take("high", 1, "other", 201)).toBe(false);
    const alone = new Scene();
    expect(alone.take("normal", 0, "large", 100_000)).toBe(true);
    expect(alone.take("normal", 1, "other")).toBe(false);
  });

  test("after a rebalance kept partitions take nothing twice, and calls of lost ones move no mark", async () => {
    const scene = new Scene();
    for (const topic of ["normal", "high"]) for (let i = 0; i < 3; i++) scene.take(topic, i, `cam-${i}`);
    await scene.finish("normal 1");
    scene.records.reassigned((key) => key === "normal:0");
    for (let i = 0; i < 4; i++) expect(scene.take("normal", i, `cam-${i}`)).toBe(true);
    expect(scene.records.records).toBe(6);
    await scene.finish("high 0");
    expect(scene.committed.get("high:0")).toBeUndefined();
    await scene.finish("normal 0");
    await scene.finish("normal 3", false); // the client was closed
    await scene.finish("normal 2");
    expect(scene.committed.get("normal:0")).toBe(3n);
  });

  test.each([1, 2, 3])("seed %i: with 2 %% of the calls hanging the others wait for none of them", async (seed) => {
    const random = seededRandom(seed);
    const scene = new Scene({ recordsMax: 200, bytesMax: 1 << 20 });
    const hanging: string[] = [];
    for (let i = 0; i < 1_000; i++) {
      expect(scene.take("normal", i, `cam-${i % 40}`)).toBe(true);
      if (random() < 0.02) hanging.push(`normal ${i}`);
      else await scene.finish(`normal ${i}`);
      expect([...scene.inFlight.keys()]).toEqual(hanging);
    }
    expect(scene.committed.get("normal:0")).toBe(BigInt(hanging[0]?.split(" ")[1] ?? 1_000));
    for (const each of hanging.sort(() => random() - 0.5)) await scene.finish(each);
    expect(scene.committed.get("normal:0")).toBe(1_000n);
    await scene.records.idle();
  });
});
