/** The outbox under faults, over seeds: connections end at any moment, acknowledgements get lost, the process is killed between
 * commits, time passes. The broker must still receive exactly the committed records. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, test } from "@jest/globals";
import { EdgeFrame, EdgePredictions, PACKET_BYTES_MAX } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { type AgelessRecord, agelessRecord, frameItem, limits } from "../testing/items.ts";
import type { DeviceTime } from "./age.ts";
import { OutboxEngine } from "./engine.ts";
import { SPAN_MAX } from "./flight.ts";
import { frameRecord, predictionsRecord } from "./records.ts";
import type { FrameItem, FromOutbox, OutboxLimits, RecordKey } from "./rows.ts";

// A test of crashes, not of power loss: memory is sufficient, and is not slowed by other tests' disks.
const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tributary-outbox-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Sent = Extract<FromOutbox, { kind: "send" }>;

/** A device, its broker and the wire between them, driven by hand. */
class World {
  readonly random: Random;
  readonly file: string;
  readonly limits: OutboxLimits;
  nowMs = 1_000;
  machineBoot = "boot-1";
  epoch = 0;
  online = false;
  engine: OutboxEngine;
  bootId = "";
  /** By name of the item's frame, once its commit was reported. */
  readonly committed = new Map<string, FrameItem>();
  readonly received: { readonly key: RecordKey; readonly bytes: string; readonly bootId: string }[] = [];
  #uncommitted: FrameItem[] = [];
  #items = 0;
  #unacked = 0;
  #wire: Sent[] = [];
  #bootIds = new Map<number, string>();
  dropped = 0;
  /** Of records the broker took, those that reach Kafka at all, and of these those whose acknowledgement reaches the device. */
  kafkaShare = 1;
  acksShare = 1;
  /** Records that the broker takes and never forwards. */
  loses: (key: RecordKey) => boolean = () => false;

  constructor(seed: number, changed: Partial<OutboxLimits> = {}) {
    this.random = seededRandom(seed);
    this.file = join(folder, `${seed}-${Object.keys(changed).join("-")}.sqlite`);
    this.limits = { ...limits, ...changed };
    this.engine = this.boot();
  }

  time(): DeviceTime {
    return { machineBoot: this.machineBoot, monotonicMs: this.nowMs, wallMs: null };
  }

  boot(): OutboxEngine {
    this.#uncommitted = [];
    this.#items = 0;
    this.#wire = [];
    this.online = false;
    this.engine = new OutboxEngine(
      { file: this.file, deviceId: "cam", limits: this.limits },
      () => this.time(),
      (message) => this.#hear(message),
    );
    return this.engine;
  }

  /** Frames as they left for the first time. */
  readonly left = new Map<string, EdgeFrame>();

  append(items: readonly FrameItem[]): void {
    this.#uncommitted.push(...items);
    this.engine.receive({ kind: "append", items });
  }

  connect(): void {
    this.online = true;
    this.#wire = [];
    this.engine.receive({ kind: "link", online: true, epoch: ++this.epoch });
  }

  disconnect(): void {
    this.online = false;
    this.deliver(Math.floor(this.random() * (this.#wire.length + 1)), 0.5);
    this.#wire = [];
    this.engine.receive({ kind: "link", online: false, epoch: this.epoch });
  }

  /** The broker takes the first `count` records off the wire; each acknowledgement arrives with this probability. */
  deliver(count = this.#wire.length, acked = 1): void {
    for (const { key, payload, epoch } of this.#wire.splice(0, count)) {
      const bootId = this.#bootIds.get(key.boot) ?? "";
      const isStored = !this.loses(key) && (this.limits.confirmMs === null || this.random() < this.kafkaShare);
      if (isStored) this.received.push({ key, bytes: Buffer.from(payload).toString("latin1"), bootId });
      if (this.random() < acked) this.engine.receive({ kind: "settled", key, acked: true, epoch });
      if (!isStored || this.limits.confirmMs === null || this.random() >= this.acksShare) continue;
      const ranges = [{ first: key.seq, last: key.seq }];
      this.engine.receive({ kind: "confirmed", bootId: BigInt(bootId), stream: key.stream, ranges });
    }
  }

  nameOf(item: FrameItem): string {
    return `${this.bootId}/${item.body.frameSeq}`;
  }

  #hear(message: FromOutbox): void {
    if (message.kind === "opened") {
      this.bootId = message.opened.bootId;
      this.#bootIds.set(message.opened.boot, message.opened.bootId);
    } else if (message.kind === "committed") {
      for (const item of this.#uncommitted.splice(0, message.items - this.#items)) {
        this.committed.set(this.nameOf(item), item);
      }
      this.#items = message.items;
      this.#unacked = message.stats.unacked;
      this.dropped += message.dropped.length;
    } else if (message.kind === "send" && this.#unacked === 0) {
      throw new Error("the outbox reported that nothing was unacknowledged, and sends");
    } else if (message.kind === "send") {
      const name = `${message.key.boot}/${message.key.seq}`;
      if (message.key.stream === "frames" && !this.left.has(name)) {
        this.left.set(name, EdgeFrame.decodeSingleObject(message.payload));
      }
      if (this.online && message.epoch === this.epoch) this.#wire.push(message);
    } else if (message.kind === "failed") throw new Error(message.message);
  }
}

/** The records that the broker must have received. */
function judge(world: World, isOrdered = true): readonly string[] {
  const wrong: string[] = [];
  const contentOf = new Map<string, AgelessRecord>();
  const seqsOf = new Map<string, number[]>();
  const predicted = new Map<string, string>();
  const framesSent = new Set<string>();
  for (const { key, bytes } of world.received) {
    const name = `${key.boot}/${key.stream}/${key.seq}`;
    const content = agelessRecord(key.stream, Buffer.from(bytes, "latin1"));
    const before = contentOf.get(name);
    if (before !== undefined && before.text !== content.text) wrong.push(`${name}: a resend differs`);
    contentOf.set(name, content);
    if (before !== undefined) continue;
    const stream = `${key.boot}/${key.stream}`;
    seqsOf.set(stream, [...(seqsOf.get(stream) ?? []), key.seq]);
    const payload = Buffer.from(bytes, "latin1");
    if (key.stream === "frames") {
      const frame = EdgeFrame.decodeSingleObject(payload);
      framesSent.add(`${frame.bootId}/${frame.frameSeq}`);
    } else if (key.stream === "predictions") {
      const batch = EdgePredictions.decodeSingleObject(payload);
      for (const prediction of batch.predictions) {
        const frame = `${batch.bootId}/${prediction.frameSeq}`;
        if (predicted.has(frame)) wrong.push(`${frame}: in two prediction records`); // engine.ts O4
        predicted.set(frame, prediction.escalation);
      }
    }
  }
  for (const frame of world.left.values()) {
    if (frame.ageMs > frame.deadlineMs && !frame.sampleDrawn) wrong.push(`${frame.frameSeq}: left expired`);
  }
  for (const [stream, seqs] of seqsOf) {
    // G3: first arrivals are 1, 2, 3, ... without a gap.
    const expected = isOrdered ? seqs : [...seqs].sort((a, b) => a - b);
    if (expected.some((seq, i) => seq !== i + 1)) wrong.push(`${stream}: arrived as ${seqs.join(" ")}`);
  }
  for (const [frame, item] of world.committed) {
    const escalation = predicted.get(frame);
    if (escalation === undefined) wrong.push(`${frame}: committed and lost`); // G1
    if (item.jpeg === null && framesSent.has(frame)) wrong.push(`${frame}: kept and sent`);
    if (item.jpeg !== null && escalation === "NONE") wrong.push(`${frame}: wanted and recorded as kept`);
    if (escalation === "DROPPED" && framesSent.has(frame)) wrong.push(`${frame}: dropped and sent`);
  }
  return wrong;
}

function live(world: World, steps: number): void {
  const { random } = world;
  let frameSeq = 0;
  for (let step = 0; step < steps; step++) {
    world.nowMs += random() * (random() < 0.05 ? 5_000 : 150);
    const dice = random();
    if (dice < 0.55) {
      const count = 1 + Math.floor(random() * 8);
      world.append(
        Array.from({ length: count }, () => {
          const reason = (["NONE", "NONE", "AMBIGUOUS", "PRIORITY", "SAMPLE"] as const)[Math.floor(random() * 5)];
          const drawn = reason === "SAMPLE" || (reason !== "NONE" && random() < 0.1);
          return frameItem({
            captured: world.time(),
            frameSeq: ++frameSeq,
            ...(reason !== undefined && { reason }),
            drawn,
            score: random(),
            policyVersion: (random() < 0.9 ? "c" : "d").repeat(64),
          });
        }),
      );
    } else if (dice < 0.65) {
      if (world.online) world.disconnect();
      else world.connect();
    } else if (dice < 0.68) {
      // kill -9, and sometimes a power cut.
      if (random() < 0.3) {
        world.machineBoot += "'";
        world.nowMs = random() * 1_000;
      }
      world.boot();
      frameSeq = 0;
    } else if (world.online) {
      world.deliver(Math.floor(random() * 6), 0.9);
    }
    if (random() < 0.7) world.engine.tick();
  }
}

function drain(world: World): void {
  if (world.online) world.disconnect();
  world.connect();
  for (let i = 0; i < 400; i++) {
    world.nowMs += 100;
    world.engine.tick();
    world.deliver();
  }
}

describe("outbox engine", () => {
  test.each(Array.from({ length: 25 }, (_, i) => i + 1))(
    "seed %i: nothing committed is lost, repeated as another, or out of order",
    (seed) => {
      const world = new World(seed);
      live(world, 250);
      drain(world);
      expect(world.committed.size).toBeGreaterThan(50);
      expect(judge(world)).toEqual([]);
      expect(world.engine.stats()).toMatchObject({ frames: 0, predictions: 0, unacked: 0, bytes: 0 }); // G1: acked rows go
    },
  );

  test.each(Array.from({ length: 10 }, (_, i) => i + 100))(
    "seed %i: a small outbox drops images, never answers",
    (seed) => {
      const world = new World(seed, { bytesMax: 6_000 });
      live(world, 250);
      drain(world);
      expect(judge(world)).toEqual([]);
      expect(world.dropped).toBeGreaterThan(0);
    },
  );

  test.each(Array.from({ length: 15 }, (_, i) => i + 200))(
    "seed %i: where PUBACK is not Kafka's acknowledgement, what the broker loses is sent again until Kafka has it",
    (seed) => {
      const world = new World(seed, { confirmMs: 2_000 });
      world.kafkaShare = 0.6;
      world.acksShare = 0.7;
      live(world, 250);
      drain(world);
      world.kafkaShare = world.acksShare = 1;
      drain(world);
      expect(world.committed.size).toBeGreaterThan(50);
      expect(judge(world, false)).toEqual([]);
      expect(world.engine.stats()).toMatchObject({ frames: 0, predictions: 0, unacked: 0, bytes: 0 });
    },
  );

  test("PUBACK alone deletes nothing there, and records in flight never span more than consumers remember", () => {
    const world = new World(300, { confirmMs: 1_000, batchMax: 1, batchWaitMs: 0 });
    world.kafkaShare = 0;
    world.connect();
    for (let i = 1; i <= 2 * SPAN_MAX; i++) world.append([frameItem({ captured: world.time(), frameSeq: i })]);
    for (let i = 0; i < 400; i++) {
      world.nowMs += 1;
      world.engine.tick();
      world.deliver();
    }
    expect(world.engine.stats()).toMatchObject({ unacked: SPAN_MAX, predictions: SPAN_MAX });
    world.kafkaShare = 1;
    world.nowMs += 1_000;
    drain(world);
    expect(judge(world, false)).toEqual([]);
    expect(world.engine.stats()).toMatchObject({ unacked: 0, predictions: 0, bytes: 0 });
  });

  test("one lost record holds its stream up, although all after it are confirmed: numbered too far behind, it would be taken for a repeat", () => {
    const world = new World(302, { confirmMs: 60_000, batchMax: 1, batchWaitMs: 0 });
    world.loses = ({ stream, seq }) => stream === "predictions" && seq === 1;
    world.connect();
    for (let i = 1; i <= 3 * SPAN_MAX; i++) world.append([frameItem({ captured: world.time(), frameSeq: i })]);
    const numberedUpTo = () => Math.max(...world.received.map(({ key }) => key.seq));
    for (let i = 0; i < 800; i++) {
      world.nowMs += 1;
      world.engine.tick();
      world.deliver();
      if (i === 400) {
        world.disconnect();
        world.connect(); // It is sent again, and lost again.
      }
    }
    expect(numberedUpTo()).toBe(SPAN_MAX);
    world.boot();
    world.connect();
    for (let i = 0; i < 400; i++) {
      world.nowMs += 1;
      world.engine.tick();
      world.deliver();
    }
    expect(numberedUpTo()).toBe(SPAN_MAX);
    world.loses = () => false;
    drain(world);
    expect(judge(world, false)).toEqual([]);
    expect(world.engine.stats()).toMatchObject({ unacked: 0, predictions: 0, bytes: 0 });
  });

  test("while nothing is confirmed one record of a stream asks again for all, and once one is confirmed all do", () => {
    const world = new World(303, { confirmMs: 1_000, batchMax: 1, batchWaitMs: 0 });
    let sent = 0;
    world.loses = () => sent++ >= 0;
    world.connect();
    for (let i = 1; i <= 100; i++) world.append([frameItem({ captured: world.time(), frameSeq: i })]);
    const pass = (ms: number) => {
      for (const until = world.nowMs + ms; world.nowMs < until; world.nowMs += 50) {
        world.engine.tick();
        world.deliver();
      }
    };
    pass(600_000);
    expect(world.engine.stats()).toMatchObject({ unacked: 100 });
    expect(sent).toBeLessThan(2 * 100 + 50); // All twice, then one in 16 s; it was all of them in 16 s, 4,000.
    world.loses = () => false;
    pass(20_000);
    expect(world.engine.stats()).toMatchObject({ unacked: 0, predictions: 0, bytes: 0 });
    expect(judge(world, false)).toEqual([]);
  });

  test("acknowledgements of unsent records, of other boots and beyond all numbers change nothing", () => {
    const world = new World(301, { confirmMs: 1_000 });
    world.append([frameItem({ captured: world.time(), frameSeq: 1, reason: "PRIORITY" })]);
    world.engine.tick();
    const everything = [{ first: 0, last: Number.MAX_SAFE_INTEGER }];
    for (const bootId of [BigInt(world.bootId), 5n])
      world.engine.receive({ kind: "confirmed", bootId, stream: "frames", ranges: everything });
    drain(world);
    expect(judge(world, false)).toEqual([]);
    expect(world.received.map(({ key }) => key.stream).sort()).toEqual(["frames", "predictions"]);
  });

  test("an expired frame leaves as a prediction only; a drawn one keeps its image", () => {
    const world = new World(1_000);
    world.append([
      frameItem({ captured: world.time(), frameSeq: 1, reason: "AMBIGUOUS", deadlineMs: 1_000 }),
      frameItem({ captured: world.time(), frameSeq: 2, reason: "SAMPLE", drawn: true, deadlineMs: 1_000 }),
    ]);
    world.engine.tick();
    world.nowMs += 1_500;
    world.connect();
    drain(world);
    expect(world.received.filter(({ key }) => key.stream === "frames").length).toBe(1);
    const batch = EdgePredictions.decodeSingleObject(
      Buffer.from(world.received.find(({ key }) => key.stream === "predictions")?.bytes ?? "", "latin1"),
    );
    expect(batch.predictions.map(({ escalation, dropReason }) => [escalation, dropReason])).toEqual([
      ["DROPPED", "EXPIRED"],
      ["QUEUED", "NONE"],
    ]);
    expect(batch.predictions[0]?.ageMs).toBeGreaterThanOrEqual(1_500);
  });

  test("a resend is as old as it is: the router must not take a late frame for a fresh one", () => {
    const world = new World(1_002);
    const item = { captured: world.time(), reason: "AMBIGUOUS", deadlineMs: 1_000 } as const;
    world.append([frameItem({ ...item, frameSeq: 1 })]);
    world.connect();
    world.nowMs += limits.batchWaitMs;
    world.engine.tick();
    world.deliver(undefined, 0);
    world.disconnect();
    world.nowMs += 20_000;
    world.connect();
    drain(world);
    const ages = (stream: string) =>
      world.received
        .filter(({ key }) => key.stream === stream)
        .map(({ bytes }) => agelessRecord(stream, Buffer.from(bytes, "latin1")).ageMs);
    for (const stream of ["frames", "predictions"]) {
      const [first = 0, second = 0] = ages(stream);
      expect(first).toBeLessThan(1_000);
      expect(second).toBeGreaterThanOrEqual(first + 20_000);
    }
  });

  test("a frame too large to send is answered by its prediction", () => {
    const world = new World(1_001, { frameBytesMax: 400 });
    world.append([frameItem({ captured: world.time(), frameSeq: 1, reason: "PRIORITY", jpegBytes: 401 })]);
    world.engine.tick();
    drain(world);
    const [record] = world.received.filter(({ key }) => key.stream === "predictions");
    const [prediction] = EdgePredictions.decodeSingleObject(Buffer.from(record?.bytes ?? "", "latin1")).predictions;
    expect(prediction).toMatchObject({ reason: "PRIORITY", escalation: "DROPPED", dropReason: "FRAME_TOO_LARGE" });
  });

  test("the largest records that there can be are packets that a bridge takes", () => {
    const sender = { deviceId: "d".repeat(64), bootId: 2n ** 62n, seq: 2n ** 53n };
    const now: DeviceTime = { monotonicMs: 1, wallMs: 1, machineBoot: "b" };
    const captured = { monotonicMs: 1, wallMs: 1, machineBoot: "b" };
    const item = frameItem({ captured, frameSeq: 1, reason: "PRIORITY", jpegBytes: PACKET_BYTES_MAX - (1 << 20) });
    const body = { ...item.body, cameraId: "c".repeat(64), label: "x".repeat(4_096) };
    const row = { ...item, body, id: 1, bytes: 1, boot: 1, seq: 1 };
    const frame = frameRecord(sender, row, item.jpeg as Buffer, now);
    const batch = predictionsRecord(sender, item.decidedBy, Array(1_024).fill(row), now);
    for (const { length } of [frame, batch]) expect(length).toBeLessThan(PACKET_BYTES_MAX - 65_536);
  });

  test("of the reports of its state only the newest waits, and is counted once", () => {
    const world = new World(1_003);
    const reported = { kind: "report", stream: "reported", closed: world.time(), body: "{}" } as const;
    world.engine.receive({ kind: "append", items: [reported, reported, reported] });
    world.engine.tick();
    expect(world.engine.stats().reports).toBe(1);
  });

  test("a record that this agent cannot read (a newer one wrote it) is resent unchanged, and blocks nothing", () => {
    const world = new World(1_004);
    world.append([frameItem({ captured: world.time(), frameSeq: 1 })]);
    world.connect();
    world.nowMs += limits.batchWaitMs;
    world.engine.tick();
    world.deliver(undefined, 0);
    world.disconnect();
    const unknown = Buffer.from([0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const other = new DatabaseSync(world.file);
    other.prepare("UPDATE records SET payload = ?").run(unknown);
    other.close();
    world.append([frameItem({ captured: world.time(), frameSeq: 2 })]);
    world.received.length = 0;
    world.connect();
    world.nowMs += limits.batchWaitMs;
    for (let n = 0; n < 5; n++) {
      world.engine.tick();
      world.deliver();
    }
    expect(world.received.map(({ key }) => key.seq)).toEqual([1, 2]);
    expect(world.received[0]?.bytes).toBe(unknown.toString("latin1"));
  });
});
