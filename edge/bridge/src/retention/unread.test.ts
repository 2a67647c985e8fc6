import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { type Level, PartitionUnread, type UnreadReading } from "./unread.ts";

const MIB = 1_024 * 1_024;
const SEEDS = 60;

/** A partition as Kafka keeps it, with one group that reads it. */
class Log {
  readonly #sizes: number[] = [];
  /** Bytes before each offset. */
  readonly #before: number[] = [0];
  readonly retentionBytes: number;
  #committed = 0;
  #start = 0;

  constructor(retentionBytes: number) {
    this.retentionBytes = retentionBytes;
  }

  append(bytes: number): void {
    this.#sizes.push(bytes);
    this.#before.push((this.#before.at(-1) as number) + bytes);
    // Kafka deletes whole segments, and keeps the newest `retention.bytes` at least.
    while (this.bytes - (this.#sizes[this.#start] ?? 0) >= this.retentionBytes + this.retentionBytes / 4) {
      for (let freed = 0; freed < this.retentionBytes / 4; this.#start++) freed += this.#sizes[this.#start] ?? 0;
    }
  }

  get bytes(): number {
    return this.#sum(this.#start);
  }

  get unreadBytes(): number {
    return this.#sum(this.#committed);
  }

  get lost(): number {
    return Math.max(0, this.#start - this.#committed);
  }

  commit(records: number): void {
    this.#committed = Math.min(this.#sizes.length, Math.max(this.#committed, this.#start) + records);
  }

  reading(isSizeKnown: boolean) {
    return {
      start: BigInt(this.#start),
      end: BigInt(this.#sizes.length),
      committed: this.#committed === 0 ? undefined : BigInt(this.#committed),
      bytes: isSizeKnown ? this.bytes : undefined,
      retentionBytes: this.retentionBytes,
    };
  }

  #sum(from: number): number {
    return (this.#before.at(-1) as number) - (this.#before[from] as number);
  }
}

const read = (unread: PartitionUnread, log: Log, nowMs: number, isSizeKnown = true) => {
  unread.begin();
  unread.observe(log.reading(isSizeKnown), nowMs);
};

/** Offers a record, which is stored at once if it is admitted. */
const offer = (unread: PartitionUnread, log: Log, deviceId: string, bytes: number, nowMs: number): boolean => {
  if (!unread.admit(deviceId, bytes, nowMs)) return false;
  log.append(bytes);
  unread.settled(bytes);
  return true;
};

describe("what readers have not read", () => {
  test("never exceeds what retention keeps, with several bridges at the permitted rate, late readings and readers that come and go", () => {
    let fullest = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seededRandom(seed);
      const bridges = Array.from({ length: 1 + Math.floor(random() * 3) }, () => new PartitionUnread());
      // One bridge counts exactly; what several do not see of each other between readings has to fit into the last fifth.
      const log = new Log(((bridges.length === 1 ? 4 : 120) + Math.floor(random() * 180)) * MIB);
      const asked: UnreadReading[] = [];
      const inFlight: { readonly bridge: PartitionUnread; readonly bytes: number; readonly atMs: number }[] = [];
      const mean = 2_000 + random() * 200_000;
      let areReadersThere = random() < 0.5;
      for (const bridge of bridges) read(bridge, log, 0);
      for (let nowMs = 50; nowMs < 60_000; nowMs += 50) {
        if (random() < 0.002) areReadersThere = !areReadersThere;
        if (areReadersThere) log.commit(Math.floor(random() * 400));
        for (const [i, bridge] of bridges.entries()) {
          // A device may send 8 MiB/s; its bursts are seconds long.
          const perStep = Math.floor(nowMs / 3_000) % 3 === i % 3 ? (8 * MIB) / 20 : (random() * MIB) / 20;
          for (let sent = 0; sent < perStep; ) {
            const bytes = Math.ceil(random() * 2 * mean);
            sent += bytes;
            if (bridge.admit(`device-${i}-${Math.floor(random() * 3)}`, bytes, nowMs)) {
              inFlight.push({ bridge, bytes, atMs: nowMs + random() * 300 });
            }
          }
          // Kafka answers one question after the other, while records come; now and then not at all.
          const step = (nowMs + i * 200) % 1_000;
          if (step === 0) bridge.begin();
          if (step === 0 || step === 100)
            asked[i] = { ...log.reading(true), ...(step === 100 && { ...asked[i], bytes: log.bytes }) };
          if (step === 200 && random() < 0.9) {
            bridge.observe({ ...(asked[i] as UnreadReading), end: log.reading(true).end }, nowMs);
          }
        }
        for (const record of inFlight.splice(0)) {
          if (record.atMs > nowMs) inFlight.push(record);
          else {
            log.append(record.bytes);
            record.bridge.settled(record.bytes);
          }
        }
        fullest = Math.max(fullest, log.unreadBytes / log.retentionBytes);
        if (log.unreadBytes > log.retentionBytes || log.lost > 0) {
          throw new Error(`seed ${seed}: ${log.unreadBytes} of ${log.retentionBytes} unread at ${nowMs} ms`);
        }
      }
    }
    expect(fullest).toBeGreaterThan(0.75);
  });

  test("without the account retention deletes unread records (control)", () => {
    const log = new Log(20 * MIB);
    for (let i = 0; i < 400; i++) log.append(100_000);
    expect(log.lost).toBeGreaterThan(0);
  });

  test("closes with a single bridge at most at .8 of retention, and opens again once it is read (N1, N2)", () => {
    for (const isSizeKnown of [true, false]) {
      const log = new Log(100 * MIB);
      const unread = new PartitionUnread();
      read(unread, log, 0, isSizeKnown);
      const levels = new Set<Level>();
      let nowMs = 0;
      for (let i = 0; i < 5_000; i++) {
        nowMs += 10;
        offer(unread, log, `device-${(i < 2_500 ? 0 : 100) + (i % 100)}`, 64 * 1_024, nowMs); // others come later
        levels.add(unread.level);
        if (i % 100 === 0) read(unread, log, nowMs, isSizeKnown);
        expect(log.unreadBytes).toBeLessThanOrEqual(0.8 * log.retentionBytes);
      }
      expect([...levels]).toEqual(["open", "scarce", "closed"]);
      expect(log.lost).toBe(0);
      expect(unread.mayResume("device-1", nowMs)).toBe(false);
      log.commit(1e6);
      for (let i = 0; i < 20; i++) {
        nowMs += 1_000;
        read(unread, log, nowMs, isSizeKnown);
      }
      expect([unread.level, unread.mayResume("device-1", nowMs)]).toEqual(["open", true]);
      expect(offer(unread, log, "device-1", 64 * 1_024, nowMs)).toBe(true);
    }
  });

  test("makes a device with more than its share wait first, and a modest one only when everybody waits (N3)", () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = seededRandom(seed);
      const log = new Log(205 * MIB);
      const unread = new PartitionUnread();
      read(unread, log, 0);
      const modest = Array.from({ length: 1 + Math.floor(random() * 30) }, (_, i) => `modest-${i}`);
      const share = (0.8 * log.retentionBytes) / Math.max(4, modest.length + 1);
      const written = new Map<string, number>();
      let hostileHeldAt: number | undefined;
      for (let nowMs = 0; nowMs < 60_000; nowMs += 20) {
        const hostile = offer(unread, log, "hostile", 160_000, nowMs);
        if (!hostile) hostileHeldAt ??= log.unreadBytes;
        const deviceId = modest[Math.floor(random() * modest.length)] as string;
        const bytes = Math.ceil(random() * 20_000);
        const isModest = (written.get(deviceId) ?? 0) + bytes <= share;
        if (offer(unread, log, deviceId, bytes, nowMs)) written.set(deviceId, (written.get(deviceId) ?? 0) + bytes);
        else if (isModest) throw new Error(`seed ${seed}: ${deviceId} waits at ${unread.level}, ${nowMs} ms`);
        if (nowMs % 1_000 === 0) read(unread, log, nowMs);
      }
      expect(unread.level).not.toBe("open");
      expect(hostileHeldAt).toBeLessThanOrEqual(0.5 * log.retentionBytes + 20_000);
      expect(unread.mayResume("hostile", 60_000)).toBe(false);
    }
  });

  test("before this process started is estimated with twice the mean, and counted exactly once readers have passed it", () => {
    const log = new Log(100 * MIB);
    for (let i = 0; i < 1_000; i++) log.append(60_000);
    log.commit(900);
    const unread = new PartitionUnread();
    read(unread, log, 0);
    expect(unread.unreadBytes(0)).toBeCloseTo(2 * log.unreadBytes, -5);
    log.append(10_000);
    log.commit(100);
    read(unread, log, 1_000);
    expect(unread.unreadBytes(1_000)).toBeLessThanOrEqual(20_000 + 10_000); // and what others may have written since
    expect(log.unreadBytes).toBe(10_000);
  });

  test("bytes that a reading had not seen yet come with the next, though no record came meanwhile", () => {
    const log = new Log(100 * MIB);
    const unread = new PartitionUnread();
    read(unread, log, 0);
    const { bytes } = log.reading(true);
    unread.begin();
    offer(unread, log, "a", MIB, 500);
    unread.observe({ ...log.reading(true), bytes }, 1_000); // the size is older than the end
    for (let nowMs = 2_000; nowMs < 5_000; nowMs += 1_000) {
      read(unread, log, nowMs);
      expect(unread.unreadBytes(nowMs)).toBe(MIB);
    }
  });

  test("while no reading succeeds, own records count exactly and those of other writers at their last rate", () => {
    const log = new Log(100 * MIB);
    const unread = new PartitionUnread();
    read(unread, log, 0);
    log.append(MIB); // by another bridge
    read(unread, log, 1_000);
    expect(unread.admit("a", MIB, 1_000)).toBe(true);
    expect(unread.unreadBytes(11_000) / MIB).toBeCloseTo(1 + 1 + 10, 5);
    unread.begin(); // and fails
    expect(unread.unreadBytes(11_000) / MIB).toBeCloseTo(12, 5);
  });

  test("a record of any size passes an empty partition, and a topic without a bound never refuses", () => {
    const log = new Log(4 * MIB);
    const unread = new PartitionUnread();
    read(unread, log, 0);
    expect(offer(unread, log, "a", 3.9 * MIB, 0)).toBe(true);
    expect(unread.admit("a", 1, 0)).toBe(false);
    const boundless = new Log(Number.POSITIVE_INFINITY);
    const other = new PartitionUnread();
    read(other, boundless, 0);
    for (let i = 0; i < 1_000; i++) expect(offer(other, boundless, "a", 1e9, i)).toBe(true);
  });
});
