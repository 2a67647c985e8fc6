/** Outbox files that a dying disk left. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { frameItem, limits } from "../testing/items.ts";
import { openOutbox } from "./open.ts";
import type { FromOutbox } from "./rows.ts";

let folder: string;
let file: string;
let heard: FromOutbox[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "tributary-open-"));
  file = join(folder, "outbox.sqlite");
  heard = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const time = () => ({ machineBoot: "boot", monotonicMs: 1_000, wallMs: null });
const open = (isDamaged = false) =>
  openOutbox(
    { file, deviceId: "cam", limits, isDamaged },
    time,
    () => new Date(0),
    (message) => heard.push(message),
  );
const heardOf = <K extends FromOutbox["kind"]>(kind: K) =>
  heard.filter((message): message is Extract<FromOutbox, { kind: K }> => message.kind === kind);
const asideFiles = () =>
  readdirSync(folder)
    .filter((name) => /damaged-.*Z$/.test(name))
    .sort();

function fill(): void {
  const engine = open();
  const items = Array.from({ length: 50 }, (_, i) =>
    frameItem({ captured: time(), frameSeq: i + 1, reason: "SAMPLE" }),
  );
  engine.receive({ kind: "append", items });
  engine.receive({ kind: "close" });
}

test.each<[string, () => void]>([
  ["no database", () => writeFileSync(file, Buffer.alloc(20_000, 7))],
  ["cut short", () => truncateSync(file, Math.floor(statSync(file).size / 3 / 4_096) * 4_096)],
  [
    "overwritten in the middle",
    () => {
      const bytes = readFileSync(file);
      writeFileSync(file, bytes.fill(0xff, 4_096, bytes.length));
    },
  ],
])("D1, D2: a file that is %s is set aside, and a fresh one with a new boot takes its place", (_, damage) => {
  fill();
  damage();
  const engine = open();
  expect(heardOf("setAside")).toEqual([
    {
      kind: "setAside",
      file: `${file}.damaged-1-19700101T000000Z`,
      reason: expect.stringMatching(/malformed|not a database/),
    },
  ]);
  expect(asideFiles()).toEqual(["outbox.sqlite.damaged-1-19700101T000000Z"]);
  const [first, second] = heardOf("opened").map(({ opened }) => opened);
  expect(second?.boot).toBe(1);
  expect(second?.bootId).not.toBe(first?.bootId);
  engine.receive({ kind: "append", items: [frameItem({ captured: time(), frameSeq: 1 })] });
  engine.tick();
  expect(heardOf("committed").at(-1)?.stats).toMatchObject({ predictions: 1, frames: 0 });
  engine.receive({ kind: "close" });
});

test("open.ts D3: damage found while open is set aside at the next opening; only the newest are kept", () => {
  for (let n = 0; n < 4; n++) {
    fill();
    open(true).receive({ kind: "close" });
  }
  expect(heardOf("setAside").length).toBe(4);
  expect(asideFiles()).toEqual([
    "outbox.sqlite.damaged-3-19700101T000000Z",
    "outbox.sqlite.damaged-4-19700101T000000Z",
  ]);
});

test("damage met while open ends this outbox at once, and reports that the file is at fault", () => {
  fill();
  const engine = open();
  engine.receive({ kind: "link", online: true, epoch: 1 });
  const bytes = readFileSync(file);
  writeFileSync(file, bytes.fill(0xff, 4_096, bytes.length));
  rmSync(`${file}-wal`);
  engine.tick();
  engine.tick();
  expect(heardOf("failed")).toEqual([{ kind: "failed", message: expect.any(String), trouble: "damaged", fatal: true }]);
});

test("open.ts D2: with a clock that is set, boots after a lost file are later than those in it", () => {
  for (const [hour, isLost] of [[0], [1], [1], [3, true], [3]] as const) {
    if (isLost) rmSync(file);
    const clock = () => ({ machineBoot: "boot", monotonicMs: 1_000, wallMs: Date.UTC(2026, 10, 1, hour) });
    const options = { file, deviceId: "cam", limits, isDamaged: false };
    const engine = openOutbox(
      options,
      clock,
      () => new Date(0),
      (message) => heard.push(message),
    );
    engine.receive({ kind: "close" });
  }
  const boots = heardOf("opened").map(({ opened }) => BigInt(opened.bootId));
  expect(boots).toEqual([...boots].sort((a, b) => (a < b ? -1 : 1)));
  expect(boots).toHaveLength(5);
});
