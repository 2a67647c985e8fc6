/**
 * Notes when a processor stood still, by a sleeper on each: a program that asks to sleep for a millisecond again and again, and looks what came of the time. Some of it it slept as
 * it asked, in some it ran, and in some it waited behind other programs, by the kernel's own account of it (/proc/PID/schedstat). What is left is no program's doing: a hypervisor ran another guest, or
 * the kernel itself was late. (cyclictest measures the same, as a distribution, without that account.)
 * `steal` in /proc/stat counts it too, but in whole ticks and up to a second later, and a frame that waits is decided within 50 ms.
 *
 * So the sleeper may be an ordinary program. A program that holds its core for a tick makes it late, and that is not taken for the machine's standstill; one that
 * wanted it to be blamed on the machine could not. Its niceness (priority.ts) only keeps these waits short, in which it sees nothing.
 *
 *   node pauses.js          sends `Pause[]`s to its parent, of the clock of clock.ts
 */
import { openSync, readSync } from "node:fs";
import { sharedMs } from "./clock.ts";

export type Pause = { readonly fromMs: number; readonly untilMs: number };

/** As it woke. `ownMs`: how long it has run, and waited behind others, since its start. */
type Wake = { readonly atMs: number; readonly ownMs: number };

const EVERY_MS = 1;
const PAUSE_MS_MIN = 1;
const SEND_EVERY_MS = 200;

/** Between two wakes; null: no standstill. */
export function pauseBetween(before: Wake, { atMs, ownMs }: Wake): Pause | null {
  const stoodMs = atMs - before.atMs - EVERY_MS - (ownMs - before.ownMs);
  return stoodMs < PAUSE_MS_MIN ? null : { fromMs: atMs - stoodMs, untilMs: atMs };
}

function main(): void {
  process.once("disconnect", () => process.exit());
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const account = openSync("/proc/self/schedstat", "r");
  const text = Buffer.alloc(64);
  const wake = (): Wake => {
    const atMs = sharedMs();
    const [ranNs, waitedNs] = text.toString("latin1", 0, readSync(account, text, 0, text.length, 0)).split(" ");
    return { atMs, ownMs: (Number(ranNs) + Number(waitedNs)) / 1e6 };
  };
  let last = wake();
  const look = () => {
    const pauses: Pause[] = [];
    const endMs = last.atMs + SEND_EVERY_MS;
    while (last.atMs < endMs) {
      Atomics.wait(cell, 0, 0, EVERY_MS);
      const now = wake();
      const pause = pauseBetween(last, now);
      if (pause !== null) pauses.push(pause);
      last = now;
    }
    if (process.connected) process.send?.(pauses);
    setImmediate(look);
  };
  look();
}

if (process.argv[1] === import.meta.filename) main();
