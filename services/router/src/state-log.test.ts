import { describe, expect, test } from "@jest/globals";
import { type Classifications, RouterState } from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { type Random, seededRandom } from "@tributary/kernel";
import {
  Admission,
  type DeviceChanges,
  type DeviceSnapshot,
  Effects,
  frameKeyOf,
  SettlementPartition,
} from "@tributary/routing/settlement";
import { someAnswer, someFrame, somePrediction, somePredictions, someResult } from "@tributary/testing";
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
    .filter((w) => w.watermark > 0n || w.bitmap.length > 0 || w.digests.length > 0) // no record was seen yet
    .map((w) => `${w.bootId} ${w.stream} ${w.watermark} ${Buffer.from([...w.bitmap, ...w.digests]).toString("hex")}`)
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

function changesBetween(before: DeviceSnapshot, after: DeviceSnapshot): DeviceChanges {
  const isSame = (a: object, b: object) => JSON.stringify(a, replacer) === JSON.stringify(b, replacer);
  const replacer = (_key: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);
  const windowKey = ({ bootId, stream }: DeviceSnapshot["windows"][number]) => `${bootId}:${stream}`;
  const changed = <T extends object>(of: readonly T[], then: readonly T[]) =>
    then.filter((one) => !of.some((other) => isSame(one, other)));
  const gone = <T>(of: readonly T[], then: readonly T[], keyOf: (one: T) => string) =>
    of.filter((one) => !then.some((other) => keyOf(other) === keyOf(one)));
  return {
    deviceId: DEVICE,
    windows: changed(before.windows, after.windows),
    frames: changed(before.frames, after.frames),
    goneWindows: gone(before.windows, after.windows, windowKey),
    goneFrames: gone(before.frames, after.frames, frameKeyOf).map(frameKeyOf),
  };
}

/** Any records of a device, in any order, late and repeated, with the results of the cloud. */
function step(partition: SettlementPartition, random: Random, now: number): void {
  const effects = new Effects();
  const below = (n: number) => Math.floor(random() * n);
  const name = { deviceId: DEVICE, bootId: BigInt(below(20)), cameraId: "cam", frameSeq: BigInt(below(60)) };
  const seq = BigInt(below(40));
  const kind = below(4);
  if (kind === 0)
    partition.frame(someFrame({ ...name, seq, deadlineMs: 2_000, sampleDrawn: random() < 0.2 }), now, now, effects);
  else if (kind === 1) partition.result(someResult(name), now, now, effects);
  else {
    const predictions = Array.from({ length: 1 + below(5) }, () =>
      somePrediction({
        cameraId: name.cameraId,
        frameSeq: BigInt(below(60)),
        deadlineMs: 2_000,
        escalation: random() < 0.7 ? "QUEUED" : "NONE",
      }),
    );
    const bootId = name.bootId === 0n ? 1n : name.bootId; // a device without boots sends frames alone
    partition.predictions(somePredictions({ deviceId: DEVICE, bootId, seq, predictions }), now, now, effects);
  }
  partition.tick(now, effects);
}

type Input = (partition: SettlementPartition, now: number, effects: Effects) => void;

/** One device's records of `frames` frames, with the cloud's results of some, slightly out of order. */
function inputsOf(frames: number, random: Random): Input[] {
  const inputs: { readonly at: number; readonly input: Input }[] = [];
  let framesSeq = 0n;
  const push = (at: number, input: Input) => inputs.push({ at: at + 4 * random(), input });
  for (let i = 0; i < frames; i++) {
    const frameSeq = BigInt(i + 1);
    const queued = random() < 0.8;
    const escalation = queued ? ("QUEUED" as const) : ("NONE" as const);
    const predictions = [
      somePrediction({ cameraId: "cam", frameSeq, escalation, reason: "AMBIGUOUS", deadlineMs: 5_000 }),
    ];
    const batch = somePredictions({ deviceId: DEVICE, bootId: 1n, seq: frameSeq, predictions });
    push(i, (partition, now, effects) => partition.predictions(batch, now, now, effects));
    if (!queued) continue;
    if (random() < 0.8) {
      const name = { deviceId: DEVICE, bootId: 1n, cameraId: "cam", frameSeq };
      const frame = someFrame({ ...name, seq: ++framesSeq, deadlineMs: 5_000 });
      push(i, (partition, now, effects) => partition.frame(frame, now, now, effects));
      if (random() < 0.7)
        push(i + 6, (partition, now, effects) => partition.result(someResult(name), now, now, effects));
    }
  }
  return inputs.sort((a, b) => a.at - b.at).map(({ input }) => input);
}

describe("the log of states", () => {
  test(`whatever prefix of a save is stored, every frame gets one answer (L1), over ${10 * SEEDS} seeds`, () => {
    let crashes = 0;
    for (let seed = 0; seed < 10 * SEEDS; seed++) {
      const random = seededRandom(seed);
      const frames = 40;
      const inputs = inputsOf(frames, random);
      const states: OutRecord[] = [];
      const answers: Classifications[] = [];
      let [partition, stored] = [
        new SettlementPartition({ admission: new Admission(), target: "default" }),
        new StoredDevice(DEVICE),
      ];
      let [position, committed, now, savedUntil] = [0, 0, 1_000_000, 0n];
      while (committed < inputs.length || partition.openFrames > 0) {
        const effects = new Effects();
        for (let n = 1 + Math.floor(6 * random()); n > 0 && position < inputs.length; n--)
          inputs[position++]?.(partition, now, effects);
        now += 300;
        partition.tick(now, effects);
        answers.push(...effects.answers);
        const known = BigInt(answers.length);
        const save = stored.save(
          partition.takeChanges(DEVICE) as DeviceChanges,
          { known, replayFrom: savedUntil },
          0,
          now,
        );
        if (random() < 0.7) {
          states.push(...save);
          [committed, savedUntil] = [position, known];
          continue;
        }
        crashes++;
        states.push(...save.slice(0, Math.floor((save.length + 1) * random())));
        const log = folded(compacted(states));
        partition = new SettlementPartition({ admission: new Admission(), target: "default" });
        stored = log.devices.get(DEVICE) ?? new StoredDevice(DEVICE);
        partition.restore(stored.snapshot(), now);
        const from = log.known.get(DEVICE) ?? 0n;
        for (const answer of answers.slice(Number(from))) partition.replay(answer, now);
        [position, savedUntil] = [committed, log.replayFrom];
      }
      const answered = answers
        .flatMap((record) => record.answers.map(({ frameSeq }) => Number(frameSeq)))
        .sort((a, b) => a - b);
      expect([seed, answered]).toEqual([seed, Array.from({ length: frames }, (_, i) => i + 1)]);
    }
    expect(crashes).toBeGreaterThan(500);
  });

  test(`knows after each save what the partition knows, over ${SEEDS} seeds`, () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed);
      const limits = { framesMax: 20, bootsMax: 3, deadlineMsMax: 600_000, lateFrameMsMax: 5_000 };
      const empty = () => new SettlementPartition({ admission: new Admission(), target: "default", limits });
      const records: OutRecord[] = [];
      let partition = empty();
      let stored = new StoredDevice(DEVICE);
      let now = 1_000_000;
      for (let save = 1; save <= 60; save++) {
        for (let steps = 1 + Math.floor(random() * 8); steps > 0; steps--) {
          now += Math.floor(random() * 500);
          step(partition, random, now);
        }
        const changes = partition.takeChanges(DEVICE) as DeviceChanges;
        records.push(...stored.save(changes, { known: BigInt(save), replayFrom: 0n }, 0, now));
        const log = folded(compacted(records)).devices.get(DEVICE) as StoredDevice;
        expect([seed, save, byKey(log.snapshot())]).toEqual([
          ...[seed, save],
          byKey(partition.snapshot(DEVICE) as DeviceSnapshot),
        ]);
        if (random() > 0.1) continue;
        partition = empty(); // a router that takes over
        partition.restore(log.snapshot(), now);
        stored = log;
      }
    }
  });

  test(`brings back what was saved, compacted or not, over ${SEEDS} seeds`, () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed);
      const records: OutRecord[] = [];
      let stored = new StoredDevice(DEVICE);
      let snapshot: DeviceSnapshot = { deviceId: DEVICE, windows: [], frames: [] };
      for (let save = 1; save <= 20; save++) {
        const before = snapshot;
        snapshot = nextSnapshot(before, random);
        const changes = changesBetween(before, snapshot);
        records.push(...stored.save(changes, { known: BigInt(save), replayFrom: BigInt(save - 1) }, 0, save));
        for (const log of [folded(records), folded(compacted(records))]) {
          const device = log.devices.get(DEVICE) as StoredDevice;
          expect([seed, save, byKey(device.snapshot())]).toEqual([seed, save, byKey(snapshot)]);
          expect(log.known.get(DEVICE)).toBe(BigInt(save));
          // A router that takes over continues from the state that it read.
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
      const nothing = { deviceId: DEVICE, windows: [], frames: [] };
      const first = nextSnapshot(nothing, random);
      const before = stored.save(changesBetween(nothing, first), { known: 5n, replayFrom: 0n }, 0, 1);
      const after = stored.save(
        changesBetween(first, nextSnapshot(first, random)),
        { known: 9n, replayFrom: 5n },
        0,
        2,
      );
      for (let cut = 0; cut < after.length; cut++) {
        expect(folded([...before, ...after.slice(0, cut)]).known.get(DEVICE)).toBe(5n);
      }
      expect(folded([...before, ...after]).known.get(DEVICE)).toBe(9n);
    }
  });

  test("reads and replaces the records of an earlier version", () => {
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
    const changes = changesBetween(device.snapshot(), next);
    const records = [whole, ...device.save(changes, { known: 8n, replayFrom: 3n }, 0, 2)];
    for (const again of [folded(records), folded(compacted(records))]) {
      expect(byKey(again.devices.get(DEVICE)?.snapshot() as DeviceSnapshot)).toEqual(byKey(next));
    }
  });

  test("a restored device gives up the boot that was used longest ago", () => {
    const limits = { framesMax: 20, bootsMax: 3, deadlineMsMax: 600_000, lateFrameMsMax: 5_000 };
    const make = () => new SettlementPartition({ admission: new Admission(), target: "default", limits });
    const observe = (partition: SettlementPartition, bootId: bigint, seq: bigint) =>
      partition.predictions(somePredictions({ deviceId: DEVICE, bootId, seq }), 1_000, 1_000, new Effects());
    const stored = new StoredDevice(DEVICE);
    const before = make();
    const frame = someFrame({ deviceId: DEVICE, bootId: 1n, seq: 1n });
    before.frame(frame, 1_000, 1_000, new Effects());
    for (const [bootId, seq] of [
      [1n, 1n],
      [2n, 1n],
      [3n, 1n],
      [1n, 2n],
    ] as const) {
      observe(before, bootId, seq);
      stored.save(before.takeChanges(DEVICE) as DeviceChanges, { known: 0n, replayFrom: 0n }, 0, 1_000);
    }
    const after = make();
    after.restore(stored.snapshot(), 1_000);
    observe(after, 4n, 1n);
    const boots = new Set(after.snapshot(DEVICE)?.windows.map(({ bootId }) => bootId));
    expect(boots).toEqual(new Set([3n, 1n, 4n]));
  });

  test("replay beyond the limit forgets frames of the state, not frames whose records are still to come (G2)", () => {
    const limits = { framesMax: 20, bootsMax: 3, deadlineMsMax: 600_000, lateFrameMsMax: 5_000 };
    const make = () => new SettlementPartition({ admission: new Admission(), target: "default", limits });
    const queued = (seq: bigint, frames: readonly bigint[]) => {
      const of = { cameraId: "cam", escalation: "QUEUED", reason: "AMBIGUOUS", deadlineMs: 5_000 } as const;
      const predictions = frames.map((frameSeq) => somePrediction({ ...of, frameSeq }));
      return somePredictions({ deviceId: DEVICE, bootId: 1n, seq, predictions });
    };
    const before = make();
    const open = Array.from({ length: 19 }, (_, i) => BigInt(i + 1));
    before.predictions(queued(1n, open), 1_000, 1_000, new Effects());
    const after = make();
    after.restore(before.snapshot(DEVICE) as DeviceSnapshot, 1_000);
    for (const frameSeq of [100n, 1n, 101n])
      after.replay({ deviceId: DEVICE, bootId: 1n, answers: [someAnswer({ frameSeq })] }, 1_100);
    const effects = new Effects();
    after.predictions(queued(2n, [100n, 101n]), 1_200, 1_200, effects);
    after.tick(20_000, effects);
    const answered = effects.answers.flatMap(({ answers }) => answers.map(({ frameSeq }) => frameSeq));
    expect(answered.filter((frameSeq) => frameSeq >= 100n)).toEqual([]);
  });

  test("a small message beside 4,000 open frames writes only its change, not all open frames (G13)", () => {
    const partition = new SettlementPartition({ admission: new Admission(), target: "default" });
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
      stored.save(partition.takeChanges(DEVICE) as DeviceChanges, { known: 0n, replayFrom: 0n }, 0, 1_000);
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
