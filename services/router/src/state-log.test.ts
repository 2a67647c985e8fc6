import { describe, expect, test } from "@jest/globals";
import { RouterState } from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { type Random, seededRandom } from "@tributary/kernel";
import { type DeviceSnapshot, Effects, Fleet, SettlementPartition } from "@tributary/settlement";
import { someAnswer, somePrediction, somePredictions } from "@tributary/testing";
import { StateLog, StoredDevice } from "./state-log.ts";

const SEEDS = 30;
const DEVICE = "device-1";

/** What compaction leaves: of each key the last record. */
function compacted(records: readonly OutRecord[]): OutRecord[] {
  const last = new Map<string, OutRecord>();
  for (const record of records) {
    last.delete(record.key);
    last.set(record.key, record);
  }
  return [...last.values()];
}

function folded(records: readonly OutRecord[]): StateLog {
  const log = new StateLog();
  for (const record of records) log.apply(record);
  return log;
}

const byKey = ({ windows, frames }: DeviceSnapshot) => ({
  windows: [...windows]
    .map((w) => `${w.bootId} ${w.stream} ${w.watermark} ${Buffer.from(w.bitmap).toString("hex")}`)
    .sort(),
  frames: [...frames].map((f) => `${f.frameSeq} ${f.settled} ${f.predictionSeen} ${f.frameSeen} ${f.target}`).sort(),
});

function nextSnapshot(before: DeviceSnapshot, random: Random): DeviceSnapshot {
  const some = <T>(list: readonly T[], share: number) => list.filter(() => random() < share);
  const frames = some(before.frames, 0.8).map((frame) =>
    random() < 0.3 ? { ...frame, settled: true, answer: null } : frame,
  );
  for (let n = Math.floor(random() * 4); n > 0; n--) {
    frames.push({
      bootId: 1n,
      cameraId: "cam",
      frameSeq: BigInt(Math.floor(random() * 1e9)),
      settled: false,
      predictionSeen: random() < 0.5,
      frameSeen: random() < 0.5,
      deadlineAt: Math.floor(random() * 1e6),
      capturedAtEstimate: Math.floor(random() * 1e6),
      target: null,
      answer: someAnswer(),
    });
  }
  const windows = some(before.windows, 0.95).map((window) =>
    random() < 0.4 ? { ...window, watermark: window.watermark + 1n } : window,
  );
  if (random() < 0.3 && windows.length < 6) {
    const bootId = BigInt(Math.floor(random() * 1e6)) + 2n;
    windows.push({ bootId, stream: "frames", watermark: 1n, bitmap: Buffer.from([5]), digests: new Uint8Array(0) });
  }
  return { deviceId: DEVICE, windows, frames };
}

describe("the log of states", () => {
  test(`brings back what was saved, compacted or not, over ${SEEDS} seeds`, () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed);
      const records: OutRecord[] = [];
      let stored = new StoredDevice(DEVICE);
      let snapshot: DeviceSnapshot = { deviceId: DEVICE, windows: [], frames: [] };
      for (let save = 1; save <= 20; save++) {
        snapshot = nextSnapshot(snapshot, random);
        records.push(...stored.changesTo(snapshot, { known: BigInt(save), replayFrom: BigInt(save - 1) }, 0, save));
        for (const log of [folded(records), folded(compacted(records))]) {
          const device = log.devices.get(DEVICE) as StoredDevice;
          expect([seed, save, byKey(device.snapshot())]).toEqual([seed, save, byKey(snapshot)]);
          expect(log.known.get(DEVICE)).toBe(BigInt(save));
          // A router that takes over goes on from what it read.
          if (random() < 0.2) stored = device;
        }
      }
      const forgotten = folded([...records, ...stored.forgotten(0, 99)]);
      expect(forgotten.devices.size).toBe(0);
      for (const { value } of compacted([...records, ...stored.forgotten(0, 99)])) expect(value).toBe(null);
    }
  });

  test("of any prefix of a save, its answers are not known yet (L1)", () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed);
      const stored = new StoredDevice(DEVICE);
      const first = nextSnapshot({ deviceId: DEVICE, windows: [], frames: [] }, random);
      const before = stored.changesTo(first, { known: 5n, replayFrom: 0n }, 0, 1);
      const after = stored.changesTo(nextSnapshot(first, random), { known: 9n, replayFrom: 5n }, 0, 2);
      for (let cut = 0; cut < after.length; cut++) {
        expect(folded([...before, ...after.slice(0, cut)]).known.get(DEVICE)).toBe(5n);
      }
      expect(folded([...before, ...after]).known.get(DEVICE)).toBe(9n);
    }
  });

  test("reads what a router before this wrote, and takes its place", () => {
    const random = seededRandom(7);
    let snapshot: DeviceSnapshot = { deviceId: DEVICE, windows: [], frames: [] };
    for (let i = 0; i < 5; i++) snapshot = nextSnapshot(snapshot, random);
    const whole: OutRecord = {
      topic: "router.state.v1",
      key: DEVICE,
      value: RouterState.encodeConfluent({
        deviceId: DEVICE,
        classificationsOffset: 3n,
        replayFrom: 2n,
        savedAt: 1,
        windows: snapshot.windows.map((w) => ({ ...w, bitmap: Buffer.from(w.bitmap), digests: Buffer.alloc(0) })),
        frames: snapshot.frames.map((frame) => ({ ...frame, answer: null })),
      }),
    };
    const log = folded([whole]);
    const device = log.devices.get(DEVICE) as StoredDevice;
    expect(byKey(device.snapshot())).toEqual(byKey(snapshot));
    const next = nextSnapshot(device.snapshot(), random);
    const records = [whole, ...device.changesTo(next, { known: 8n, replayFrom: 3n }, 0, 2)];
    for (const again of [folded(records), folded(compacted(records))]) {
      expect(byKey(again.devices.get(DEVICE)?.snapshot() as DeviceSnapshot)).toEqual(byKey(next));
    }
  });

  test("a small message beside 4,000 open frames costs what it changed, not all that is open (G13)", () => {
    const partition = new SettlementPartition({ fleet: new Fleet(), target: "default" });
    const stored = new StoredDevice(DEVICE);
    const queued = (seq: bigint, from: number, count: number) =>
      somePredictions({
        seq,
        predictions: Array.from({ length: count }, (_, i) =>
          somePrediction({
            frameSeq: BigInt(from + i),
            escalation: "QUEUED",
            reason: "AMBIGUOUS",
            deadlineMs: 600_000,
          }),
        ),
      });
    const save = () =>
      stored.changesTo(partition.snapshot(DEVICE) as DeviceSnapshot, { known: 0n, replayFrom: 0n }, 0, 1_000);
    for (let batch = 0; batch < 40; batch++) {
      partition.predictions(queued(BigInt(batch + 1), batch * 100 + 1, 100), 1_000, 1_000, new Effects());
    }
    expect(partition.openFrames).toBe(4_000);
    expect(save().length).toBeGreaterThan(4_000);
    partition.predictions(queued(41n, 5_000, 1), 1_000, 1_000, new Effects());
    const bytes = save().reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
    expect(bytes).toBeLessThan(2_000);
  });
});
