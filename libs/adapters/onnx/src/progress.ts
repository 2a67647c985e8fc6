/** Whether a process with a pending request hangs, or only gets no processor, or no memory back from the disk: by what Linux reports of its threads. */
import { readdirSync, readFileSync } from "node:fs";

export type Progress = {
  readonly atMs: number;
  /** A thread could compute (R), or waits for a page or a disk (D). */
  readonly isRunnable: boolean;
  /** Processor time of all threads, in ms. */
  readonly computedMs: number;
};

/** Of Linux's reports, on all of its architectures. */
const TICK_MS = 10;
/** One that spins gets more than this of the time, if it gets any. */
const SPINS_FROM = 0.5;

/** `atMs`: monotonic. Null: it ended, or this is not Linux. */
export function progressOf(pid: number, atMs: number): Progress | null {
  try {
    const stats = readdirSync(`/proc/${pid}/task`).flatMap((thread) => statOf(pid, thread));
    return {
      atMs,
      isRunnable: stats.some(([state]) => state === "R" || state === "D"),
      computedMs: stats.reduce((sum, fields) => sum + TICK_MS * (Number(fields[11]) + Number(fields[12])), 0),
    };
  } catch {
    return null;
  }
}

/** Fields of a thread from its state on; none: it ended. */
function statOf(pid: number, thread: string): readonly string[][] {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return [stat.slice(stat.lastIndexOf(")") + 2).split(" ")];
  } catch {
    return [];
  }
}

/** `before`: of the last look; null: this is the first. One that is stopped, or sleeps with a request to answer, hangs. */
export function waitsForItsTurn(before: Progress | null, now: Progress | null): boolean {
  if (now === null || !now.isRunnable) return false;
  if (before === null) return true;
  return now.computedMs - before.computedMs < SPINS_FROM * (now.atMs - before.atMs);
}
