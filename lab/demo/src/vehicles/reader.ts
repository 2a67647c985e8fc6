/** Reads a car's answers as the program that drives would: a process of its own, so that a time without answers is the device's, not that of
 * the program that makes faults. It stamps each when it arrives, and believes nothing in it but which frame it is of and its level. It also notes how
 * late it is itself, and when the machine itself stood still: `steal` in /proc/stat is the time in which a hypervisor
 * ran another guest instead of this one, which no program of this machine can prevent.
 *
 *   node reader.js URL      sends `DriveReading`s to its parent
 */
import { openSync, readSync } from "node:fs";
import { get } from "node:http";
import type { DriveAnswer, DriveChange, Stolen } from "./account.ts";
import { sharedMs } from "./clock.ts";

export type DriveReading = {
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
  readonly stolen: readonly Stolen[];
  /** When the reader itself ran late, and by how much. */
  readonly lates: readonly Late[];
};

export type Late = { readonly atMs: number; readonly ms: number };

export const SEND_EVERY_MS = 200;
const STEAL_EVERY_MS = 20;
const TICK_MS = 10;
const LATE_MS_MIN = 5;

/** Since the start of the machine, of all processors together; null where the kernel does not count it. */
export function stealMsOf(stat: string): number | null {
  const ticks = /^cpu +(?:\d+ ){7}(\d+)/.exec(stat)?.[1];
  return ticks === undefined ? null : Number(ticks) * TICK_MS;
}

function main(url: string): void {
  process.once("disconnect", () => process.exit());
  let [answers, changes, stolen, lates]: [DriveAnswer[], DriveChange[], Stolen[], Late[]] = [[], [], [], []];
  setInterval(() => {
    process.send?.({ answers, changes, stolen, lates } satisfies DriveReading);
    [answers, changes, stolen, lates] = [[], [], [], []];
  }, SEND_EVERY_MS);
  watchSteal((one) => stolen.push(one));
  let beatMs = sharedMs();
  setInterval(() => {
    const atMs = sharedMs();
    const ms = atMs - beatMs - TICK_MS;
    if (ms >= LATE_MS_MIN) lates.push({ atMs, ms });
    beatMs = atMs;
  }, TICK_MS);
  let rest = "";
  get(url, (response) => {
    response.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) event(part);
    });
    response.on("error", () => undefined);
  }).on("error", () => process.exit(1));

  function event(text: string): void {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(text) ?? [];
    if (data === undefined) return;
    const atMs = sharedMs();
    if (name === "answer") {
      const { stampMs, level } = JSON.parse(data) as { stampMs: number | null; level: string };
      answers.push({ atMs, stampUs: stampMs === null ? null : Math.round(1_000 * stampMs), level });
    } else if (name === "level") {
      const { from, to, reason } = JSON.parse(data) as { from: string; to: string; reason: string };
      changes.push({ atMs, from, to, reason });
    }
  }
}

function watchSteal(onStolen: (stolen: Stolen) => void): void {
  let file: number;
  try {
    file = openSync("/proc/stat", "r");
  } catch {
    return; // No Linux.
  }
  const start = Buffer.alloc(256);
  const read = () => stealMsOf(start.toString("latin1", 0, readSync(file, start, 0, start.length, 0)));
  let last = { atMs: sharedMs(), ms: read() };
  setInterval(() => {
    const now = { atMs: sharedMs(), ms: read() };
    const ms = (now.ms ?? 0) - (last.ms ?? 0);
    if (ms > 0) onStolen({ fromMs: last.atMs, untilMs: now.atMs, ms });
    last = now;
  }, STEAL_EVERY_MS);
}

const [, program, url] = process.argv;
if (program === import.meta.filename && url !== undefined) main(url);
