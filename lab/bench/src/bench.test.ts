import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { type Bench, markdownOf } from "./bench.ts";
import { connectPacket, publishRing } from "./bridge/packets.ts";
import { FramesFile, stringify } from "./edge/frames-file.ts";
import { megabytesAlone } from "./edge/memory.ts";

test("a report is Markdown, and names the gate that failed", () => {
  const bench = { name: "edge" } as Bench;
  const report = {
    tables: [
      { title: "Lanes", columns: ["lane", "p50"], rows: [["bare", "1.002"] as const, ["agent", "12.1"] as const] },
    ],
    gates: [
      { name: "p50", passed: true, measured: "1.1" },
      { name: "p99", passed: false, measured: "1.4" },
    ],
    figures: {},
  };
  const text = markdownOf(bench, report);
  expect(text).toContain("| lane  |   p50 |\n|-------|------:|\n| bare  | 1.002 |\n| agent |  12.1 |");
  expect(text).toMatch(/\| p99 +\| +1\.4 \| FAILED \|/);
});

test("frames survive their file", () => {
  const frames = [Buffer.from("one"), Buffer.alloc(0), Buffer.from("three")];
  const folder = mkdtempSync(join(tmpdir(), "frames-"));
  try {
    writeFileSync(join(folder, "frames"), stringify(frames));
    const file = new FramesFile(join(folder, "frames"));
    expect(Array.from({ length: file.count }, (_, i) => file.frame(i))).toEqual(frames);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("pages that two processes share count once", async () => {
  const children = [spawn("sleep", ["60"]), spawn("sleep", ["60"])];
  try {
    const pids = children.map(({ pid }) => pid as number);
    await Promise.all(children.map((child) => once(child, "spawn")));
    // Until both sleep: before, they are copies of this process, or still loading what they will share.
    const sleeps = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").includes("(sleep) S");
    while (!pids.every(sleeps)) await new Promise((resolve) => setTimeout(resolve, 10));
    const [first, second] = pids.map((pid) => megabytesAlone([pid])) as [number, number];
    const both = megabytesAlone(pids);
    expect(both).toBeGreaterThanOrEqual(Math.max(first, second));
    expect(both).toBeLessThan(0.8 * (first + second));
  } finally {
    for (const child of children) child.kill();
  }
});

test("prebuilt MQTT packets are MQTT", () => {
  const { bytes, starts } = publishRing("t/1", [Buffer.alloc(200, "a"), Buffer.from("b")]);
  expect(starts).toEqual([0, 210, 220]);
  // QoS 1, a length of two bytes (207), the topic, the packet's id.
  expect(bytes.subarray(0, 10)).toEqual(Buffer.from([0x32, 0xcf, 0x01, 0, 3, 0x74, 0x2f, 0x31, 0, 1]));
  expect(bytes.subarray(210)).toEqual(Buffer.from([0x32, 8, 0, 3, 0x74, 0x2f, 0x31, 0, 2, 0x62]));
  const login = connectPacket({ clientId: "ab", password: "ab" });
  expect(login).toEqual(Buffer.from("101600044d51545404c20000000261620002616200026162", "hex"));
});
