/** Reads a car's answers as the program that drives would: a process of its own, so that a time without answers is the device's, not that of
 * the program that makes faults. It stamps each when it arrives, and connects again when it is cut off. It also notes how
 * late it is itself.
 *
 *   node reader.js URL      sends `DriveReading`s to its parent
 */
import { get } from "node:http";
import type { DriveAnswer, DriveChange } from "./account.ts";
import { sharedMs } from "./clock.ts";

export type DriveReading = {
  readonly answers: readonly DriveAnswer[];
  readonly changes: readonly DriveChange[];
  /** When the reader itself ran late, and by how much. */
  readonly lates: readonly Late[];
};

export type Late = { readonly atMs: number; readonly ms: number };

export const SEND_EVERY_MS = 200;
const TICK_MS = 10;
const LATE_MS_MIN = 5;
const AGAIN_MS = 50;

function main(url: string): void {
  process.once("disconnect", () => process.exit());
  let [answers, changes, lates]: [DriveAnswer[], DriveChange[], Late[]] = [[], [], []];
  setInterval(() => {
    process.send?.({ answers, changes, lates } satisfies DriveReading);
    [answers, changes, lates] = [[], [], []];
  }, SEND_EVERY_MS);
  let beatMs = sharedMs();
  setInterval(() => {
    const atMs = sharedMs();
    const ms = atMs - beatMs - TICK_MS;
    if (ms >= LATE_MS_MIN) lates.push({ atMs, ms });
    beatMs = atMs;
  }, TICK_MS);
  connect();

  function connect(): void {
    let rest = "";
    let isOver = false;
    const again = () => {
      if (!isOver) setTimeout(connect, AGAIN_MS);
      isOver = true;
    };
    get(url, (response) => {
      response.setEncoding("utf8").on("data", (text: string) => {
        const parts = (rest + text).split("\n\n");
        rest = parts.pop() ?? "";
        for (const part of parts) event(part);
      });
      response.on("error", () => undefined).once("close", again);
    }).once("error", again);
  }

  function event(text: string): void {
    const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(text) ?? [];
    if (data === undefined) return;
    const atMs = sharedMs();
    if (name === "answer") {
      const { stampMs, level, latencyMs } = JSON.parse(data) as Record<"stampMs" | "latencyMs", number> & {
        level: string;
      };
      answers.push({
        atMs,
        stampUs: stampMs === null ? null : Math.round(1_000 * stampMs),
        level,
        statedMs: latencyMs,
      });
    } else if (name === "level") {
      const { from, to, reason } = JSON.parse(data) as { from: string; to: string; reason: string };
      changes.push({ atMs, from, to, reason });
    }
  }
}

const [, program, url] = process.argv;
if (program === import.meta.filename && url !== undefined) main(url);
