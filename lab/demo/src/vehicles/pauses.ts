/**
 * Notes when a processor stood still: a program that goes before all others there wakes every millisecond, and notes when it woke late. A hypervisor
 * that runs another guest does that, and the kernel itself; no program of this machine can prevent it. (cyclictest measures the same, as a distribution.)
 * `steal` in /proc/stat counts it too, but in whole ticks and up to a second later, and a frame that waits is decided within 50 ms.
 *
 *   node pauses.js          sends `Pause[]`s to its parent, of the clock of clock.ts
 */
import { sharedMs } from "./clock.ts";

export type Pause = { readonly fromMs: number; readonly untilMs: number };

const EVERY_MS = 1;
const PAUSE_MS_MIN = 1;
const SEND_EVERY_MS = 200;

function main(): void {
  process.once("disconnect", () => process.exit());
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  let wokeMs = sharedMs();
  const look = () => {
    const pauses: Pause[] = [];
    const endMs = sharedMs() + SEND_EVERY_MS;
    while (wokeMs < endMs) {
      Atomics.wait(cell, 0, 0, EVERY_MS);
      const dueMs = wokeMs + EVERY_MS;
      wokeMs = sharedMs();
      if (wokeMs - dueMs >= PAUSE_MS_MIN) pauses.push({ fromMs: dueMs, untilMs: wokeMs });
    }
    if (process.connected) process.send?.(pauses);
    wokeMs = sharedMs(); // Its own sending is no pause.
    setImmediate(look);
  };
  look();
}

if (process.argv[1] === import.meta.filename) main();
