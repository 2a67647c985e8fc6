/** The outbox on a full disk, which is SQLite's own error: no page beyond `max_page_count`. Pending records are still sent,
 * and new items wait for space. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, expect, test } from "@jest/globals";
import { EdgePredictions } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { frameItem, limits } from "../testing/items.ts";
import { type EngineParts, OutboxEngine } from "./engine.ts";
import type { FromOutbox } from "./rows.ts";

const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tributary-full-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Committed = Extract<FromOutbox, { kind: "committed" }>;

class Device {
  nowMs = 1_000;
  items = 0;
  stats: Committed["stats"] | undefined;
  readonly failures: string[] = [];
  readonly sent: Extract<FromOutbox, { kind: "send" }>[] = [];
  readonly engine: OutboxEngine;
  #database: DatabaseSync | undefined;
  #frameSeq = 0;

  constructor(name: string, reserve?: EngineParts["reserve"]) {
    this.engine = new OutboxEngine(
      { file: join(folder, `${name}.sqlite`), deviceId: "cam", limits },
      () => this.time(),
      (message) => this.#hear(message),
      {
        random: seededRandom(7),
        ...(reserve && { reserve }),
        openDatabase: (file) => (this.#database = new DatabaseSync(file)),
      },
    );
  }

  time() {
    return { machineBoot: "boot", monotonicMs: this.nowMs, wallMs: null };
  }

  append(count: number, jpegBytes?: number): void {
    const items = Array.from({ length: count }, () =>
      frameItem({
        captured: this.time(),
        frameSeq: ++this.#frameSeq,
        deadlineMs: 3_600_000,
        ...(jpegBytes !== undefined && { reason: "SAMPLE" as const, drawn: true, jpegBytes }),
      }),
    );
    this.engine.receive({ kind: "append", items });
  }

  get appended(): number {
    return this.#frameSeq;
  }

  get pages(): number {
    return Number(this.#database?.prepare("PRAGMA page_count").get()?.page_count);
  }

  /** No page more than there are and these. */
  fillDisk(left = 0): void {
    this.#database?.exec(`PRAGMA max_page_count=${this.pages + left}`);
  }

  freeDisk(): void {
    this.#database?.exec("PRAGMA max_page_count=1073741823");
  }

  connect(): void {
    this.engine.receive({ kind: "link", online: true, epoch: 1 });
  }

  /** Ticks, with a broker that acknowledges every record. */
  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      this.nowMs += 100;
      const seen = this.sent.length;
      this.engine.tick();
      for (const { key, epoch } of this.sent.slice(seen)) {
        this.engine.receive({ kind: "settled", key, acked: true, epoch });
      }
    }
  }

  get predicted(): readonly number[] {
    return this.sent
      .filter(({ key }) => key.stream === "predictions")
      .flatMap(({ payload }) => EdgePredictions.decodeSingleObject(payload).predictions)
      .map(({ frameSeq }) => Number(frameSeq));
  }

  #hear(message: FromOutbox): void {
    if (message.kind === "committed") {
      this.items = message.items;
      this.stats = message.stats;
    } else if (message.kind === "send") this.sent.push(message);
    else if (message.kind === "failed") {
      expect(message.fatal).toBe(false);
      this.failures.push(message.message);
    }
  }
}

const all = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

test("full while online: stored records are sent and deleted, which makes room for waiting items", () => {
  const device = new Device("online");
  device.append(20, 5_000);
  device.append(30);
  device.engine.tick();
  device.fillDisk();
  device.append(20, 5_000);
  device.append(40);
  device.engine.tick();
  expect(device.failures.at(-1)).toContain("full");
  expect(device.items).toBe(50);
  device.connect();
  device.run(600);
  expect(sorted(device.predicted)).toEqual(all(device.appended)); // G1, once each
  expect(device.sent.filter(({ key }) => key.stream === "frames").length).toBe(40);
  expect(device.stats).toMatchObject({ frames: 0, predictions: 0, unacked: 0, bytes: 0, stalled: false });
});

test("full while offline: retried with backoff, and recovers by itself when there is space", () => {
  const device = new Device("offline");
  device.append(10, 20_000);
  device.engine.tick();
  device.fillDisk();
  device.append(5, 20_000);
  device.engine.tick();
  expect(device.engine.stats().stalled).toBe(true);
  device.run(600); // a minute
  expect(device.failures.length).toBeLessThan(30);
  expect(device.engine.stats()).toMatchObject({ frames: 10, stalled: true });
  device.append(1);
  device.freeDisk();
  device.run(200);
  expect(device.items).toBe(device.appended);
  expect(device.engine.stats()).toMatchObject({ frames: 15, predictions: 16, stalled: false });
});

test("the reserve is for sending: new items wait until there is other room", () => {
  let isHeld = true;
  let hasSpace = false;
  const device = new Device("reserve", {
    hold: () => {
      isHeld ||= hasSpace;
      return isHeld;
    },
    release: () => {
      device.fillDisk(100);
      const wasHeld = isHeld;
      isHeld = false;
      return wasHeld;
    },
  });
  device.append(20, 20_000);
  device.engine.tick();
  device.fillDisk();
  const { pages } = device;
  device.append(10, 20_000);
  device.run(100);
  expect([isHeld, device.pages, device.items]).toEqual([false, pages, 20]);
  device.connect();
  device.run(100);
  expect(sorted(device.predicted)).toEqual(all(30));
  expect(device.pages).toBeLessThan(pages + 10);
  expect(device.engine.stats()).toMatchObject({ frames: 0, predictions: 0, unacked: 0, stalled: true });
  hasSpace = true;
  device.run(1);
  expect(device.engine.stats().stalled).toBe(false);
});

test("full with many reconnects: a record that cannot be marked as sent is not sent, sent ones are resent in order", () => {
  const device = new Device("again");
  device.append(30, 3_000);
  device.connect();
  device.engine.tick(); // Leaves, unacknowledged.
  device.fillDisk();
  device.append(10, 30_000);
  const before = device.sent.length;
  for (let epoch = 2; epoch < 6; epoch++) {
    device.engine.receive({ kind: "link", online: false, epoch: epoch - 1 });
    device.engine.receive({ kind: "link", online: true, epoch });
    device.engine.tick();
  }
  const again = device.sent.slice(before).filter(({ epoch, key }) => epoch === 5 && key.stream === "frames");
  expect(again.map(({ key }) => key.seq)).toEqual(all(limits.windowRecords));
  device.freeDisk();
  device.engine.receive({ kind: "link", online: false, epoch: 5 });
  device.engine.receive({ kind: "link", online: true, epoch: 6 });
  device.run(600);
  const seqs = device.sent.filter(({ key, epoch }) => epoch === 6 && key.stream === "frames").map(({ key }) => key.seq);
  expect(seqs).toEqual(all(40));
  expect(sorted([...new Set(device.predicted)])).toEqual(all(40));
  expect(device.engine.stats()).toMatchObject({ frames: 0, predictions: 0, unacked: 0, bytes: 0, stalled: false });
});

test("the same policy again is not written again; none means that the next start has none", () => {
  const device = new Device("policy");
  let commits = 0;
  const keep = (bytes: Uint8Array | null) => {
    device.items = -1;
    device.engine.receive({ kind: "policy", bytes });
    device.engine.tick();
    commits += device.items === -1 ? 0 : 1;
  };
  keep(new Uint8Array([1, 2]));
  keep(new Uint8Array([1, 2]));
  expect(commits).toBe(1);
  keep(new Uint8Array([1, 3]));
  keep(null);
  keep(null);
  expect(commits).toBe(3);
});
