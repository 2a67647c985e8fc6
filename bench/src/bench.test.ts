import { expect, test } from "@jest/globals";
import { type Bench, markdownOf } from "./bench.ts";
import { parse, stringify } from "./edge/frames-file.ts";
import { megabytesAlone } from "./edge/memory.ts";

test("a report is Markdown, and says which gate failed", () => {
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
  expect(parse(stringify(frames))).toEqual(frames);
});

test("pages that two processes share count once", () => {
  const alone = megabytesAlone([process.pid]);
  expect(alone).toBeGreaterThan(10);
  expect(megabytesAlone([process.pid, process.ppid])).toBeGreaterThanOrEqual(alone * 0.9);
});
